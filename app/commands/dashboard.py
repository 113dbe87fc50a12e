"""`babysit dashboard`: serve the page for a directory of runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs_dir",
        nargs="?",
        default="runs",
        metavar="RUNS_DIR",
        help="directory of runs, or one run; it may still be to come (default: runs)",
    )
    parser.add_argument(
        "--port", type=int, default=None, help="port; 0 picks a free one (default: the first free one from 8501 on)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name under which the page is reached, e.g. a proxy's; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    from app.server.serve import serve
    from app.server.settings import Settings

    return serve(
        Settings(
            runs_dir=Path(args.runs_dir),
            host=args.host,
            port=args.port,
            open_browser=not args.no_browser,
            allow_hosts=tuple(args.allow_host),
        )
    )
