"""Ways to tell that a model's outputs do not belong to its loss; `loss-output-mismatch` asks each of them."""
