"""What a run directory says about its past to a writer that is about to continue it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from probes.errors import RunDirectoryError
from probes.runlog.layout import (
    EVENTS,
    LAYERS,
    MANIFEST,
    SCALARS,
    TEMPORARY,
    SegmentName,
    belongs_to_run,
    parse_segment_name,
    segments_in,
)
from probes.runlog.segment_reader import ReplacedError, SegmentInfo, SegmentReader, decode, session_limits


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
    if foreign and not (run_dir / MANIFEST).exists():
        raise RunDirectoryError(
            f"{run_dir}: not empty and not a run directory (it holds {foreign[0]!r}): name another directory"
        )


def clean_up(run_dir: Path, rank: int) -> None:
    """Remove what a killed writer of ``rank`` left half prepared. Raises OSError."""
    for name in os.listdir(run_dir):
        segment = parse_segment_name(name.removesuffix(TEMPORARY))
        if name.endswith(TEMPORARY) and segment is not None and segment.rank == rank:
            (run_dir / name).unlink()


def past_of(run_dir: Path, rank: int) -> Past:
    """What rank ``rank`` recorded in ``run_dir``. Raises OSError when the directory cannot be read."""
    names = [name for name in segments_in(os.listdir(run_dir)) if name.rank == rank] if run_dir.is_dir() else []
    looks = {name: _look(run_dir, name) for name in _latest(names)}
    found = [look for look in looks.values() if look is not None]
    limits = session_limits(look.info for look in found)
    last_steps = []
    for name, look in looks.items():
        if look is not None and look.last_step is not None and name.stream in (SCALARS, LAYERS):
            last_steps.append(min(look.last_step, limits.get(look.info.session, look.last_step)))
    session = max((look.info.session for look in found), default=-1)
    return Past(session + 1, max(last_steps, default=None))


def _latest(names: list[SegmentName]) -> list[SegmentName]:
    """All segments of events (every session but the first has one), the last two of the other streams."""
    streams = {name.stream: [n for n in names if n.stream == name.stream] for name in names}
    return [name for stream, found in streams.items() for name in (found if stream == EVENTS else found[-2:])]


class _Look(NamedTuple):
    info: SegmentInfo
    last_step: int | None


def _look(run_dir: Path, name: SegmentName) -> _Look | None:
    """What a segment says of itself and the step of its last row; None when nothing in it can be read."""
    reader = SegmentReader(run_dir, name)
    last = None
    try:
        for _, message in reader.update(False):
            last = message
    except (OSError, ReplacedError):
        return None
    if reader.info is None:
        return None
    return _Look(reader.info, None if last is None else decode(reader.info, last).column(0)[-1].as_py())
