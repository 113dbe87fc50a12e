"""Networks by name. Importing this package registers them all."""

from trainer.models import adversarial, autoencoders, convolutional, dense, residual, sequences
from trainer.models.base import MODELS

__all__ = ["MODELS", "adversarial", "autoencoders", "convolutional", "dense", "residual", "sequences"]
