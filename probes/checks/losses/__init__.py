"""Losses: calling them, recognising them, and what they are worth at outputs that know nothing."""
