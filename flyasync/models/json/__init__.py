"""JSON to model and back, with unknown keys kept."""
