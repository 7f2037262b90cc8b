"""The operations of the API: one short method for each."""
