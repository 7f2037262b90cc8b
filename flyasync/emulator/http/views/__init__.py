"""The records of the world in the API's JSON."""
