"""Machines: every endpoint, and create_once, edit, leases and wait on top of them."""
