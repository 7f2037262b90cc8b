"""Which commands of flyctl work against the emulator: `python -m benchmarks.flyctl_commands --flyctl PATH`."""
