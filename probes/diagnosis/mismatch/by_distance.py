"""Judge the distance of probabilities from one-hot classes that is taken for a loss: told by what it begins at.

Where all of C classes get the probability 1/C, the mean absolute error of a row against its one-hot target is
2 (C - 1) / C^2, and the mean squared one (C - 1) / C^2. Either sends back through the softmax 1/C times the gradient of
the probabilities, again divided by C in the mean: for ten classes a fiftieth of that of a cross-entropy. The absolute
error sends nothing back where the right class has hardly any probability, however wrong that is.
"""

from __future__ import annotations

from typing import Literal

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.called import CLASSIFICATION, kind_of_loss
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
LITTLE = {"absolute": (0.4, 0.5), "squared": (0.1, 0.3)}
"""Fall of the loss, and accuracy, that are little: of a squared error,
which is a proper score, much less, for a quarter may be all there is in a hard task."""


def distance_of_classes(view: RunView) -> Mismatch | None:
    """A distance between a softmax and one-hot classes by which hardly anything was learned."""
    last, learned = last_module(view), progress_if_known(view)
    classes = last.output_shape[-1] if last is not None and len(last.output_shape) == 2 else 0
    right = accuracy_at_end(view)
    over = view.status != "running" and view.last_step >= SOON
    if learned is None or classes < 3 or right is None or not over or kind_of_loss(view) in CLASSIFICATION:
        return None
    loss = training_loss(view)[1]
    if len(loss.finite) < FEWEST or begins_late(view, loss.steps):
        return None
    found = _begun_as(learned, classes, int(loss.steps[0]) > 1)
    if found is None:
        return None
    kind, level = found
    fallen, answered = LITTLE[kind]
    if not learned.share < fallen or not (right < answered):
        return None
    return Mismatch(
        f"{learned.series} began at {short(learned.start)}, which is the {kind} error of equal probabilities against "
        f"one of {classes} classes ({short(level)}), and went to {short(learned.end)}, with {percent(right)} of the "
        "answers right: a distance of probabilities sends back next to nothing where they are wrong.",
        int(loss.steps[0]),
        layers=(last.name,) if last is not None else (),
        evidence=(
            Evidence(learned.series, learned.start, level, "=", note=f"{kind} error of equal probabilities"),
            Evidence(learned.series, learned.share, fallen, "<", note="fall of the loss"),
            Evidence("accuracy", right, answered, "<", note="accuracy at the end"),
        ),
        suggestions=(
            "use CrossEntropyLoss on one raw score for each class, with the class numbers as targets",
            "compute the gradient of the loss by hand for an answer that is surely wrong: it must be large",
        ),
    )


def _begun_as(learned: Progress, classes: int, means: bool) -> tuple[Literal["absolute", "squared"], float] | None:
    """The error, in the mean over rows and classes, whose value for equal probabilities the loss began at."""
    squared, below = (classes - 1) / classes**2, BELOW if means else WITHIN
    levels: tuple[tuple[Literal["absolute", "squared"], float], ...] = (
        ("absolute", 2.0 * squared),
        ("squared", squared),
    )
    return next(((k, level) for k, level in levels if -below * level <= learned.start - level <= ABOVE * level), None)
