"""Small data sets for the programs: real ones that scikit-learn carries, and generated ones. CPU tensors, float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor


class Split(NamedTuple):
    """Training and test examples: inputs [N, ...] and targets [N] or [N, outputs]."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def split(x: np.ndarray, y: np.ndarray, *, test: float = 0.25, seed: int = 0) -> Split:
    """Shuffle and split; integer targets become int64, others float32."""
    order = np.random.default_rng(seed).permutation(len(x))
    cut = int(len(x) * (1 - test))
    targets = torch.tensor(y[order], dtype=torch.int64 if np.issubdtype(y.dtype, np.integer) else torch.float32)
    inputs = torch.tensor(x[order], dtype=torch.float32)
    return Split(inputs[:cut], targets[:cut], inputs[cut:], targets[cut:])


def digits(*, flat: bool = True, standard: bool = True, seed: int = 0) -> Split:
    """8x8 grey images of digits, 10 classes, [N, 64] or [N, 1, 8, 8], standardised or as the 0..16 they come in."""
    raw = datasets.load_digits()
    x = raw.data.astype(np.float32)
    if standard:
        x = (x - x.mean()) / x.std()
    return split(x if flat else x.reshape(-1, 1, 8, 8), raw.target, seed=seed)


def wine(*, standard: bool = True) -> Split:
    """13 features of wines (up to 1,680 as measured), 3 classes."""
    raw = datasets.load_wine()
    return split(_standard(raw.data) if standard else raw.data, raw.target)


def cancer(*, standard: bool = True) -> Split:
    """30 features of tumours (up to 4,254 as measured), 2 classes."""
    raw = datasets.load_breast_cancer()
    return split(_standard(raw.data) if standard else raw.data, raw.target)


def iris() -> Split:
    """4 features of flowers in centimetres, 3 classes."""
    raw = datasets.load_iris()
    return split(raw.data, raw.target)


def diabetes(*, standard: bool = True) -> Split:
    """10 standardised features, disease progression (25 to 346, or standardised)."""
    raw = datasets.load_diabetes()
    y = raw.target.astype(np.float64)
    return split(_standard(raw.data), (y - y.mean()) / y.std() if standard else y)


def moons(n: int = 1000, noise: float = 0.1) -> Split:
    """Two interleaved half circles in the plane, 2 classes."""
    return split(*datasets.make_moons(n, noise=noise, random_state=0))


def spirals(n: int = 600, classes: int = 3) -> Split:
    """CS231n's spiral arms in the plane."""
    rng = np.random.default_rng(0)
    points, labels = [], []
    for c in range(classes):
        radius = np.linspace(0.05, 1, n // classes)
        angle = np.linspace(c * 4, (c + 1) * 4, n // classes) + rng.normal(0, 0.15, n // classes)
        points.append(np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1))
        labels.append(np.full(n // classes, c))
    return split(np.concatenate(points), np.concatenate(labels))


def text() -> str:
    """English and code: the source of a module of Python's standard library."""
    import textwrap

    return Path(textwrap.__file__).read_text(encoding="utf-8")


def batches(x: Tensor, y: Tensor, size: int, *, shuffle: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of batches; an incomplete last batch is left out."""
    order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
    for start in range(0, len(x) - size + 1, size):
        chosen = order[start : start + size]
        yield x[chosen], y[chosen]


def accuracy(logits: Tensor, y: Tensor) -> float:
    """Share of examples whose largest output is that of their class."""
    return float((logits.argmax(-1) == y).float().mean())


def explained(prediction: Tensor, y: Tensor) -> float:
    """R^2; 0 for anything that is no number."""
    score = float(1 - ((prediction.reshape(-1) - y.reshape(-1)) ** 2).mean() / y.var(unbiased=False))
    return score if math.isfinite(score) else 0.0


def _standard(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))
