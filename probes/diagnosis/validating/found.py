"""What each way of detection answers with."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.finding import Evidence, Severity


@dataclass(frozen=True)
class Anomaly:
    """Validation and training that do not compare: what was seen, since which step, what to try, and the evidence."""

    severity: Severity
    message: str
    first: int
    suggestions: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    layers: tuple[str, ...] = ()
