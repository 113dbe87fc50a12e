"""Networks by name. Importing this package registers them all."""

from trainer.models import (
    adversarial,
    alexnet,
    autoencoders,
    convolutional,
    dense,
    fine_tuned,
    inception,
    residual,
    sequences,
)
from trainer.models.base import MODELS

__all__ = [
    "MODELS",
    "adversarial",
    "alexnet",
    "autoencoders",
    "convolutional",
    "dense",
    "fine_tuned",
    "inception",
    "residual",
    "sequences",
]
