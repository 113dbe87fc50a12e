"""Names inside a run directory.

A run directory holds ``run.json`` (the manifest), ``writer.lock``, the reports, and log segments named
``<stream>-r<rank>-<segment>.arrows``, e.g. ``scalars-r0-00003.arrows``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FORMAT = "babysit-run"
FORMAT_VERSION = 1

MANIFEST = "run.json"
CHECKS = "checks.json"
FINDINGS = "findings.json"

SCALARS = "scalars"
LAYERS = "layers"
HISTOGRAMS = "histograms"
FILTERS = "filters"
EVENTS = "events"
STREAMS = (SCALARS, LAYERS, HISTOGRAMS, FILTERS, EVENTS)

_SEGMENT = re.compile(r"(?P<stream>[a-z]+)-r(?P<rank>\d+)-(?P<number>\d{5,})\.arrows")
TEMPORARY = ".partial"


class SegmentName(NamedTuple):
    """What a segment's file name says."""

    stream: str
    rank: int
    number: int

    def __str__(self) -> str:
        return f"{self.stream}-r{self.rank}-{self.number:05d}.arrows"


def parse_segment_name(name: str) -> SegmentName | None:
    """The parts of a segment's file name, or None when the name is not one of a known stream."""
    match = _SEGMENT.fullmatch(name)
    if match is None or match["stream"] not in STREAMS:
        return None
    return SegmentName(match["stream"], int(match["rank"]), int(match["number"]))


def lock_name(rank: int) -> str:
    """Name of the file a live writer of ``rank`` holds locked."""
    return "writer.lock" if rank == 0 else f"writer-r{rank}.lock"


def temporary_name(name: str) -> str:
    """Name under which the next version of file ``name`` is prepared before it replaces the old one."""
    return name + TEMPORARY


def belongs_to_run(name: str) -> bool:
    """True for names the run log itself creates (so that a rank may find what a faster rank has begun)."""
    plain = name.removesuffix(TEMPORARY)
    return (
        plain in (MANIFEST, CHECKS, FINDINGS)
        or re.fullmatch(r"writer(-r\d+)?\.lock", plain) is not None
        or parse_segment_name(plain) is not None
        or name.startswith(".")
    )


def segments_in(names: list[str]) -> list[SegmentName]:
    """The segments among file ``names``, ordered by stream, rank and number."""
    found = (parse_segment_name(name) for name in names)
    return sorted(segment for segment in found if segment is not None)


def run_path(path: str | Path) -> Path:
    """``path`` as an absolute path without resolving links, ``~`` expanded."""
    return Path(path).expanduser().absolute()
