"""Parsed fly.toml to machine configs; pure."""
