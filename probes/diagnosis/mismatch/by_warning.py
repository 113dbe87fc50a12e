"""Judge what PyTorch warned of itself: outputs and targets of different sizes in a loss of regression."""

from __future__ import annotations

import math
import re

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.view import RunView

EVENT = "size-warning"
_SIZES = re.compile(r"target size \(torch\.Size\(\[([\d, ]*)\]\)\).* input size \(torch\.Size\(\[([\d, ]*)\]\)\)")


def warned_of_sizes(view: RunView) -> Mismatch | None:
    """Outputs and targets of as many elements that were combined to a table of more.

    With as many dimensions each, a table of pairs is what a program asks for by adding axes (quantile regression of
    returns does); with fewer elements on one side it is one target for all.
    """
    for step, kind, message in view.events:
        sizes = _SIZES.search(message) if kind == EVENT else None
        if sizes is None:
            continue
        theirs, ours = (tuple(int(size) for size in part.split(",") if size.strip()) for part in sizes.groups())
        if len(ours) == len(theirs) or math.prod(ours) != math.prod(theirs):
            continue
        try:
            combined = np.broadcast_shapes(ours, theirs)
        except ValueError:  # PyTorch has raised at once
            continue
        if math.prod(combined) <= math.prod(ours):
            continue
        return Mismatch(
            f"PyTorch warned of a loss of outputs of shape {list(ours)} and targets of shape {list(theirs)}: they are "
            f"combined to {list(combined)}, so that every output is compared with every target, and the best answer "
            "is their mean.",
            step,
            suggestions=(
                "give both the same shape: outputs.squeeze(1), or targets.unsqueeze(1)",
                "read the program's first lines of output: PyTorch names the line",
            ),
            evidence=(
                Evidence("events", math.prod(combined), math.prod(ours), ">", step=step, note="elements compared"),
            ),
        )
    return None
