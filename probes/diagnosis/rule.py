"""What a rule is: metadata, a pure criterion with its thresholds, and a judgement over a run view."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from probes.diagnosis.finding import Finding, Severity
from probes.diagnosis.view import RunView

FAMILIES = (
    "numerics",
    "gradients",
    "updates",
    "activations",
    "initialisation",
    "loss",
    "generalisation",
    "data and head",
    "filters",
    "system",
)


@dataclass(frozen=True)
class Rule:
    """One entry of the catalogue.

    Attributes:
        slug: stable name; states the problem, not the remedy.
        family: one of `FAMILIES`.
        severity: the highest severity it reports.
        title: a short phrase for people.
        needs: what the run log must hold for a judgement, in words.
        criterion: the pure decision over NumPy arrays; its keyword-only arguments are the thresholds.
        judge: takes a `RunView` and the thresholds, returns the findings (none: clear) and raises
            `NotJudged` when the evidence is missing or too thin.
        doc: the documentation, the docstring of the rule's module.
    """

    slug: str
    family: str
    severity: Severity
    title: str
    needs: str
    criterion: Callable[..., Any]
    judge: Callable[..., Sequence[Finding]]
    doc: str

    def __str__(self) -> str:
        return self.slug

    @property
    def thresholds(self) -> dict[str, float]:
        """Name -> default of each threshold of the criterion."""
        return {
            name: float(parameter.default)
            for name, parameter in inspect.signature(self.criterion).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return inspect.cleandoc(self.doc).partition("\n")[0]

    def finding(
        self, severity: Severity, message: str, span: tuple[int, int], view: RunView, **details: Any
    ) -> Finding:
        """A finding of this rule over the steps ``span``; active when ``span`` reaches the end of what was
        judged.
        """
        active = details.pop("active", span[1] >= view.last_step)
        return Finding(
            rule=self.slug,
            severity=severity,
            title=self.title,
            first_step=int(span[0]),
            last_step=int(span[1]),
            active=bool(active),
            message=message,
            **details,
        )
