"""What a run directory says about its past to a writer that is about to continue it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from probes.errors import RunDirectoryError
from probes.runlog.layout import EVENTS, LAYERS, SCALARS, SegmentName, belongs_to_run, segments_in
from probes.runlog.segment_reader import ReplacedError, SegmentReader, decode


class Past(NamedTuple):
    """Sessions a rank has written so far, and the last step that any of them recorded (None: no step)."""

    sessions: int
    last_step: int | None


def check_directory(run_dir: Path) -> None:
    """Raise RunDirectoryError when ``run_dir`` is something else than a run or a place for one."""
    if not run_dir.exists():
        return
    if not run_dir.is_dir():
        raise RunDirectoryError(f"{run_dir}: is a file: name a directory for the run")
    foreign = sorted(name for name in os.listdir(run_dir) if not belongs_to_run(name))
    if foreign and not (run_dir / "run.json").exists():
        raise RunDirectoryError(
            f"{run_dir}: is not empty and not a run directory (it holds {foreign[0]!r}): name another directory"
        )


def past_of(run_dir: Path, rank: int) -> Past:
    """What rank ``rank`` recorded in ``run_dir``. Raises OSError when the directory cannot be read."""
    names = (
        [name for name in segments_in(os.listdir(run_dir)) if name.rank == rank] if run_dir.is_dir() else []
    )
    session, last_step = -1, None
    for stream in (EVENTS, SCALARS, LAYERS):
        for name in reversed([name for name in names if name.stream == stream]):
            found = _look(run_dir, name)
            if found is None:
                continue
            session = max(session, found[0])
            if stream != EVENTS:
                steps = [step for step in (found[1], last_step) if step is not None]
                last_step = max(steps, default=None)
                if found[1] is not None:
                    break
            elif found[0] >= 0:
                break
    return Past(session + 1, last_step)


def _look(run_dir: Path, name: SegmentName) -> tuple[int, int | None] | None:
    """Session of a segment and the step of its last row; None when nothing in it can be read."""
    reader = SegmentReader(run_dir, name)
    try:
        last = None
        for _, message in reader.update(False):
            last = bytes(message) if len(message) < 1 << 16 else message
    except (OSError, ReplacedError):
        return None
    if reader.info is None:
        return None
    if last is None:
        return reader.info.session, reader.info.start_step
    return reader.info.session, decode(reader.info, last).column(0)[-1].as_py()
