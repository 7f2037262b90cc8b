"""Values and rules of the emulated platform that need no world; pure."""
