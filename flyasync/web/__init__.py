"""The live page of a deploy: a read-only server on this machine, and what it sends to the page."""
