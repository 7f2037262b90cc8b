"""What can be asked: one short method for each operation."""
