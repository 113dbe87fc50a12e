"""The run log: what the instruments measure goes into a run directory, and is read back from it as a `Run`.

Needs NumPy, pyarrow, orjson and filelock; neither torch nor the dashboard. Names are resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.runlog.discovery import list_runs
    from probes.runlog.overview import Glance, glance
    from probes.runlog.records import (
        Event,
        FilterSnapshot,
        HistogramFrame,
        HistogramTable,
        LayerFrame,
        Record,
    )
    from probes.runlog.run import Run, open_run
    from probes.runlog.types import Filters, Histograms, LayerHistograms, LayerSeries, RunEvent, Series
    from probes.runlog.writer import RunWriter

_HOME = {
    "Event": "records",
    "FilterSnapshot": "records",
    "Filters": "types",
    "Glance": "overview",
    "HistogramFrame": "records",
    "HistogramTable": "records",
    "Histograms": "types",
    "LayerFrame": "records",
    "LayerHistograms": "types",
    "LayerSeries": "types",
    "Record": "records",
    "Run": "run",
    "RunEvent": "types",
    "RunWriter": "writer",
    "Series": "types",
    "glance": "overview",
    "list_runs": "discovery",
    "open_run": "run",
}

__all__ = [
    "Event",
    "FilterSnapshot",
    "Filters",
    "Glance",
    "HistogramFrame",
    "HistogramTable",
    "Histograms",
    "LayerFrame",
    "LayerHistograms",
    "LayerSeries",
    "Record",
    "Run",
    "RunEvent",
    "RunWriter",
    "Series",
    "glance",
    "list_runs",
    "open_run",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'probes.runlog' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"probes.runlog.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
