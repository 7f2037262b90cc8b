"""The emulated API over HTTP."""
