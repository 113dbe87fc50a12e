"""Commands of the trainer, loaded by `babysit`."""
