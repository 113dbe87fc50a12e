"""A run in a list: what can be said of it without opening its log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probes.runlog import status as statuses
from probes.runlog.layout import lock_name, parse_segment_name
from probes.runlog.manifest import read_manifest


@dataclass(frozen=True)
class Glance:
    """What a list shows of a run: `status` as in `Run.status`, `created` in Unix seconds (0.0: not known)."""

    name: str
    status: str
    created: float


def glance(run_dir: Path) -> Glance:
    """Judge the run in ``run_dir`` from its manifest, its lock and the times of its files.

    Cheap enough for hundreds of runs. `Run.status` also knows the run's own pace and so sees a stall earlier: here
    a run whose writer lives must have written nothing for as long as a run without any step is waited for.

    Raises:
        RunDirectoryError: it is no readable run.
    """
    manifest = read_manifest(run_dir)
    created = manifest.get("created")
    began = float(created) if isinstance(created, int | float) else 0.0
    status = str(manifest.get("status", statuses.RUNNING))
    if status not in (statuses.FINISHED, statuses.CRASHED):
        now = time.time()
        lock = run_dir / lock_name(0)
        try:
            beat: float | None = max(0.0, now - lock.stat().st_mtime)
        except OSError:
            beat = None
        quiet = max(0.0, now - max(began, _last_write(run_dir)))
        status = statuses.judge(statuses.look(manifest, lock, beat, quiet, np.empty(0)))
    return Glance(str(manifest.get("name") or run_dir.name), status, began)


def _last_write(run_dir: Path) -> float:
    written = 0.0
    for path in run_dir.iterdir():
        if parse_segment_name(path.name) is not None:
            try:
                written = max(written, path.stat().st_mtime)
            except OSError:
                continue  # replaced or removed meanwhile; its successor is looked at next time
    return written
