"""Judge what the loss draws the outputs to: of all examples to one value, where it was broadcast."""

from __future__ import annotations

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import short
from probes.diagnosis.view import RunView

FRAMES = 3
"""Fewest frames in which the probe has seen it before it says so; see `probes.instrument.recognition.one_target`."""


def drawn_to_one_value(view: RunView) -> Mismatch | None:
    """Gradients that are one function of the score for all examples: each score is compared with each target."""
    seen = view.series("data/drawn_to")
    if seen is None or len(seen.finite) < FRAMES:
        return None
    steps, values = seen.finite.steps, seen.finite.values
    shown = ", ".join(short(float(value)) for value in values[:3])
    return Mismatch(
        f"The loss draws the outputs of all examples of a batch to one value ({shown}, ... from batch to batch), "
        f"whatever their targets are: in {len(values)} frames the gradient is the same function of the output for "
        "every example. So it is when outputs [N, 1] meet targets [N]: they are broadcast, each output is compared "
        "with each target, and the net learns their mean.",
        int(steps[0]),
        suggestions=(
            "print outputs.shape and targets.shape before the loss: they must be the same",
            "outputs.squeeze(1), or targets.unsqueeze(1); PyTorch warns of a target size that is different",
        ),
        evidence=(
            Evidence("data/drawn_to", float(values[-1]), step=int(steps[-1]), note="what all outputs are drawn to"),
        ),
    )
