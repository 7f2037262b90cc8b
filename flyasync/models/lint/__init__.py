"""What the API would refuse in a config, and what is unwise; pure."""
