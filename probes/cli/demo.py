"""`babysit demo`: a real network trains in one process while the dashboard watches it in another."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from probes.errors import InvalidArgumentError

RECIPE = "demo"
_POLL_SECONDS = 0.1
_STOP_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", default="runs", metavar="DIR", help="directory for the run (default: runs)")
    parser.add_argument("--port", type=int, default=None, help="dashboard port; 0 picks a free one (default: 8501)")
    parser.add_argument("--once", action="store_true", help="stop when the training ends")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--recipe", default=RECIPE, help="recipe to train (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=None, help="train for this many epochs instead of the recipe's")


def run(args: argparse.Namespace) -> int:
    runs = Path(args.runs)
    if runs.exists() and not runs.is_dir():
        raise InvalidArgumentError(f"--runs {runs} is a file; name a directory for the runs")
    run_dir = runs / f"{args.recipe}-{datetime.now():%Y%m%d-%H%M%S}"

    dashboard = ["dashboard", str(runs)]
    if args.port is not None:
        dashboard += ["--port", str(args.port)]
    if args.no_browser:
        dashboard.append("--no-browser")
    train = ["train", args.recipe, "--run-dir", str(run_dir)]
    if args.epochs is not None:
        train += ["--epochs", str(args.epochs)]

    # SIGTERM (a supervisor, `timeout`) must stop both children as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    server = _start(dashboard)
    trainer: subprocess.Popen[bytes] | None = None
    try:
        trainer = _start(train)
        return _wait(trainer, server, once=args.once)
    except KeyboardInterrupt:
        print("\nbabysit demo: stopping", flush=True)
        return 0
    finally:
        # A second Ctrl-C while stopping must not leave a child behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if trainer is not None:
            _stop(trainer)
        _stop(server)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    # A process group of its own: Ctrl-C in the terminal reaches this process alone, which then stops its children in
    # order (training first, so that the page still shows how it ended).
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([sys.executable, "-m", "probes", *arguments], env=environment, start_new_session=True)


def _wait(trainer: subprocess.Popen[bytes], server: subprocess.Popen[bytes], *, once: bool) -> int:
    """Exit code: of the training with ``once``; otherwise of the first that failed, or 0 after Ctrl-C."""
    announced = False
    while True:
        served = server.poll()
        if served is not None:
            return served or 1
        trained = trainer.poll()
        if trained is not None:
            if once or trained != 0:
                return trained
            if not announced:
                print("babysit demo: training finished; the dashboard stays open, Ctrl-C stops it", flush=True)
                announced = True
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # SIGTERM, not SIGINT: a shell that starts the demo in the background makes its children ignore SIGINT.
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(signum)
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
