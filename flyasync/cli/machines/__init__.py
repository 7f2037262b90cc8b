"""`flyasync machines`."""
