"""What the user logged: `<split>/<metric>` series as curves to draw."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.series.decimate import Marks, Steps, Values, decimate, marks
from app.series.smooth import trend

if TYPE_CHECKING:
    from probes.runlog import Run

# What the probes log by themselves: not the user's metrics.
OWN_SPLITS = ("optimizer", "system", "data")
TRAIN_SPLITS = ("train", "training")
VALIDATION_SPLITS = ("val", "valid", "validation")
FIRST_METRICS = ("loss", "accuracy")


@dataclass(frozen=True)
class Curve:
    """One split of one metric.

    Attributes:
        steps, values: the series, thinned; non-finite values included.
        trend_steps, trend: its moving average.
        marks: every non-finite stretch.
        total: points in the whole series.
        last_step, last: the newest point, whatever it is.
    """

    split: str
    steps: Steps
    values: Values
    trend_steps: Steps
    trend: Values
    marks: Marks
    total: int
    last_step: int
    last: float

    @property
    def role(self) -> str:
        """ "train", "validation" or "other"."""
        return split_role(self.split)

    @property
    def newest(self) -> float:
        """The newest value to print: the trend's when there is one and the run is still finite, else the last."""
        if not np.isfinite(self.last) or not len(self.trend):
            return self.last
        return float(self.trend[-1])


def split_role(split: str) -> str:
    """ "train", "validation" or "other"."""
    if split in TRAIN_SPLITS:
        return "train"
    return "validation" if split in VALIDATION_SPLITS else "other"


def leading_metric(groups: Mapping[str, list[str]]) -> str:
    """The metric that stands for the loss: "loss", or where a training has several (a GAN's two) the first of them."""
    return "loss" if "loss" in groups else next(filter(is_loss, groups), "loss")


def is_loss(metric: str) -> bool:
    """Whether a metric is a loss by its name: "loss", "generator_loss", "loss.kl", but not "lossless".

    >>> [is_loss(name) for name in ("loss", "d_loss", "loss-kl", "lossless_ratio")]
    [True, True, True, False]
    """
    return "loss" in re.split(r"[\W_]+", metric.lower())


def metric_groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Metric -> its splits, from series names; loss and accuracy first, training before validation.

    Where nothing is called "loss", what is a loss by its name takes its place.

    >>> metric_groups(["val/loss", "train/loss", "optimizer/lr", "train/accuracy"])
    {'loss': ['train', 'val'], 'accuracy': ['train']}
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        split, _, metric = name.partition("/")
        if metric and split not in OWN_SPLITS:
            groups.setdefault(metric, []).append(split)
    roles = ("train", "validation", "other")
    for splits in groups.values():
        splits.sort(key=lambda split: (roles.index(split_role(split)), split))
    rank = {metric: i for i, metric in enumerate(FIRST_METRICS)}
    if "loss" not in groups:
        rank |= {metric: 0 for metric in groups if is_loss(metric)}
    return dict(sorted(groups.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def curve(run: Run, split: str, metric: str, smoothing: float, log_x: bool = False) -> Curve:
    """One split of a metric; `smoothing` is the share of the series that its trend looks back over (0.02: 2%).

    Validation has few points and none is noise to be smoothed away: its trend is the series itself.
    """
    series = run.series(f"{split}/{metric}")
    span = smoothing * len(series.steps) if split_role(split) != "validation" else 0.0
    steps, values = decimate(series.steps, series.values, log_x=log_x)
    trend_steps, trend_values = trend(series.steps, series.values, span, log_x)
    return Curve(
        split=split,
        steps=steps,
        values=values,
        trend_steps=trend_steps,
        trend=trend_values,
        marks=marks(series.steps, series.values),
        total=len(series.steps),
        last_step=int(series.steps[-1]) if len(series.steps) else 0,
        last=float(series.values[-1]) if len(series.values) else float("nan"),
    )


def curves(run: Run, metric: str, smoothing: float, log_x: bool = False) -> list[Curve]:
    """Every split of a metric that has at least one point, training first."""
    splits = metric_groups(run.series_names).get(metric, [])
    found = [curve(run, split, metric, smoothing, log_x) for split in splits]
    return [one for one in found if one.total]


def gap(train: Curve, validation: Curve) -> tuple[Steps, Values, Values]:
    """The training trend and the validation values at the same steps, where both are known and finite.

    Returns:
        steps [K], training [K] (interpolated in step between its neighbours, never beyond its ends),
        validation [K].
    """
    finite = np.isfinite(train.trend)
    known_steps, known = train.trend_steps[finite], train.trend[finite]
    steps, values = validation.steps, validation.values
    if not len(known_steps):
        return steps[:0], values[:0], values[:0]
    use = np.isfinite(values) & (steps >= known_steps[0]) & (steps <= known_steps[-1])
    return steps[use], np.interp(steps[use], known_steps, known), values[use]
