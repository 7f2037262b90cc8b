"""Commands for the person on call: what runs, what it writes, how it came about, and what deviates or remains."""
