"""What all benchmarks share: processes, servers, tables and times."""
