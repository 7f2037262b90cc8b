"""Machines on demand, claimed by many processes that are killed: `python -m benchmarks.pool`."""
