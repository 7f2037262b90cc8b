"""`flyasync deploy`."""
