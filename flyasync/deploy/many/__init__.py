"""Deploying many apps with one builder."""
