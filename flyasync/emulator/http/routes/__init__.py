"""The handlers of the emulated API, one file per resource."""
