"""``findings.json``: the report on a run, saved in its directory."""

from __future__ import annotations

import functools
import json
import os
import time
import zlib
from pathlib import Path
from typing import Any

from probes._version import __version__
from probes.diagnosis.registry import RULES
from probes.diagnosis.report import Report
from probes.errors import RunDirectoryError
from probes.runlog.layout import FINDINGS, temporary_name

FORMAT = "babysit-findings"
VERSION = 1


@functools.cache
def rules_version() -> str:
    """Which rules judged: babysit's version and a checksum of the catalogue's slugs and thresholds."""
    listed = [f"{slug} {sorted(rule.thresholds.items())}" for slug, rule in sorted(RULES.items())]
    return f"{__version__}+{zlib.crc32(chr(10).join(listed).encode()):08x}"


def document(report: Report) -> dict[str, Any]:
    """What is written: the report (see `Report.to_dict`; ``step`` is the step judged at) and what made it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "rules": rules_version(),
        "created": time.time(),
        **report.to_dict(),
    }


def save(report: Report, run_dir: str | os.PathLike[str]) -> Path:
    """Write the report to ``<run_dir>/findings.json``, replacing an older one atomically; returns the path.

    Raises:
        RunDirectoryError: the directory is not there, or cannot be written.
    """
    directory = Path(run_dir)
    target, prepared = directory / FINDINGS, directory / temporary_name(FINDINGS)
    try:
        prepared.write_text(json.dumps(document(report), allow_nan=False, indent=1), encoding="utf-8")
        os.replace(prepared, target)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot write {target}: {error.strerror or error}; choose a run directory that can be written"
        ) from error
    return target
