"""Judge R^2 beside the losses: it says that nothing was learned where they say that it was."""

from __future__ import annotations

from probes.diagnosis.finding import Evidence
from probes.diagnosis.numbers import short
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.signal import at_rest, closing
from probes.diagnosis.signs.explained import unexplained
from probes.diagnosis.validating.found import Anomaly
from probes.diagnosis.validating.losses import Losses
from probes.diagnosis.validating.validations import ENOUGH
from probes.diagnosis.view import RunView

FELL, ALIKE = 0.1, 0.25
"""Fall of a loss that was learned, and difference of the two losses, of that fall, that is none."""


def contradicted_by_fit(view: RunView, losses: Losses) -> Anomaly | None:
    """A loss that was learned, in validation as well, beside an R^2 that says that nothing was."""
    found, learned = unexplained(view), progress_if_known(view)
    if found is None or learned is None or view.status == "running" or len(losses.validation) < ENOUGH:
        return None
    end, own = closing(losses.validation.values), closing(losses.train.values)
    if learned.variance is not None or learned.share < FELL or not at_rest(losses.train.values):
        return None  # of a squared error R^2 says what the loss does
    if end - own > ALIKE * (learned.reference - own):
        return None
    return Anomaly(
        "warning",
        f"{losses.name} has come to {short(end)}, as low as {losses.train_name} ({short(own)}, from "
        f"{short(learned.reference)}), but {found.series} was never above {short(found.best)}: by that, always "
        "answering the mean of the targets would be better. What is measured is not what the loss compares.",
        found.since,
        (
            "compare outputs and targets as the measure gets them: is one of them a logarithm, standardised, or of "
            "another shape? PoissonNLLLoss takes the outputs as logarithms of rates (log_input=True)",
            "undo the scaling of the targets in the outputs before anything but the loss is computed",
            "check which function is applied twice, or never: exp in the model and in the loss",
        ),
        (
            Evidence(found.series, found.best, 0.0, "<", found.since, note="highest since then"),
            Evidence(losses.name, end, own, "=", note="validation loss at the end, against that of training"),
        ),
    )
