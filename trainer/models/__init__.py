"""Networks by name. Importing this package registers them all."""

from trainer.models import convolutional, dense
from trainer.models.base import MODELS

__all__ = ["MODELS", "convolutional", "dense"]
