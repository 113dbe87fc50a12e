"""Set-ups that are healthy and set-ups with one fault each, and what the sanity checks say about them.

python -m benchmarks.checks            prints the table
python -m benchmarks.checks --write    also writes docs/checks/results.md
"""
