"""Deploys: observe a fleet, make a plan, and execute it."""
