"""The models: frozen values, without I/O."""
