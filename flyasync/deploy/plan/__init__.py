"""From a spec and an observed fleet to a plan; pure."""
