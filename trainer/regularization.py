"""L1 regularisation: a penalty on the loss. (L2 is the optimizers' ``weight_decay``.)"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def l1_norm(model: nn.Module) -> Tensor:
    """Sum of the magnitudes of all trainable weights, 0-d.

    Weights are parameters of two dimensions and more: biases and the scales of normalisation layers are not
    penalised (Goodfellow et al. 2016, section 7.1). A tied weight counts once.
    """
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    if not weights:
        return torch.zeros(())
    return torch.stack([w.abs().sum() for w in weights]).sum()
