"""The diagnosis of a run, made once for each version of it, however many pages ask."""

from __future__ import annotations

import threading
from collections import OrderedDict

from app.store import Page
from probes.diagnosis import Report, diagnose

_KEPT = 32
_reports: OrderedDict[tuple[str, str], tuple[int, Report]] = OrderedDict()
_lock = threading.Lock()


def report_of(page: Page, run_id: str | None = None) -> Report:
    """The report on a run (the page's by default) as it stands.

    Raises:
        RunDirectoryError: the run cannot be read.
    """
    chosen = run_id or page.run_id or ""
    key = (str(page.dashboard.directory.root), chosen)
    store = page.dashboard.store(chosen)
    with _lock:
        kept = _reports.get(key)
    if kept is not None and kept[0] == store.version:
        return kept[1]
    with page.dashboard.reading([chosen]) as (run,):
        version = store.version
        report = diagnose(run)
    with _lock:
        _reports[key] = (version, report)
        _reports.move_to_end(key)
        while len(_reports) > _KEPT:
            _reports.popitem(last=False)
    return report
