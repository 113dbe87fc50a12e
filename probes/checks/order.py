"""The names of the sanity checks, in the order in which they run and are reported. Needs no torch."""

# Order: what explains other results comes first; what takes longest comes last.
SLUGS = (
    "finite-forward-backward",
    "input-normalization",
    "label-sanity",
    "loss-output-pairing",
    "initial-loss",
    "regularization-raises-loss",
    "initialization",
    "gradients-reach-every-parameter",
    "optimizer-covers-parameters",
    "parameters-change",
    "batch-independence",
    "input-dependence",
    "train-eval-consistency",
    "determinism",
    "gradient-check",
    "learning-rate-range",
    "overfit-small-batch",
)
