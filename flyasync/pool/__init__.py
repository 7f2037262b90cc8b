"""Machines on demand: a pool of machines, each claimed by one caller at a time, across processes and hosts."""
