"""The catalogue of sanity checks, in the order in which they run and are reported."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from probes.checks.context import Context
from probes.checks.order import SLUGS
from probes.checks.outcome import Outcome
from probes.errors import UnknownNameError

Family = Literal["basics", "data", "loss", "model", "gradients", "optimizer", "learning"]


@dataclass(frozen=True)
class Check:
    """One sanity check.

    Attributes:
        slug: its name in reports and on the command line.
        title: the question it answers, in one line.
        family: what it is about.
        share: its weight when the time budget is shared out.
        run: the check itself. Raises `NotApplicable` (reason) where it does not apply.
        doc: the module's docstring, which is its documentation page.
    """

    slug: str
    title: str
    family: Family
    share: float
    run: Callable[[Context], Outcome]
    doc: str


def slugs() -> tuple[str, ...]:
    """Names of all checks, in order."""
    return SLUGS


@cache
def check_named(slug: str) -> Check:
    """The check called `slug`.

    Raises:
        UnknownNameError: there is none.
    """
    if slug not in SLUGS:
        raise UnknownNameError(f"no check is called {slug!r}; there are: {', '.join(SLUGS)}")
    module = importlib.import_module(f"probes.checks.catalogue.{slug.replace('-', '_')}")
    return Check(slug, module.TITLE, module.FAMILY, module.SHARE, module.run, module.__doc__ or "")


def all_checks() -> tuple[Check, ...]:
    """Every check of the catalogue, in order."""
    return tuple(check_named(slug) for slug in SLUGS)
