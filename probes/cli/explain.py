"""`babysit explain NAME`: how a diagnosis rule or a sanity check judges, why it matters, and what to try."""

from __future__ import annotations

import argparse

from probes.checks.order import SLUGS
from probes.diagnosis import RULES
from probes.diagnosis.options import nearest
from probes.diagnosis.text import markdown, plain
from probes.errors import UnknownNameError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a rule (`babysit rules` lists them) or a sanity check")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")


def run(args: argparse.Namespace) -> int:
    """Print the documentation of the rule or check."""
    if args.name in RULES:
        rule = RULES[args.name]
        print(markdown(rule) if args.markdown else plain(rule))
        return 0
    if args.name not in SLUGS:
        raise UnknownNameError(f"no rule or check is called {args.name!r}; {nearest(args.name, [*RULES, *SLUGS])}")
    # Only now: the checks need torch, which whoever asks about a rule may not have.
    from probes.checks import pages, registry

    print(pages.page(registry.check_named(args.name)))
    return 0
