"""Convert a parsed fly.toml to machine configs; pure."""
