"""The verdict in one sentence: is the run healthy, and if not, what is wrong and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.series.numbers import number, plural

if TYPE_CHECKING:
    from probes.diagnosis import Finding, Report
    from probes.diagnosis.descent import Descent

Tone = Literal["good", "unknown", "info", "warning", "critical"]

WORDS: dict[Tone, str] = {
    "good": "No problem found",
    "unknown": "Unclear",
    "info": "Note",
    "warning": "Warning",
    "critical": "Critical",
}
SYMPTOMS_NAMED = 2  # more make a headline that nobody reads at a glance; the Diagnosis view has them all
NOT_RUN = "Too little has been measured to judge anything."


@dataclass(frozen=True)
class Verdict:
    """What the banner says.

    Attributes:
        tone: picks icon and colour; its word is `WORDS[tone]`.
        headline: one sentence.
        detail: what was seen, with numbers; "" when there is nothing to add.
        advice: the first thing to try; "" when there is none.
        coverage: how many rules judged and how many could not.
    """

    tone: Tone
    headline: str
    detail: str
    advice: str
    coverage: str


def verdict(report: Report) -> Verdict:
    """The banner's verdict.

    Never good when no rule, or less than a quarter of them, could judge: missing data is not health. Nor while the loss
    has not fallen, whatever the rules say: a net at chance is not fine. Nor when the run crashed.
    """
    judged, missing = judged_count(report), len(report.not_judged)
    worst = worst_finding(report)
    coverage = f"{plural(judged, 'rule')} judged" + (f", {missing} could not be judged" if missing else "")
    if worst is not None:
        symptoms = [_inside_sentence(f.title) for f in report.symptoms(worst) if f.severity != "info"]
        if len(symptoms) > SYMPTOMS_NAMED + 1:
            symptoms[SYMPTOMS_NAMED:] = [f"{len(symptoms) - SYMPTOMS_NAMED} more symptoms"]
        chain = " → ".join([worst.title, *symptoms])
        others = len([f for f in report.root_causes if f is not worst and f.severity != "info"])
        more = f" · and {plural(others, 'other problem')}" if others else ""
        return Verdict(
            report.story_severity(worst),
            f"{chain}, {when(worst)}{more}",
            worst.message,
            worst.suggestions[0] if worst.suggestions else "",
            coverage,
        )
    if not judged:
        reason = report.not_judged[0].reason if report.not_judged else ""
        return Verdict("unknown", NOT_RUN, f"For example: {reason}" if reason else "", "", coverage)
    upto = f"up to step {report.step:,}"
    if report.descent is not None and not report.descent.fell:
        said = f"Nothing has been learned yet: {_flat(report.descent)}"
        return Verdict("unknown", said, "No rule has found the reason so far.", "", f"{coverage}, {upto}")
    if report.status == "crashed":
        said = f"The run crashed; before that {plural(judged, 'rule')} found no problem"
        return Verdict("unknown", said, "", "", (f"{missing} could not be judged, " if missing else "") + upto)
    if missing > 3 * judged:
        said = f"Only {judged} of {plural(judged + missing, 'rule')} could judge, and found nothing"
        return Verdict("unknown", said, f"For example: {report.not_judged[0].reason}", "", upto)
    gap = f", {missing} could not be judged" if missing else ""
    return Verdict("good", f"No problem found by {plural(judged, 'rule')}{gap}", "", "", upto)


def _flat(descent: Descent) -> str:
    """One clause about a loss that has not come down."""
    if descent.guessing is not None and descent.end < descent.start:
        return f"the training loss is {number(descent.end)}, and guessing gives {number(descent.guessing)}"
    return f"the training loss has not fallen ({number(descent.start)} at the beginning, {number(descent.end)} now)"


def _inside_sentence(title: str) -> str:
    """A title without its capital, unless its first word is one like NaN."""
    first = title.partition(" ")[0]
    return title[:1].lower() + title[1:] if first[1:].islower() else title


def judged_count(report: Report) -> int:
    """Rules that judged the run, whatever they found."""
    return len(report.clear) + len({finding.rule for finding in report.findings})


def worst_finding(report: Report) -> Finding | None:
    """The root cause that comes first, among those that are, or have brought about, a warning or worse; None when
    there is none."""
    serious = [f for f in report.root_causes if report.story_severity(f) != "info"]
    return serious[0] if serious else next((f for f in report.findings if f.severity != "info"), None)


def when(finding: Finding) -> str:
    """Since when, or from when to when."""
    if finding.active:
        return f"since step {finding.first_step:,}"
    if finding.first_step == finding.last_step:
        return f"at step {finding.first_step:,}"
    return f"steps {finding.first_step:,} to {finding.last_step:,}, over now"


def short_verdict(report: Report) -> str:
    """The verdict in a few words, for a table."""
    worst = worst_finding(report)
    if worst is None:
        if verdict(report).tone == "good":
            return "✓ none found"
        if report.descent is not None and not report.descent.fell:
            return "? loss has not fallen"
        return "? nothing found before" if judged_count(report) and report.status == "crashed" else "? not judged"
    others = len([f for f in report.findings if f is not worst and f.severity != "info"])
    icon = "✕" if report.story_severity(worst) == "critical" else "!"
    return f"{icon} {worst.title}" + (f" (+{others})" if others else "")
