"""Replays recordings: a recorded run of a client, answered as it was, and continued by the emulator if it differs."""
