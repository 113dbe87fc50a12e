"""A report as text for a terminal: the verdict first, then causes with their symptoms, then what was not
judged.
"""

from __future__ import annotations

import textwrap

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import names, short
from probes.diagnosis.report import Report

WIDTH = 100
_RELATIONS = {">": "above", "<": "below", "=": "equal to"}


def render(report: Report) -> str:
    """The whole report, lines of at most `WIDTH` characters (long names and numbers aside)."""
    blocks = [_wrap(f"{report.run}: {report.verdict}")]
    for root in report.root_causes:
        blocks.append(_finding(root, ""))
        blocks.extend(_finding(symptom, "  ") for symptom in report.symptoms(root))
    if report.not_judged:
        lines = [_wrap(f"- {rule}: {reason}", "  ") for rule, reason in report.not_judged]
        blocks.append("Could not be judged:\n" + "\n".join(lines))
    return "\n\n".join(blocks)


def _finding(finding: Finding, indent: str) -> str:
    span = f"step {finding.first_step}" if finding.active else f"steps {finding.first_step} to {finding.last_step}"
    since = f"since {span}" if finding.active else span
    link = f", caused by {finding.caused_by}" if finding.caused_by else ""
    lines = [f"{indent}[{finding.severity}] {finding.rule}: {finding.title} ({since}{link})"]
    inner = indent + "  "
    lines.append(_wrap(finding.message, inner))
    if finding.layers:
        lines.append(_wrap(f"Layers: {names(finding.layers, 6)}", inner))
    if finding.evidence:
        lines.append(f"{inner}Evidence")
        lines.extend(_wrap(f"- {_evidence(item)}", inner + "  ") for item in finding.evidence)
    if finding.suggestions:
        lines.append(f"{inner}Try")
        lines.extend(_wrap(f"{i}. {text}", inner + "  ") for i, text in enumerate(finding.suggestions, 1))
    return "\n".join(lines)


def _evidence(item: Evidence) -> str:
    where = f" of {item.layer}" if item.layer else ""
    when = f" at step {item.step}" if item.step is not None else ""
    against = f", {_RELATIONS[item.relation]} {short(item.limit)}" if item.limit is not None else ""
    note = f" ({item.note})" if item.note else ""
    return f"{item.series}{where}{when}: {short(item.value)}{against}{note}"


def _wrap(text: str, indent: str = "") -> str:
    hanging = indent + ("  " if text.startswith("- ") else "   " if text[:2] in {f"{n}." for n in range(10)} else "")
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
