"""How bytes travel: the session layer."""
