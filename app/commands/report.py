"""`babysit report`: one self-contained HTML page about a run."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from probes.errors import BabysitError
from probes.runlog import open_run

NAME = "report"
HELP = "write one self-contained HTML page about a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a run directory, live or ended")
    parser.add_argument(
        "-o", "--output", metavar="FILE.html", help="where to write it (default: <name of RUN_DIR>.html, here)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if there is one")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    opened = open_run(args.run_dir)
    target = Path(args.output) if args.output else Path(f"{opened.path.resolve().name}.html")
    _check(target, args.force)
    import app.report  # plotly is needed from here on, and not for the errors above

    write(target, app.report.page(opened, time.time()))
    print(f"{target}  ({target.stat().st_size / 1e6:.1f} MB, works offline)")
    return 0


def _check(target: Path, force: bool) -> None:
    if target.is_dir():
        raise BabysitError(f"{target} is a directory; give -o the name of a file in it")
    if not target.parent.is_dir():
        raise BabysitError(f"{target.parent} is no directory; make it first, or give -o another place")
    if target.exists() and not force:
        raise BabysitError(f"{target} exists already; give -o another name, or --force to replace it")


def write(target: Path, page: str) -> None:
    """The file whole or not at all: a browser that reloads meanwhile sees the old one.

    Raises:
        BabysitError: it cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=".report-", suffix=".html", delete=False
        ) as stream:
            temporary = stream.name
            stream.write(page)
        # A temporary file is its owner's alone; a report is as readable as any file made here.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise BabysitError(f"{target} cannot be written: {error.strerror or error}") from error
