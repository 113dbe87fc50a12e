"""The documentation of a rule, from the docstring of its module: as Markdown and as plain text."""

from __future__ import annotations

import inspect
import re

from probes.diagnosis.rule import Rule

SECTIONS = (
    "What it detects",
    "Why it matters",
    "Criterion",
    "Evidence",
    "What to try",
    "When it misleads",
    "Example that fires",
    "Example that stays quiet",
    "References",
)
"""The sections of every rule's documentation, in order."""

_HEADING = re.compile(r"^(?P<title>\S[^\n]*)\n-{3,}$", re.MULTILINE)
_CODE = re.compile(r"```python\n(?P<code>.*?)\n```", re.DOTALL)


def sections(rule: Rule) -> dict[str, str]:
    """Heading -> text of each section, in order."""
    doc = inspect.cleandoc(rule.doc)
    heads = list(_HEADING.finditer(doc))
    ends = [head.start() for head in heads[1:]] + [len(doc)]
    return {head["title"]: doc[head.end() : end].strip() for head, end in zip(heads, ends, strict=True)}


def example(rule: Rule, heading: str) -> str:
    """The Python code of the section ``heading``."""
    found = _CODE.search(sections(rule)[heading])
    if found is None:
        raise ValueError(f"rule {rule.slug}: section {heading!r} holds no ```python block")
    return found["code"]


def markdown(rule: Rule) -> str:
    """The rule's page in docs/rules."""
    thresholds = "\n".join(f"| `{name}` | {value:g} |" for name, value in rule.thresholds.items())
    parts = [
        f"# {rule.slug}",
        f"*{rule.title}.* {rule.summary}",
        f"| family | highest severity | needs |\n|---|---|---|\n| {rule.family} | {rule.severity} | {rule.needs} |",
    ]
    for heading, text in sections(rule).items():
        parts.append(f"## {heading}")
        parts.append(text)
        if heading == "Criterion":
            parts.append(
                f"Thresholds (`babysit diagnose RUN --set {rule.slug}.NAME=VALUE`):\n\n"
                f"| name | default |\n|---|---|\n{thresholds}"
            )
    return "\n\n".join(parts) + "\n"


def index(rules: list[Rule]) -> str:
    """The catalogue page in docs/rules, family by family."""
    lines = [
        "# Rules",
        "",
        "Generated from the rules' own docstrings by `python -m probes.diagnosis.docs`.",
        "`babysit explain RULE` prints the same text.",
        "",
        "| rule | family | highest severity | what it says |",
        "|---|---|---|---|",
    ]
    lines += [f"| [{r.slug}]({r.slug}.md) | {r.family} | {r.severity} | {r.summary} |" for r in rules]
    return "\n".join(lines) + "\n"


def plain(rule: Rule) -> str:
    """The rule's documentation for a terminal."""
    thresholds = "\n".join(f"  {rule.slug}.{name} = {value:g}" for name, value in rule.thresholds.items())
    head = f"{rule.slug}: {rule.title[:1].lower()}{rule.title[1:]}"
    parts = [
        f"{head}\n{'=' * len(head)}",
        rule.summary,
        f"Family: {rule.family}. Highest severity: {rule.severity}. Needs: {rule.needs}.",
    ]
    for heading, text in sections(rule).items():
        parts.append(f"{heading}\n{'-' * len(heading)}\n{_CODE.sub(_indented, text)}")
        if heading == "Criterion":
            parts.append(f"Thresholds, for babysit diagnose RUN --set NAME=VALUE:\n{thresholds}")
    return "\n\n".join(parts)


def _indented(found: re.Match[str]) -> str:
    return "\n".join(f"    {line}".rstrip() for line in found["code"].split("\n"))
