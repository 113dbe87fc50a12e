"""Mixed precision: the forward pass in bfloat16 or float16, weights and loss in float32
(Micikevicius et al. 2018)."""

from __future__ import annotations

import torch
from torch import nn
from torch.amp import GradScaler, autocast

from trainer.errors import RecipeError

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocasting(precision: str, device: torch.device) -> autocast:
    """A context in which layers compute in ``precision``; does nothing for "fp32"."""
    dtype = PRECISIONS[precision]
    return autocast(device.type, dtype=dtype, enabled=dtype is not None)


def make_scaler(precision: str, device: torch.device, wanted: bool = True) -> GradScaler:
    """The gradient scaler "fp16" needs, because float16 holds nothing below 6e-8; for the others, or when it
    is not ``wanted``, one that hands everything through."""
    return GradScaler(device.type, enabled=precision == "fp16" and wanted)


def check_supported(model: nn.Module, precision: str, device: torch.device) -> None:
    """Raises `RecipeError` for what a trial shows torch cannot compute here: float16 LSTMs on many CPUs."""
    if precision == "fp16" and device.type == "cpu" and any(isinstance(m, nn.LSTM) for m in model.modules()):
        try:
            with autocasting(precision, device), torch.random.fork_rng():
                nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            raise RecipeError(
                'training.precision = "fp16", but torch has no LSTM in float16 for this CPU; use "bf16" or "fp32"'
            ) from None
