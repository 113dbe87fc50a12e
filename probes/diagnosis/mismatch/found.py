"""What each way of detection answers with."""

from __future__ import annotations

from dataclasses import dataclass

from probes.diagnosis.finding import Evidence


@dataclass(frozen=True)
class Mismatch:
    """Outputs that do not belong to the loss: what was seen, since which step, what to try, and the evidence."""

    message: str
    first: int
    suggestions: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    layers: tuple[str, ...] = ()
