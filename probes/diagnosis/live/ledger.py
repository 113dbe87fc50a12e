"""Which findings are news. Pure: time comes in as a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from probes.diagnosis.finding import Finding, rank


@dataclass
class _Entry:
    """What is known of one rule: whether its finding was active at the last look, when it was told last, and whether
    it has come back since and waits for the end of its cool-down.
    """

    active: bool
    told: float
    waiting: bool = False


class Ledger:
    """Remembers what was told.

    A finding is news when it is seen for the first time, and when it comes back after it was over or gone. One that
    comes back within its cool-down is told when that has passed, if it is still there.

    Args:
        cool_down: seconds between two tellings of the same finding.
    """

    def __init__(self, cool_down: float) -> None:
        self._cool_down = cool_down
        self._entries: dict[str, _Entry] = {}

    def news(self, findings: Iterable[Finding], now: float) -> list[Finding]:
        """Those of ``findings`` (all that were found at one look) to tell now, in their order.

        Only warnings and critical findings count: an "info" harms nothing.

        Args:
            now: seconds, on a clock that never goes back.
        """
        told = []
        present = {finding.rule: finding for finding in findings if rank(finding.severity) >= rank("warning")}
        for rule, finding in present.items():
            entry = self._entries.get(rule)
            if entry is None:  # told also when it is over already: it came and went between two looks
                self._entries[rule] = _Entry(finding.active, now)
                told.append(finding)
                continue
            entry.waiting = finding.active and (entry.waiting or not entry.active)
            entry.active = finding.active
            if entry.waiting and now - entry.told >= self._cool_down:
                entry.told, entry.waiting = now, False
                told.append(finding)
        for rule, entry in self._entries.items():
            if rule not in present:
                entry.active = entry.waiting = False
        return told
