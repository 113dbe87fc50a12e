"""Finds out what loss the model's outputs go into, from the gradient that it sends back to them."""
