"""`flyasync bulk`."""
