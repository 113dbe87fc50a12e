"""babysit's probes: attach to a training loop, read the run back, diagnose it, check a model before training.

    import probes

    with probes.watch(model, optimizer, run_dir="runs/lenet-1") as probe:
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)

Names are resolved on first use, so that reading and diagnosing a run imports neither torch nor the dashboard.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from probes._version import __version__

if TYPE_CHECKING:
    from probes.checks import CheckResult, SanityReport, check
    from probes.diagnosis import Finding, Report, diagnose
    from probes.errors import StopTraining
    from probes.instrument import Probe, watch
    from probes.runlog import Histograms, LayerSeries, Run, Series, open_run

_HOME = {
    "watch": "probes.instrument",
    "Probe": "probes.instrument",
    "open_run": "probes.runlog",
    "Run": "probes.runlog",
    "Series": "probes.runlog",
    "LayerSeries": "probes.runlog",
    "Histograms": "probes.runlog",
    "diagnose": "probes.diagnosis",
    "Report": "probes.diagnosis",
    "Finding": "probes.diagnosis",
    "StopTraining": "probes.errors",
    "check": "probes.checks",
    "SanityReport": "probes.checks",
    "CheckResult": "probes.checks",
}

__all__ = [
    "CheckResult",
    "Finding",
    "Histograms",
    "LayerSeries",
    "Probe",
    "Report",
    "Run",
    "SanityReport",
    "Series",
    "StopTraining",
    "__version__",
    "check",
    "diagnose",
    "open_run",
    "watch",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'probes' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
