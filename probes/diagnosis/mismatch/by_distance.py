"""Judge the distance of probabilities from one-hot classes that is taken for a loss: told by what it begins at.

Where all of C classes get the probability 1/C, the mean absolute error of a row against its one-hot target is
2 (C - 1) / C^2, and the mean squared one (C - 1) / C^2. Either sends back through the softmax 1/C times the gradient of
the probabilities, again divided by C in the mean: for ten classes a fiftieth of that of a cross-entropy. The absolute
error sends nothing back where the right class has hardly any probability, however wrong that is. Sigmoids begin at one
half of either, or a quarter, and come down to 1/C when they say no to every class, or to (C - 1) / C^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import CLASSIFICATION, kind_of_loss, outputs_of
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.progress import Progress, progress_if_known
from probes.diagnosis.task import accuracy_at_end, last_module
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import RunView

FEWEST, SOON = 5, 100
"""Values of the loss, and steps, from which it is told."""
ABOVE, BELOW, WITHIN = 0.03, 0.1, 0.02
"""Distance from the loss of equal probabilities, as a share of it, of a loss that begins there: above it, below it
where means over whole epochs are logged, and below it else."""
UNKNOWN = 0.1
"""Fall of a loss below the best answer that is the same for all that is little where no accuracy is known."""
LITTLE = {"absolute": (0.4, 0.5), "squared": (0.1, 0.3)}
"""Fall of the loss, and accuracy, that are little: of a squared error,
which is a proper score, much less, for a quarter may be all there is in a hard task."""


@dataclass(frozen=True)
class Distance:
    """A distance that a loss began as: its ``level`` there, and that of the best answer that is the same for all."""

    kind: Literal["absolute", "squared"]
    of: Literal["softmax", "sigmoids"]
    level: float
    constant: float


def distance_of_classes(view: RunView) -> Mismatch | None:
    """A distance between a softmax, or sigmoids, and one-hot classes by which hardly anything was learned."""
    last, learned = last_module(view), progress_if_known(view)
    classes = last.output_shape[-1] if last is not None and len(last.output_shape) == 2 else 0
    over = view.status != "running" and view.last_step >= SOON
    if learned is None or classes < 3 or not over or kind_of_loss(view) in CLASSIFICATION:
        return None
    loss = training_loss(view)[1]
    if len(loss.finite) < FEWEST or begins_late(view, loss.steps):
        return None
    found = _begun_as(learned, classes, int(loss.steps[0]) > 1)
    if found is None:
        return None
    fallen, answered = LITTLE[found.kind]
    gone, right = 1.0 - learned.end / found.constant, accuracy_at_end(view)
    if right is None:
        # That the outputs sum to one, and which error it is, must be seen then.
        outputs = outputs_of(view)
        named = kind_of_loss(view) == "L1Loss" and found.of == "softmax" and found.kind == "absolute"
        if not named or outputs is None or not outputs.normalised(classes) or not gone < UNKNOWN:
            return None
    elif not gone < fallen or not right < answered:
        return None
    answers = f", with {percent(right)} of the answers right" if right is not None else ""
    return Mismatch(
        f"{learned.series} began at {short(learned.start)}, which is the {found.kind} error of a "
        f"{'softmax' if found.of == 'softmax' else 'sigmoid'} that knows nothing against one of {classes} classes "
        f"({short(found.level)}), and went to {short(learned.end)}{answers} (one answer for all has "
        f"{short(found.constant)}): such a distance sends back next to nothing where an answer is wrong.",
        int(loss.steps[0]),
        layers=(last.name,) if last is not None else (),
        evidence=(
            Evidence(learned.series, learned.start, found.level, "=", note=f"{found.kind} error of knowing nothing"),
            Evidence(learned.series, gone, fallen, "<", note="fall below the best answer that is the same for all"),
            *((Evidence("accuracy", right, answered, "<", note="accuracy at the end"),) if right is not None else ()),
        ),
        suggestions=(
            "use CrossEntropyLoss on one raw score for each class, with the class numbers as targets",
            "compute the gradient of the loss by hand for an answer that is surely wrong: it must be large",
        ),
    )


def _begun_as(learned: Progress, classes: int, means: bool) -> Distance | None:
    """The distance, in the mean over rows and classes, whose value for knowing nothing the loss began at."""
    squared, below = (classes - 1) / classes**2, BELOW if means else WITHIN
    known = (
        Distance("absolute", "softmax", 2.0 * squared, 2.0 * squared),
        Distance("squared", "softmax", squared, squared),
        Distance("absolute", "sigmoids", 0.5, 1.0 / classes),
        Distance("squared", "sigmoids", 0.25, squared),
    )
    return next((d for d in known if -below * d.level <= learned.start - d.level <= ABOVE * d.level), None)
