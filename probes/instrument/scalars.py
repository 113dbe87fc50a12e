"""What `Probe.log` accepts, and how numbers that live on a device reach the log without a synchronisation."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from probes.errors import MetricError
from probes.instrument.transfer import Transfer

RESERVED = ("system", "optimizer", "data")
"""Splits that babysit writes itself."""

_MAX_NAME = 200


def series_name(split: object, metric: object) -> str:
    """``<split>/<metric>``.

    Raises:
        MetricError: one of the two cannot be a name.
    """
    check_name("split", split)
    check_name("metric", metric)
    if split in RESERVED:
        raise MetricError(
            f"split {split!r} is one of babysit's own ({', '.join(RESERVED)}); "
            'log under another name, e.g. "train" or "val"'
        )
    return f"{split}/{metric}"


def check_name(what: str, name: object) -> None:
    """Raises MetricError when a split or a metric cannot be called so."""
    if not isinstance(name, str):
        raise MetricError(f'the {what} must be a name such as "train", not {_describe(name)}')
    if not name or name != name.strip() or len(name) > _MAX_NAME or "/" in name or not name.isprintable():
        raise MetricError(
            f"{what} name {name[:50]!r} cannot be used: give 1 to {_MAX_NAME} printable characters, "
            'no "/" and no space at either end'
        )


def as_scalar(name: str, value: object) -> float | Tensor:
    """A metric as a float, or as a detached one-element tensor when it lives on another device than the CPU.

    Raises:
        MetricError: the value is not one real number.
    """
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Tensor):
        if value.dim() > 1 or value.numel() != 1 or value.is_complex() or value.is_meta:
            raise MetricError(f"metric {name!r} must be one real number, not {_describe(value)}{_remedy(value)}")
        return float(value.item()) if value.is_cpu else value.detach()
    if isinstance(value, np.ndarray):
        if value.ndim > 1 or value.size != 1 or value.dtype.kind not in "biuf":
            raise MetricError(f"metric {name!r} must be one real number, not {_describe(value)}{_remedy(value)}")
        return float(value.reshape(()))
    if isinstance(value, (numbers.Real, np.bool_)):
        try:
            return float(value)
        except OverflowError:
            size = f" of {int(value).bit_length()} bits" if isinstance(value, numbers.Integral) else ""
            raise MetricError(
                f"metric {name!r} is {_describe(value)}{size}: beyond what a float can hold (about 1.8e308)"
            ) from None
    raise MetricError(f"metric {name!r} must be one real number, not {_describe(value)}{_remedy(value)}")


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {list(value.shape)}"
    if isinstance(value, str):
        return f"the string {value[:50]!r}"
    return "None" if value is None else f"a {type(value).__name__}"


def _remedy(value: object) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return "; reduce it first, e.g. with .mean()"
    if isinstance(value, str):
        return "; texts belong in watch(config=...)"
    return "; leave it out where there is no value" if value is None else ""


class DeviceScalars:
    """Collects one-element device tensors and brings them to the host together, later.

    Each is copied on its device when it is logged (one small kernel): the loop may overwrite it right
    afterwards.

    Args:
        defer: hands over a pair (ready, deliver) to be polled on the writer's thread.
        deliver: receives (step, time, values) of each logged group.
        capacity: numbers held before they are sent.
    """

    def __init__(
        self,
        send: Callable[[Transfer, list[tuple[int, float, str]]], None],
        capacity: int = 64,
    ) -> None:
        self._send = send
        self._capacity = capacity
        self._labels: list[tuple[int, float, str]] = []
        self._values: list[Tensor] = []

    def add(self, step: int, time: float, values: Mapping[str, Tensor]) -> None:
        """Takes copies of the values logged at a step."""
        for name, value in values.items():
            wide = torch.float32 if value.device.type == "mps" else torch.float64
            self._labels.append((step, time, name))
            self._values.append(value.reshape(()).to(wide, copy=True))
        if len(self._values) >= self._capacity:
            self.flush()

    def flush(self) -> None:
        """Starts the copy of everything collected."""
        labels, values = self._labels, self._values
        self._labels, self._values = [], []
        if values:
            self._send(Transfer(values), labels)
