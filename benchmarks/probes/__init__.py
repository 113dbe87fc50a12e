"""What the probes cost: time a step, and memory."""
