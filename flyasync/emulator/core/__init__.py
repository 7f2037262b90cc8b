"""Values and rules of the emulated platform that do not need a world: records, states, limits, faults, JSON; pure."""
