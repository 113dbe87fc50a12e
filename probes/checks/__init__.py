"""Sanity checks before training: can this model, loss, data and optimizer learn at all, and what is to be
fixed?

`check` runs the catalogue (`probes/checks/catalogue/`, one check, one module) and returns a `SanityReport`.
Nothing of the caller's is changed by it. Names are resolved on first use, so that reading a saved report
needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probes.checks.engine import check
    from probes.checks.registry import all_checks, check_named, slugs
    from probes.checks.result import CheckResult, SanityReport, load_report

_HOME = {
    "check": "probes.checks.engine",
    "CheckResult": "probes.checks.result",
    "SanityReport": "probes.checks.result",
    "load_report": "probes.checks.result",
    "all_checks": "probes.checks.registry",
    "check_named": "probes.checks.registry",
    "slugs": "probes.checks.registry",
}

__all__ = ["CheckResult", "SanityReport", "all_checks", "check", "check_named", "load_report", "slugs"]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'probes.checks' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
