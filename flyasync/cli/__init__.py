"""How a person asks: the command `flyasync`."""
