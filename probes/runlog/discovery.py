"""Finding the runs below a directory."""

from __future__ import annotations

import os
from pathlib import Path

from probes.runlog.layout import MANIFEST

MAX_DEPTH = 6
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages"})


def list_runs(runs_dir: str | Path) -> list[Path]:
    """Directories at or below ``runs_dir`` that hold a run, by path; nested ones too, down to `MAX_DEPTH`
    levels.

    A missing directory holds none; what cannot be read is passed over, and so are hidden directories and
    links to directories (which could lead in circles). Nothing is opened.
    """
    root = Path(runs_dir).expanduser().absolute()
    return sorted(_walk(root, 0))


def _walk(directory: Path, depth: int) -> list[Path]:
    found, below = [], []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name == MANIFEST:
                    found.append(directory)
                elif depth < MAX_DEPTH and _leads_on(entry):
                    below.append(directory / entry.name)
    except OSError:
        return found  # vanished, or not ours to read
    for child in below:
        found += _walk(child, depth + 1)
    return found


def _leads_on(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.name not in _PASSED_OVER and entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
