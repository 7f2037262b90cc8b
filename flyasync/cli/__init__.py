"""The command `flyasync`."""
