"""What belongs to one benchmark, by its name, and does not fit on its page."""
