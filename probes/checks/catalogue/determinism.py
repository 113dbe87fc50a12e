"""Does the same seed give the same training?

**What it does.** Takes three training steps twice from the same state and the same seed, and compares the
losses and all parameters bit by bit; and reads the first batch of a data source that can be read anew twice
with the same seed.

**Why it matters.** A bug that cannot be repeated cannot be found, and two runs that differ by chance cannot
be compared.

**Criterion.** *Warn* when anything differs; on accelerators, where some operations add in no fixed order, when it
differs by more than 1e-4 of its size. Nothing here ever fails: unrepeatable training can be good training.

**When it misleads.** Training that draws from the time or the operating system on purpose.

**References.** PyTorch documentation, "Reproducibility".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from probes.checks.batches import Batch, read_batches
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import CheckInputError, NotApplicable
from probes.checks.names import listed
from probes.checks.outcome import Outcome, passed, warned
from probes.checks.rig import backward, trainable
from probes.checks.state import same_bits
from probes.checks.trees import tensors

TITLE = "Does the same seed give the same training?"
FAMILY = "basics"
SHARE = 0.5

STEPS = 3
RATE = 1e-3
ROUNDING = 1e-4


def run(context: Context) -> Outcome:
    if not trainable(context.model):
        raise NotApplicable("no parameter is trainable")
    losses, weights = _train(context)
    again, weights_again = _train(context)
    different = [name for name in weights if not same_bits(weights[name], weights_again[name])]
    rounding = _rounding(losses, again, weights, weights_again) if context.device.type != "cpu" else math.inf
    data = _data_repeats(context)
    evidence = {"losses": [losses, again], "parameters_that_differ": different, "data_repeats": data}
    if (different or repr(losses) != repr(again)) and rounding > ROUNDING:  # repr: NaN repeats itself too
        return warned(
            f"three steps from the same seed end differently in {listed(different) or 'the loss'}",
            "look for random numbers from a generator that is not seeded (its own generator, time, os.urandom)",
            *(
                ()
                if context.device.type == "cpu"
                else ("torch.use_deterministic_algorithms(True) names the operation",)
            ),
            **evidence,
        )
    if data is False:
        return warned(
            "the data's first batch differs when it is read again with the same seed",
            "draw random numbers in the data set from torch, NumPy's or Python's global generator, or from "
            "one that "
            "is seeded",
            **evidence,
        )
    told = " and read the same first batch" if data else ""
    how = f"up to rounding ({rounding:.0e})" if different else "to the bit"
    return passed(f"two trainings from one seed are equal {how}{told}", **evidence)


def _rounding(
    losses: list[float], again: list[float], weights: dict[str, torch.Tensor], weights_again: dict[str, torch.Tensor]
) -> float:
    """The largest relative difference of a loss or a parameter."""
    pairs = [(exact(weights[name]), exact(weights_again[name])) for name in weights]
    pairs.append((torch.tensor(losses).double(), torch.tensor(again).double()))
    found = [float((a - b).norm() / a.norm().clamp_min(1e-12)) for a, b in pairs if a.numel()]
    return max((value if math.isfinite(value) else math.inf for value in found), default=0.0)


def _train(context: Context) -> tuple[list[float], dict[str, torch.Tensor]]:
    rig = context.rig()
    rig.model.train()
    context.reseed()
    named = trainable(rig.model)
    optimizer = torch.optim.SGD(named.values(), lr=RATE)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = rig.loss(context.batches[step % len(context.batches)])
        losses.append(float(loss.detach()))
        if not loss.requires_grad:
            break
        backward(loss)
        optimizer.step()
    return losses, {name: p.detach().clone() for name, p in named.items()}


def _data_repeats(context: Context) -> bool | None:
    """Whether the first batch comes again with the same seed; None where the data cannot be read anew."""
    data = context.setup.data
    again = isinstance(data, DataLoader) and not isinstance(data.dataset, torch.utils.data.IterableDataset)
    if not again or data.num_workers:
        return None
    reads: list[list[Batch]] = []
    try:
        for _ in range(2):
            context.setup.snapshot.restore()  # the loader's own generator too
            context.reseed()
            reads.append(read_batches(data, unpack=context.setup.unpack, max_batches=1))
    except CheckInputError:
        return None
    pairs: Iterator[tuple[Any, Any]] = zip(_leaves(reads[0][0]), _leaves(reads[1][0]), strict=True)
    return all(same_bits(left, right) for left, right in pairs)


def _leaves(batch: Batch) -> list[torch.Tensor]:
    return tensors((batch.inputs, batch.targets))
