"""Per-layer statistics over time and through depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from app.series.decimate import Marks, Steps, Values, decimate, marks
from probes.errors import UnknownNameError

if TYPE_CHECKING:
    from probes.runlog import LayerSeries, Run

# Update-to-weight ratio: "somewhere around 1e-3" (CS231n, "Babysitting the learning process"), an order of
# magnitude to either side. A guide for the eye, not a verdict: that is the diagnosis' to give.
RATIO_GUIDE = 1e-3
RATIO_BAND = (1e-4, 1e-2)

# Lines that are drawn one by one; more layers are drawn as the range they cover.
MAX_LINES = 32
POINT_BUDGET = 16_000
CELL_BUDGET = 48_000


@dataclass(frozen=True)
class Path:
    """One layer's values over time, thinned, with what is not finite apart. `state` is a word of `RATIO_STATES`."""

    layer: str
    steps: Steps
    values: Values
    marks: Marks
    recent: float
    state: str


@dataclass(frozen=True)
class Spread:
    """The range that many layers cover at each step: lowest, 10 %, median, 90 %, highest of the finite values."""

    steps: Steps
    low: Values
    tenth: Values
    middle: Values
    ninetieth: Values
    high: Values


@dataclass(frozen=True)
class Profile:
    """A statistic through depth at a few steps, oldest first. `values` float64 [K, L], `recorded` bool [K, L]."""

    layers: list[str]
    steps: Steps
    values: npt.NDArray[np.float64]
    recorded: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overview:
    """A statistic over depth and time. Each cell is the highest finite value of its frames.

    Attributes:
        steps: last step of each column, [C].
        values: float64 [L, C]; NaN where no finite value was measured.
        nonfinite: int64 [L, C]; NaN and Inf measurements in the cell.
        frames: frames in the densest column.
    """

    layers: list[str]
    steps: Steps
    values: npt.NDArray[np.float64]
    nonfinite: npt.NDArray[np.int64]
    frames: int


RATIO_STATES = {
    "ok": "within the usual band",
    "high": "updates are large for the weights",
    "low": "updates are small for the weights",
    "still": "does not change at all",
    "nonfinite": "NaN or Inf",
    "unknown": "not measured",
}


def layer_series(run: Run, kind: str) -> LayerSeries | None:
    """The series of a kind, or None when the run holds none of it (yet)."""
    try:
        series = run.layer_series(kind)
    except UnknownNameError:
        return None
    return series if len(series.steps) and series.layers else None


def weight_names(run: Run) -> set[str]:
    """Parameters with two or more dimensions: weight matrices and filters, not biases and scales."""
    return {p["name"] for p in parameters(run) if len(p.get("shape") or ()) >= 2}


def parameters(run: Run) -> list[dict[str, Any]]:
    """The manifest's parameters, in forward order; [] before the model is known."""
    return list((run.model or {}).get("parameters") or [])


def modules(run: Run) -> list[dict[str, Any]]:
    """The manifest's modules, in forward order; [] before the model is known."""
    return list((run.model or {}).get("modules") or [])


def recorded_mask(series: LayerSeries) -> npt.NDArray[np.bool_]:
    """bool [T, L]: something was measured, even if it was NaN."""
    mask = getattr(series, "measured", None)
    return np.ones(series.values.shape, dtype=bool) if mask is None else mask


def recent_value(values: Values, recorded: npt.NDArray[np.bool_], share: float = 1 / 3) -> float:
    """Median of the newest third of a layer's measurements (at least 3); NaN or Inf when most of them are not finite.

    Returns NaN when nothing was measured.
    """
    known = values[recorded]
    if not len(known):
        return float("nan")
    newest = known[-max(3, int(len(known) * share)) :]
    finite = newest[np.isfinite(newest)]
    return float(np.median(finite)) if len(finite) * 2 > len(newest) else float(newest[-1])


def ratio_state(recent: float, any_recorded: bool) -> str:
    """A word of `RATIO_STATES` for a recent update ratio."""
    if not any_recorded:
        return "unknown"
    if not np.isfinite(recent):
        return "nonfinite"
    if recent == 0:
        return "still"
    low, high = RATIO_BAND
    return "low" if recent < low else "high" if recent > high else "ok"


def selected(series: LayerSeries, only: set[str] | None) -> npt.NDArray[np.int64]:
    """Positions of the layers in `only` (all when None, or when none of them is there)."""
    if only is None:
        return np.arange(len(series.layers))
    found = np.array([i for i, name in enumerate(series.layers) if name in only], dtype=np.int64)
    return found if len(found) else np.arange(len(series.layers))


def ratio_paths(series: LayerSeries, only: set[str] | None = None) -> list[Path]:
    """Every selected layer's update ratio over time, judged by its recent value, in forward order."""
    chosen = selected(series, only)
    recorded = recorded_mask(series)
    limit = int(np.clip(POINT_BUDGET // max(len(chosen), 1), 64, 1000))
    paths = []
    for i in chosen.tolist():
        known = recorded[:, i]
        steps, values = series.steps[known], series.values[known, i]
        recent = recent_value(series.values[:, i], known)
        paths.append(
            Path(
                series.layers[i],
                *decimate(steps, values, limit),
                marks(steps, values, 60),
                recent,
                ratio_state(recent, bool(known.any())),
            )
        )
    return paths


def spread(series: LayerSeries, only: set[str] | None = None, columns: int = 400) -> Spread:
    """The range of the selected layers at each of at most `columns` evenly spaced frames (the last one included)."""
    chosen = selected(series, only)
    rows = np.unique(np.linspace(0, len(series.steps) - 1, columns).round().astype(int))
    values = series.values[np.ix_(rows, chosen)]
    values = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(values).all(axis=1)
    levels = np.nanquantile(values[known], [0, 0.1, 0.5, 0.9, 1], axis=1)
    return Spread(series.steps[rows][known], *levels)


def profile(series: LayerSeries, only: set[str] | None = None, ghosts: int = 4) -> Profile:
    """The newest frame and up to `ghosts` earlier ones, spaced evenly over the run; oldest first."""
    chosen = selected(series, only)
    # Modules may be measured in turn: a frame counts when it holds anything for these layers.
    held = np.flatnonzero(recorded_mask(series)[:, chosen].any(axis=1))
    if not len(held):
        held = np.array([len(series.steps) - 1])
    rows = held[np.unique(np.linspace(0, len(held) - 1, ghosts + 1).round().astype(int))]
    at = np.ix_(rows, chosen)
    return Profile(
        [series.layers[i] for i in chosen.tolist()],
        series.steps[rows],
        series.values[at],
        recorded_mask(series)[at],
    )


def overview(series: LayerSeries, only: set[str] | None = None, max_columns: int = 240) -> Overview:
    """Depth × time, in as many columns as the cell budget allows."""
    chosen = selected(series, only)
    columns = int(np.clip(CELL_BUDGET // max(len(chosen), 1), 24, max_columns))
    total = len(series.steps)
    starts = np.unique(np.linspace(0, total, min(columns, total), endpoint=False).astype(np.int64))
    values, recorded = series.values[:, chosen], recorded_mask(series)[:, chosen]
    bad = recorded & ~np.isfinite(values)
    finite = np.where(recorded & np.isfinite(values), values, -np.inf)
    highest = np.maximum.reduceat(finite, starts, axis=0)
    ends = np.append(starts[1:], total)
    return Overview(
        [series.layers[i] for i in chosen.tolist()],
        series.steps[ends - 1],
        np.where(np.isneginf(highest), np.nan, highest).T,
        np.add.reduceat(bad, starts, axis=0, dtype=np.int64).T,
        int((ends - starts).max()),
    )


def flagged(paths: Sequence[Path]) -> list[Path]:
    """Those outside the band, worst kind first and, within a kind, furthest from the guide first."""
    order = ("nonfinite", "still", "high", "low")

    def distance(path: Path) -> float:
        return abs(np.log10(path.recent / RATIO_GUIDE)) if np.isfinite(path.recent) and path.recent > 0 else 0.0

    found = [path for path in paths if path.state in order]
    return sorted(found, key=lambda path: (order.index(path.state), -distance(path)))


def newest(run: Run, kind: str) -> dict[str, float]:
    """Each layer's newest measurement of a kind; layers that were never measured are left out."""
    series = layer_series(run, kind)
    if series is None:
        return {}
    measured = recorded_mask(series)
    last = len(measured) - 1 - measured[::-1].argmax(axis=0)
    return {name: float(series.values[last[i], i]) for i, name in enumerate(series.layers) if measured[:, i].any()}


def forward_order(run: Run, names: Iterable[str]) -> list[str]:
    """Modules in the order a forward pass reaches them; unknown ones last, by name."""
    order = {module.get("name"): i for i, module in enumerate(modules(run))}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def no_units_reason(run: Run) -> str:
    """Why nothing is known about dead or saturated units, one sentence."""
    notes = [str(note) for note in (run.model or {}).get("notes") or []]
    if layer_series(run, "activation_std") is not None:
        return (
            "Not measured: no module of this model is an activation with a dead or saturated range. "
            "Activations called as functions (torch.relu) cannot be seen from outside."
        )
    if notes:
        return f"Not measured: {notes[0]}"
    if run.status == "running":
        return "Nothing measured yet: it comes with the next frames."
    return "This run holds no activation statistics."
