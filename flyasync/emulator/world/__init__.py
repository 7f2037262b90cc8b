"""The state of the emulated platform, and how it changes over time; pure."""
