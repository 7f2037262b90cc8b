"""Send requests and read responses: sessions, retries and rate limits."""
