"""Most of the time goes into waiting for data.

What it detects
---------------
Steps that wait for their input for longer than they compute.

Why it matters
--------------
The device idles. The same training could be done in a fraction of the time by loading data beside it.

Criterion
---------
Over the last `steps` (50) steps with both times recorded: the median wait is above `share` (0.6) of the median time
of a step, which contains it, and above `seconds` (0.02 s). A net so small that a step takes a millisecond always
waits for most of its time, and nobody minds: hence the limit in seconds. A warning.

Evidence
--------
The median wait and the median time of a step.

What to try
-----------
1. `DataLoader(num_workers=4, pin_memory=True, persistent_workers=True)`, more workers as the cores allow.
2. Move decoding and resizing out of the loop: store the data as it is needed.
3. Do the augmentation on the device, in batches.

When it misleads
----------------
The wait is everything between two steps: validation, plots or checkpoints at every step count as well.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), times=(0.32, 0.3))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), times=(0.3, 0.02))
```

References
----------
- PyTorch documentation, Performance tuning guide (enable asynchronous data loading).
- Amazon SageMaker Debugger, rule IOBottleneck.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.rule import Rule
from probes.diagnosis.signal import level
from probes.diagnosis.view import Floats, NotJudged, RunView


def criterion(
    wait: Floats, step: Floats, *, steps: float = 50, share: float = 0.6, seconds: float = 0.02
) -> tuple[float, float] | None:
    """(median wait, median of the whole step) in seconds when waiting prevails over the last steps; None otherwise.

    Args:
        wait, step: seconds of the same steps, [T]; a step contains the wait for its data.
        steps: last steps looked at, and fewest needed (used by the judge).
        share: wait over the whole step.
        seconds: shortest median wait worth mentioning.
    """
    waiting, whole = level(wait[-int(steps) :]), level(step[-int(steps) :])
    return (waiting, max(whole, waiting)) if waiting > seconds and waiting > share * whole else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the last steps of which both times are known."""
    wait, step = view.series("system/data_wait"), view.series("system/step_time")
    if wait is None or step is None:
        raise NotJudged("no system/data_wait and system/step_time were recorded")
    # Only the end counts; twice as many as needed leaves room for steps of which one time is missing.
    tail = 2 * int(thresholds["steps"])
    common = np.intersect1d(wait.steps[-tail:], step.steps[-tail:])
    if len(common) < thresholds["steps"]:
        raise NotJudged(f"{len(common)} steps with both times, needs {thresholds['steps']:.0f}")
    waits = wait.values[np.searchsorted(wait.steps, common)]
    found = criterion(waits, step.values[np.searchsorted(step.steps, common)], **thresholds)
    if found is None:
        return []
    waiting, whole = found
    first = int(common[-int(thresholds["steps"])])
    limit = thresholds["share"] * whole
    return [
        RULE.finding(
            "warning",
            f"Of the {short(whole)} s of a step {short(waiting)} s are spent waiting for its data: "
            f"{percent(waiting / whole)} of the time.",
            (first, view.last_step),
            view,
            active=True,
            evidence=(
                Evidence("system/data_wait", waiting, limit, ">", note="median of the last steps, seconds"),
                Evidence("system/step_time", whole, note="median of the last steps, seconds"),
            ),
            suggestions=(
                "load data beside the training: DataLoader(num_workers=4, pin_memory=True, persistent_workers=True)",
                "store the data decoded and resized, as the net needs it",
                "augment on the device, in batches",
            ),
        )
    ]


RULE = Rule(
    slug="input-bottleneck",
    family="system",
    severity="warning",
    title="Training waits for its data",
    needs="50 steps with the times of step and data wait",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
