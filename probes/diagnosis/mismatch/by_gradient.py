"""Judge what a rectifier at the end of the model lets back of the gradient that the loss sends."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.finding import Evidence
from probes.diagnosis.mismatch.found import Mismatch
from probes.diagnosis.numbers import percent
from probes.diagnosis.progress import progress_if_known
from probes.diagnosis.signal import at_rest
from probes.diagnosis.task import accuracy_at_end
from probes.diagnosis.tracks import training_loss
from probes.diagnosis.view import NotJudged, RunView

RECTIFIERS = ("relu", "relu6")
CUT, CLOSING = 0.1, 0.5
"""Size of the gradient before the last rectifier over that behind it, in the last frame (99% of its energy is cut off
there) and in the one before. A rectifier that is in nobody's way lets 0.6 to 1 through."""
RIGHT = 0.9
"""Share of the loss that is gone, or of the answers that are right, with which nothing is missing."""
STEPS = 100


def cut_off(view: RunView) -> Mismatch | None:
    """A loss at rest whose gradient pulls at outputs that a rectifier holds at zero, and so reaches nothing."""
    modules = [module for module in view.modules if module.output_shape]
    if len(modules) < 2 or modules[-1].activation not in RECTIFIERS or view.last_step < STEPS or not stays_wrong(view):
        return None
    before, last = modules[-2].name, modules[-1].name
    table = view.layers("activation_grad_std")
    picked = table.pick([before, last]) if table is not None else None
    if picked is None or len(picked.layers) < 2:
        return None
    seen = picked.measured.all(axis=1) & np.isfinite(picked.values).all(axis=1) & (picked.values[:, 1] > 0)
    passed = picked.values[seen, 0] / picked.values[seen, 1]
    if len(passed) < 4 or not (passed[-1] < CUT and passed[-2] < CLOSING):
        return None
    step, share = int(picked.steps[seen][-1]), float(passed[-1])
    return Mismatch(
        f"The model ends in {last} ({modules[-1].type}), and of the gradient that the loss sends back only "
        f"{percent(share)} of its size passes (step {step}, {percent(float(passed[0]))} at step "
        f"{int(picked.steps[seen][0])}): what is wrong yet are outputs that should be below zero, or are held there.",
        int(picked.steps[seen][int(np.argmax(passed < CLOSING))]),
        evidence=(
            Evidence(
                "activation_grad_std", float(picked.values[seen, 0][-1]), step=step, layer=before, note="before it"
            ),
            Evidence("activation_grad_std", float(picked.values[seen, 1][-1]), step=step, layer=last, note="behind"),
            Evidence("activation_grad_std", share, CUT, "<", step, last, "share that passes"),
        ),
        suggestions=(
            "remove the activation after the last layer",
            "where amounts below zero make no sense: softplus, which always passes some gradient",
        ),
        layers=(last,),
    )


def stays_wrong(view: RunView) -> bool:
    """Whether the training loss has come to rest, with a part of it or of the answers still wrong."""
    learned, reached = progress_if_known(view), accuracy_at_end(view)
    if learned is None or learned.share >= RIGHT or (reached is not None and reached >= RIGHT):
        return False
    try:
        return at_rest(training_loss(view)[1].finite.values)
    except NotJudged:
        return False
