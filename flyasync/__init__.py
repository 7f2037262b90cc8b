"""Asyncio SDK and multi-region deployer for Fly.io Machines."""
