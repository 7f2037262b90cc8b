"""What the benchmarks of many apps share: what is asked, who does it, and who judges it."""
