"""Ways to tell that validation and training do not compare; `validation-anomaly` asks each of them."""
