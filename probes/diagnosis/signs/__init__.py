"""What betrays a mistake in a run, one module a sign: measured here, and judged by the rules that it concerns."""
