"""Independent training programs, healthy and faulty, on which the diagnosis is tried as a stranger would.

Each is a loop of its own around `probes.watch`, not a recipe of the trainer. They were written without looking at a
rule's thresholds. Half of them, by a hash of the name, are locked: their verdicts are counted, and nobody looks into
them.
"""

from __future__ import annotations

from benchmarks.diagnosis.programs import (  # noqa: F401 - importing them registers their programs
    faulty_heads,
    faulty_settings,
    faulty_wiring,
    healthy_generative,
    healthy_images,
    healthy_sequences,
    healthy_tables,
)
from benchmarks.diagnosis.programs.program import PROGRAMS, Program

__all__ = ["PROGRAMS", "Program"]
