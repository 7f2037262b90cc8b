"""What things are: frozen values, with no JSON and no I/O."""
