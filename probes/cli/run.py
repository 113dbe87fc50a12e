"""`babysit run SCRIPT`: run a training script as it is, watched."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from pathlib import Path

from probes.errors import InvalidArgumentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "babysit run [--run-dir DIR] [--every N] SCRIPT [ARGS ...]"
    parser.add_argument("--run-dir", default=None, metavar="DIR", help="run directory (default: runs/<time>-<model>)")
    parser.add_argument("--every", type=int, default=None, metavar="N", help="per-layer frame every N steps")
    parser.add_argument("script", metavar="SCRIPT", help="a Python file that trains a model")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="the script's own arguments")


def run(args: argparse.Namespace) -> int:
    script = Path(args.script)
    if not script.is_file():
        raise InvalidArgumentError(f"no such script: {script}; give the path of a Python file that trains a model")
    from probes.instrument.unattended import Unattended

    every = "auto" if args.every is None else args.every
    watcher = Unattended(run_dir=args.run_dir, every=every, config={"script": str(script), "argv": args.arguments})
    # As `python SCRIPT` would: the script's folder leads sys.path, and sys.argv is the script's own.
    sys.argv = [str(script), *args.arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        watcher.close("finished" if code == 0 else "crashed", None if code == 0 else f"exit code {code}")
        return code
    except KeyboardInterrupt:
        watcher.close("crashed", "KeyboardInterrupt")
        raise
    except Exception as error:  # noqa: BLE001 - reported as Python would, in full, with the script's own frames
        watcher.close("crashed", f"{type(error).__name__}: {error}")
        _print_traceback(error, script)
        return 1
    watcher.close()
    if watcher.probe is None:
        print(f"babysit run: {script} took no optimizer step on a called module: nothing was recorded", file=sys.stderr)
    else:
        print(f"babysit run: recorded in {watcher.probe.run_dir}", file=sys.stderr)
    return 0


def _print_traceback(error: Exception, script: Path) -> None:
    """The traceback from the script's first frame on: the frames before it are ours, not the user's."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) != script:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace or error.__traceback__)
