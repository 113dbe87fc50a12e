"""In which mode the model ran: training and evaluation, as ``model.train()`` and ``model.eval()`` set it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

TRAINING = "system/training_mode"
EVALUATION = "system/evaluation_mode"


class Modes:
    """Counts forward passes of the whole model by mode, between two steps."""

    def __init__(self) -> None:
        self._last: bool | None = None  # mode of the last pass with gradients: the one that the step is made of
        self._told: bool | None = None
        self._evaluated = [0, 0]  # passes without gradients, in evaluation and in training mode

    def saw(self, training: bool, gradients: bool) -> None:
        """A forward pass begins in training mode or not, with gradients or without."""
        if gradients:
            self._last = training
        else:
            self._evaluated[training] += 1

    def take(self) -> dict[str, float]:
        """The series of the passes since the last call.

        Returns:
            dict: 1.0 for training mode. `TRAINING` where it differs from what was told last; `EVALUATION`, the
                share of the passes without gradients that ran in training mode, where there were any.
        """
        values = {}
        if self._last is not None and self._last is not self._told:
            self._told = self._last
            values[TRAINING] = float(self._last)
        passes = sum(self._evaluated)
        if passes:
            values[EVALUATION] = self._evaluated[1] / passes
            self._evaluated = [0, 0]
        return values


def mode_dependent(model: nn.Module) -> list[dict[str, object]]:
    """The modules that compute something else in training than in evaluation: name, type, and the share dropped.

    ``dropped`` is None for batch normalisation, which uses the batch in training and running averages afterwards; its
    ``momentum`` is what the newest batch weighs in these (None: all batches alike).
    """
    found: list[dict[str, object]] = []
    for name, module in model.named_modules():
        if isinstance(module, _DropoutNd):
            dropped: float | None = float(module.p)
        elif isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
            dropped = float(module.dropout)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            dropped = None
        else:
            continue
        if dropped is None or dropped > 0.0:
            entry: dict[str, object] = {"name": name, "type": type(module).__name__, "dropped": dropped}
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                entry["momentum"] = module.momentum
            found.append(entry)
    return found
