"""`babysit diagnose RUN_DIR`: what is wrong with a run, why, and what to try."""

from __future__ import annotations

import argparse
import json

from probes.diagnosis import diagnose
from probes.diagnosis.options import parse_setting
from probes.diagnosis.saved import save
from probes.diagnosis.terminal import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a run directory, live or ended")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.add_argument("--at-step", type=int, metavar="N", help="judge as if the run had only come to step N")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="RULE.THRESHOLD=VALUE",
        help="change a threshold (babysit explain RULE lists them); may be repeated",
    )
    parser.add_argument("--save", action="store_true", help="write the report to findings.json in the run directory")
    parser.add_argument("--rules", metavar="A,B", help="ask only these rules (babysit rules lists them)")


def run(args: argparse.Namespace) -> int:
    """Print the report; 0: nothing at warning or above, 1: something."""
    rules = [slug.strip() for slug in args.rules.split(",") if slug.strip()] if args.rules is not None else None
    thresholds = dict(parse_setting(text) for text in args.settings)
    report = diagnose(args.run_dir, rules, at_step=args.at_step, thresholds=thresholds)
    if args.save:
        save(report, args.run_dir)
    print(json.dumps(report.to_dict(), indent=2) if args.json else render(report))
    return 0 if report.ok else 1
