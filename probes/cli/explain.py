"""`babysit explain RULE`: how a rule judges, why it matters, and what to try."""

from __future__ import annotations

import argparse

from probes.diagnosis import RULES
from probes.diagnosis.options import choose
from probes.diagnosis.text import markdown, plain

NAME = "explain"
HELP = "explain a diagnosis rule"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("rule", metavar="RULE", help="the rule's name (babysit rules lists them)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")


def run(args: argparse.Namespace) -> int:
    """Print the rule's documentation."""
    (rule,) = choose([args.rule], RULES)
    print(markdown(rule) if args.markdown else plain(rule))
    return 0
