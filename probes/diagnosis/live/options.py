"""What `watch` is asked to do about findings while the run goes on, checked before it begins."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from probes.diagnosis.finding import Finding
from probes.diagnosis.live.alerts import checked_addresses
from probes.diagnosis.options import choose
from probes.diagnosis.registry import RULES
from probes.errors import InvalidArgumentError


@dataclass(frozen=True)
class LiveOptions:
    """What is done about findings at warning or above.

    Attributes:
        on_finding: called with each finding that is news.
        alerts: addresses that are notified of them.
        stop_on: slugs of the rules whose finding ends the run.
        cool_down: seconds between two tellings of the same finding.
    """

    on_finding: Callable[[Finding], object] | None
    alerts: tuple[str, ...]
    stop_on: frozenset[str]
    cool_down: float


def live_options(on_finding: object, alerts: object, stop_on: object, cool_down: object) -> LiveOptions | None:
    """The options, or None when nothing is asked for.

    Raises:
        InvalidArgumentError: one of them cannot be meant, or an address is not understood.
        UnknownNameError: ``stop_on`` names a rule that does not exist.
        MissingDependencyError: alerts are asked for and apprise is not installed.
    """
    if on_finding is not None and not callable(on_finding):
        raise InvalidArgumentError(
            f"on_finding must be a function that takes a Finding, not a {type(on_finding).__name__}"
        )
    if (
        isinstance(cool_down, bool)
        or not isinstance(cool_down, numbers.Real)
        or not math.isfinite(cool_down)
        or cool_down < 0
    ):
        raise InvalidArgumentError(f"cool_down must be a number of seconds from 0, not {cool_down!r}")
    slugs = frozenset(rule.slug for rule in choose(_texts("stop_on", stop_on, "nonfinite-values"), RULES))
    addresses = checked_addresses(_texts("alerts", alerts, "mailto://user:password@example.com"))
    if on_finding is None and not addresses and not slugs:
        return None
    return LiveOptions(on_finding, addresses, slugs, float(cool_down))


def _texts(what: str, given: object, example: str) -> list[str]:
    """``given`` as a list of texts."""
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgumentError(f"{what} must be a list such as [{example!r}], not a {type(given).__name__}")
    texts = []
    for item in given:
        if not isinstance(item, str):
            kind = type(item).__name__
            raise InvalidArgumentError(f"{what} must be a list of texts such as {example!r}, not of {kind}")
        texts.append(item)
    return texts
