"""What a caller may choose: the rules to run and the thresholds to change, checked with an answer that
helps.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

from probes.diagnosis.rule import Rule
from probes.errors import InvalidArgumentError, UnknownNameError


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' with the nearest known name, or the list of names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"


def choose(rules: Iterable[str] | None, catalogue: Mapping[str, Rule]) -> list[Rule]:
    """The rules named by ``rules``, in catalogue order; all of them for None.

    Raises:
        UnknownNameError: a slug that is not in the catalogue.
    """
    if rules is None:
        return list(catalogue.values())
    if isinstance(rules, str):
        raise InvalidArgumentError(f"rules must be a list of slugs, not the text {rules!r}: write [{rules!r}]")
    wanted = list(rules)
    for slug in wanted:
        if slug not in catalogue:
            raise UnknownNameError(f"no rule is called {slug!r}; {nearest(str(slug), catalogue)}")
    return [rule for slug, rule in catalogue.items() if slug in wanted]


def checked_thresholds(
    thresholds: Mapping[str, float] | None, catalogue: Mapping[str, Rule]
) -> dict[str, dict[str, float]]:
    """``{"rule.threshold": value}`` as ``{rule: {threshold: value}}``.

    Raises:
        UnknownNameError: a rule or threshold that does not exist.
        InvalidArgumentError: a key without a dot or a value that is not a finite number.
    """
    chosen: dict[str, dict[str, float]] = {}
    for key, value in (thresholds or {}).items():
        slug, dot, name = str(key).partition(".")
        if not dot:
            raise InvalidArgumentError(f"{key!r} is not RULE.THRESHOLD, such as 'overfitting.rise'")
        if slug not in catalogue:
            raise UnknownNameError(f"no rule is called {slug!r}; {nearest(slug, catalogue)}")
        known = catalogue[slug].thresholds
        if name not in known:
            raise UnknownNameError(f"rule {slug} has no threshold {name!r}; {nearest(name, known)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidArgumentError(f"{key} must be a finite number, got {value!r}")
        chosen.setdefault(slug, {})[name] = float(value)
    return chosen


def parse_setting(text: str) -> tuple[str, float]:
    """("rule.threshold", value) from the command line's ``rule.threshold=value``."""
    key, equals, value = text.partition("=")
    try:
        return key.strip(), float(value) if equals else float("nan")
    except ValueError:
        raise InvalidArgumentError(f"--set {text}: {value!r} is not a number") from None
