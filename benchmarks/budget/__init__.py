"""One budget for many processes, judged from outside: `python -m benchmarks.budget`; `__main__` says what is shown."""
