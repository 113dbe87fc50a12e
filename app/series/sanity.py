"""The sanity report saved with a run, as a card to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.series.numbers import duration, plural
from probes.errors import RunDirectoryError

WORDS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL", "skip": "NOT RUN"}
TONES = {"pass": "good", "warn": "warning", "fail": "critical", "skip": "unknown"}
ORDER = ("fail", "warn", "skip", "pass")


@dataclass(frozen=True)
class Result:
    """One check. `status` is "pass", "warn", "fail" or "skip"; `evidence` is as saved, so of no certain form."""

    check: str
    status: str
    message: str
    suggestions: tuple[str, ...]
    seconds: float
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """All results, worst first, and one sentence about them."""

    results: list[Result]
    headline: str
    tone: str


def card(report: Mapping[str, Any]) -> Card:
    """The card of a report as `checks.json` holds it.

    Raises:
        RunDirectoryError: it is no sanity report.
    """
    try:
        results = [
            Result(
                str(item["check"]),
                item["status"] if item["status"] in WORDS else "skip",
                str(item["message"]),
                tuple(map(str, item.get("suggestions") or ())),
                float(item.get("seconds") or 0.0),
                item["evidence"] if isinstance(item.get("evidence"), Mapping) else {},
            )
            for item in report["results"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDirectoryError(f"checks.json is not a sanity report ({error!r}); delete it and check anew") from error
    results.sort(key=lambda one: ORDER.index(one.status))
    counts = {status: sum(one.status == status for one in results) for status in ORDER}
    words = [f"{counts[status]} {WORDS[status].lower()}" for status in ORDER if counts[status]]
    seconds = report.get("seconds")
    took = f" in {duration(float(seconds))}" if isinstance(seconds, (int, float)) else ""
    worst = next((one.status for one in results if one.status in ("fail", "warn")), None)
    tone = TONES[worst] if worst else "good" if counts["pass"] else "unknown"
    return Card(results, f"{plural(len(results), 'check')}{took}: {', '.join(words) or 'none ran'}", tone)
