"""Who launches machines: flyasync, what one would write without it, and what else there is to install."""
