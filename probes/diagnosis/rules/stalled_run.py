"""The run has stopped writing without having ended.

What it detects
---------------
A run that is still marked as running, but whose process has been silent for far longer than its usual
interval, or has been killed.

Why it matters
--------------
A job that hangs (a deadlocked data loader, a lost peer, a full disk, a suspended process) holds its machine,
and nobody notices until the day is over.

Criterion
---------
The status of the run log: "stalled", which it gives when the writer's heartbeat is older than its limit. A
warning. A run that ended by an exception or a signal ("crashed") is reported as information, with the reason
that was recorded. A replay at an earlier step is not judged. The rule has one threshold, `steps` (0): runs
that have not come further than that are left alone.

Evidence
--------
The status and the last step that was written.

What to try
-----------
1. Look at the process: is it alive, and what is it waiting for (`py-spy dump --pid PID`)?
2. Look for a data loader worker that died, a full disk, a lost peer of a distributed run.
3. Resume from the last checkpoint.

When it misleads
----------------
A long validation or checkpoint between two steps, and a laptop that was asleep, look like a stall until the
next write.

Example that fires
------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), status="stalled")
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1), status="running")
```

References
----------
- The run directory: docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.rule import Rule
from probes.diagnosis.view import NotJudged, RunView


def criterion(status: str, last_step: int, *, steps: float = 0) -> bool:
    """Whether a run in ``status`` that came to ``last_step`` has stopped without having ended.

    Args:
        steps: steps that it must have come beyond (0: any run that has begun).
    """
    return status in ("stalled", "crashed") and last_step > steps


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the status that the run log gives."""
    if view.status not in ("running", "finished", "crashed", "stalled"):
        raise NotJudged(f"the status {view.status!r} is not known")
    if not view.series_names and view.last_step == 0:
        raise NotJudged("the run holds nothing yet")
    if not criterion(view.status, view.last_step, **thresholds):
        return []
    crashed = view.status == "crashed"
    reason = view.manifest.get("reason")
    why = f" ({reason})" if crashed and reason else ""
    environment = view.manifest.get("environment")
    known = environment if isinstance(environment, dict) else {}
    process = f"process {known['pid']} on {known.get('host', 'its host')}" if known.get("pid") else "the process"
    return [
        RULE.finding(
            "info" if crashed else "warning",
            f"The run ended by a crash after step {view.last_step}{why}."
            if crashed
            else f"Nothing has been written since step {view.last_step}, and the run has not ended.",
            (view.last_step, view.last_step),
            view,
            evidence=(Evidence("run.json", float(view.last_step), step=view.last_step, note=f"status {view.status}"),),
            suggestions=(
                f"look at {process}: is it alive, and what is it waiting for (py-spy dump)?",
                "look for a data loader worker that died, a full disk, a lost peer of a distributed run",
                f"resume from the last checkpoint before step {view.last_step}",
            ),
        )
    ]


RULE = Rule(
    slug="stalled-run",
    family="system",
    severity="warning",
    title="The run has stalled",
    needs="the status of the run",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
