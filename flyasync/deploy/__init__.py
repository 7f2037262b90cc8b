"""How a fleet changes: look, decide, act."""
