"""What a rule reports: a finding, with the evidence it rests on and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


def rank(severity: Severity) -> int:
    """0 for info, 1 for warning, 2 for critical."""
    return SEVERITIES.index(severity)


def jsonable(value: Any) -> Any:
    """``value`` as plain JSON data. JSON has no NaN and no infinity: they become the strings it is read
    by.
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


@dataclass(frozen=True)
class Evidence:
    """One measured value that a finding rests on.

    Attributes:
        series: the series or the kind of layer series it was read from, e.g. "train/loss", "grad_norm".
        value: what was seen there.
        limit: what it was held against; None when the value alone is the evidence.
        relation: how the value stands to the limit: ">", "<" or "=".
        step: where it was seen; None when it describes the whole span of the finding.
        layer: the layer, for a layer series.
        note: what the value is ("loss, median of the last 10 values").
    """

    series: str
    value: float
    limit: float | None = None
    relation: Literal[">", "<", "="] = ">"
    step: int | None = None
    layer: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        plain: dict[str, Any] = jsonable(vars(self))
        return plain


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run.

    Attributes:
        rule: slug of the rule.
        severity: "info", "warning" or "critical".
        title: the rule's title, a short phrase.
        layers: the layers concerned, in forward order; empty when it concerns the run as a whole.
        first_step, last_step: first and last step at which it was seen (the onset is exact when the series is
            logged at every step, and the first frame that shows it otherwise).
        active: still so at the end of what was judged.
        message: what was seen, with numbers.
        evidence: the values, their limits and the series they come from.
        suggestions: what to try, most promising first.
        caused_by: slug of the finding that explains this one, or None.
    """

    rule: str
    severity: Severity
    title: str
    first_step: int
    last_step: int
    active: bool
    message: str
    layers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    suggestions: tuple[str, ...] = ()
    caused_by: str | None = field(default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, with the attributes as keys."""
        plain: dict[str, Any] = jsonable(
            {
                "rule": self.rule,
                "severity": self.severity,
                "title": self.title,
                "layers": self.layers,
                "first_step": self.first_step,
                "last_step": self.last_step,
                "active": self.active,
                "message": self.message,
                "evidence": [item.to_dict() for item in self.evidence],
                "suggestions": self.suggestions,
                "caused_by": self.caused_by,
            }
        )
        return plain
