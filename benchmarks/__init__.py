"""What babysit costs, measured. `python -m benchmarks` runs all of it and writes docs/benchmarks.md."""
