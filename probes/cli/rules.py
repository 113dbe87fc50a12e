"""`babysit rules`: the catalogue of diagnosis rules."""

from __future__ import annotations

import argparse
import json

from probes.diagnosis import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def run(args: argparse.Namespace) -> int:
    """Print the catalogue, family by family."""
    if args.json:
        listed = [
            {
                "rule": rule.slug,
                "family": rule.family,
                "severity": rule.severity,
                "title": rule.title,
                "summary": rule.summary,
                "needs": rule.needs,
                "thresholds": rule.thresholds,
            }
            for rule in RULES.values()
        ]
        print(json.dumps(listed, indent=2))
        return 0
    width = max(len(slug) for slug in RULES)
    family = ""
    for rule in RULES.values():
        if rule.family != family:
            print(f"{'' if not family else chr(10)}{rule.family}")
            family = rule.family
        print(f"  {rule.slug:<{width}}  {rule.summary}")
    print("\nbabysit explain RULE tells how a rule judges, and what to try.")
    return 0
