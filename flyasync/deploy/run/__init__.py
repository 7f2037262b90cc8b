"""Executing a plan: the only code that changes a machine."""
