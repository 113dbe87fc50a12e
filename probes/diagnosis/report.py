"""The outcome of a diagnosis: findings as cause and symptoms, and what could not be judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from probes.diagnosis.descent import Descent
from probes.diagnosis.finding import Finding, Severity, rank


class NotJudgedRule(NamedTuple):
    """A rule that could not judge the run, and why."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What `diagnose` returns.

    Attributes:
        run: name of the run.
        status: "running", "finished", "crashed" or "stalled" ("running" when replayed at an earlier step).
        step: the last step that was taken into account.
        findings: most severe root cause first, each followed by the findings it explains.
        not_judged: (rule, reason) of each rule that lacked data. Missing data never means healthy.
        clear: slugs of the rules that judged the run and found nothing.
        descent: whether the training loss has come down; None when there is none to judge by.
    """

    run: str
    status: str
    step: int
    findings: list[Finding]
    not_judged: list[NotJudgedRule]
    clear: list[str]
    descent: Descent | None = None

    @property
    def ok(self) -> bool:
        """True when nothing at warning or above was found."""
        return not any(rank(finding.severity) >= rank("warning") for finding in self.findings)

    @property
    def severity(self) -> Severity | None:
        """The highest severity found; None without findings."""
        return max((finding.severity for finding in self.findings), key=rank, default=None)

    @property
    def root_causes(self) -> list[Finding]:
        """The findings that no other finding explains, most severe first."""
        return [finding for finding in self.findings if finding.caused_by is None]

    def symptoms(self, cause: Finding) -> list[Finding]:
        """The findings explained by ``cause``, directly or through others, nearest first."""
        return list(self._descend(cause.rule))

    def _descend(self, slug: str) -> Iterator[Finding]:
        for finding in self.findings:
            if finding.caused_by == slug:
                yield finding
                yield from self._descend(finding.rule)

    @property
    def verdict(self) -> str:
        """One sentence: is the run healthy, and if not, what is wrong."""
        judged = len(self.clear) + len({finding.rule for finding in self.findings})
        unjudged = len(self.not_judged)
        if judged == 0:
            return f"Nothing could be judged: {self.not_judged[0].reason}." if unjudged else "No rule was asked."
        gap = f" {unjudged} of {judged + unjudged} rules could not be judged." if unjudged else ""
        if self.ok:
            return f"No problem found in {_count(self.step, 'step')} by {_count(judged, 'rule')}.{gap}"
        root = next(f for f in self.root_causes if rank(self.story_severity(f)) >= rank("warning"))
        severity = self.story_severity(root)
        chain = " → ".join(_inside(f.title) for f in self._main_line(root))
        others = len([f for f in self.root_causes if f is not root and rank(f.severity) >= rank("warning")])
        more = f" {_count(others, 'other problem')} found." if others else ""
        return f"{severity.capitalize()}: {chain}, since step {root.first_step}.{more}{gap}"

    def _main_line(self, root: Finding) -> list[Finding]:
        line = [root]
        while True:
            effects = [f for f in self.findings if f.caused_by == line[-1].rule and f.severity != "info"]
            if not effects:
                return line
            line.append(max(effects, key=lambda f: rank(f.severity)))

    def story_severity(self, root: Finding) -> Severity:
        """The highest severity among a cause and its symptoms."""
        return max((f.severity for f in (root, *self.symptoms(root))), key=rank)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "run": self.run,
            "status": self.status,
            "step": self.step,
            "ok": self.ok,
            "severity": self.severity,
            "verdict": self.verdict,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_judged": [{"rule": rule, "reason": reason} for rule, reason in self.not_judged],
            "clear": list(self.clear),
            "descent": self.descent.to_dict() if self.descent is not None else None,
        }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _inside(title: str) -> str:
    """A title as it is written inside a sentence."""
    return title[:1].lower() + title[1:]
