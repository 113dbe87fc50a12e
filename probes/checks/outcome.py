"""What a check hands back to the engine, and the four ways to say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from probes.checks.result import Status


@dataclass(frozen=True)
class Outcome:
    """A `CheckResult` without slug and time, which the engine adds."""

    status: Status
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)
    suggestions: Sequence[str] = ()


def passed(message: str, **evidence: Any) -> Outcome:
    return Outcome("pass", message, evidence)


def warned(message: str, *suggestions: str, **evidence: Any) -> Outcome:
    return Outcome("warn", message, evidence, suggestions)


def failed(message: str, *suggestions: str, **evidence: Any) -> Outcome:
    return Outcome("fail", message, evidence, suggestions)


def skipped(reason: str, *suggestions: str, **evidence: Any) -> Outcome:
    return Outcome("skip", reason, evidence, suggestions)
