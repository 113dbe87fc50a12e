"""The table of parameters: what each is, how large, how fast it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.series import layers

if TYPE_CHECKING:
    from probes.runlog import Run

STATES = {
    "ok": "✓ usual",
    "high": "▲ large updates",
    "low": "▼ small updates",
    "still": "■ does not change",
    "nonfinite": "✕ NaN or Inf",
    "unknown": "? not measured",
    "frozen": "❄ frozen",
}


@dataclass(frozen=True)
class Row:
    """One parameter. `weight`, `gradient`: newest L2 norms; `ratio`: recent update ratio; NaN where not measured."""

    name: str
    shape: str
    count: int
    weight: float
    gradient: float
    ratio: float
    state: str


def rows(run: Run) -> list[Row]:
    """One row for each parameter of the manifest, in forward order."""
    weight, gradient = layers.newest(run, "weight_norm"), layers.newest(run, "grad_norm")
    series = layers.layer_series(run, "update_ratio")
    paths = {path.layer: path for path in layers.ratio_paths(series)} if series is not None else {}
    found = []
    for parameter in layers.parameters(run):
        name, path = parameter["name"], paths.get(parameter["name"])
        frozen = parameter.get("trainable") is False
        state = "frozen" if frozen else path.state if path is not None else "unknown"
        found.append(
            Row(
                name,
                " × ".join(map(str, parameter.get("shape") or ())) or "scalar",
                int(parameter.get("numel") or 0),
                weight.get(name, np.nan),
                gradient.get(name, np.nan),
                path.recent if path is not None else np.nan,
                STATES[state],
            )
        )
    return found
