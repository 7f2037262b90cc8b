"""Values and rules of the emulated platform that need no world: records, states, limits, faults, Go's JSON; pure."""
