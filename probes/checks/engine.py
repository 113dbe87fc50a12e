"""Run the catalogue of checks on one model, loss and data set, and leave everything as it was."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from probes.checks.batches import Batch, Unpack, batch_dimension, read_batches
from probes.checks.beyond import SHARE as BEYOND
from probes.checks.beyond import Beyond
from probes.checks.clock import Clock, Deadline
from probes.checks.context import Context, Setup
from probes.checks.errors import CheckInputError, NotApplicable, UserCodeError
from probes.checks.habits import Careful
from probes.checks.losses.evaluate import LossFn, loss_name
from probes.checks.outcome import Outcome, failed, skipped
from probes.checks.registry import Check, all_checks, check_named
from probes.checks.result import CheckResult, SanityReport
from probes.checks.rig import Forward, build_rig
from probes.checks.separable import SHARE, habits_of, settle
from probes.checks.state import Snapshot, seed_everything
from probes.checks.trees import tensors


@dataclass(frozen=True)
class Progress:
    """Given to the `progress` callback before (`result` is None) and after every check."""

    slug: str
    index: int
    total: int
    result: CheckResult | None


def check(
    model: nn.Module,
    loss_fn: LossFn,
    data: Any,
    *,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    checks: Sequence[str] | None = None,
    seed: int = 0,
    budget: float = 60.0,
    forward: Forward | None = None,
    unpack: Unpack | None = None,
    expected_loss: float | None = None,
    batch_dim: int | None = None,
    max_batches: int = 8,
    run_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    clock: Clock = time.monotonic,
) -> SanityReport:
    """Check whether this model, loss, data and optimizer can learn at all.

    Everything is as before afterwards, to the bit, also when a check raises or is interrupted: parameters,
    buffers, gradients, requires_grad, hooks, train/eval mode of every module, optimizer state, and the random
    state of Python, NumPy, torch and CUDA. Checks work on copies; a model that cannot be copied is lent out
    and put back.

    Args:
        model: the model as it will be trained, on its device.
        loss_fn: called as ``loss_fn(outputs, targets)``; may return a 0-d tensor, a tuple (loss first) or a dict
            (key "loss").
        data: a DataLoader, any iterable of ``(inputs, targets)``, or one such pair. An iterator is advanced
            by the batches that are read (at most `max_batches`); everything else keeps its position.
        optimizer: the optimizer (or several) that training will use; checks about it are skipped without one.
        checks: slugs to run; all by default.
        seed: makes the report repeatable.
        budget: seconds for everything together, shared out over the checks.
        forward: ``forward(model, inputs) -> outputs``; by default ``model(inputs)``, ``model(*tuple)`` or
            ``model(**dict)``.
        unpack: turns what the data yields into ``(inputs, targets)``.
        expected_loss: the loss an untrained model should have, for a loss babysit does not know.
        batch_dim: the dimension of inputs and targets that runs over the examples; 1 for sequences that go time
            first. By default 0, or 1 where the shapes leave no other reading.
        max_batches: batches to work with. Data with a length is looked through beyond them for NaN and for labels, for
            a twentieth of the budget.
        run_dir: where to save the report as ``checks.json``.
        progress: called before and after every check.
        clock: monotonic seconds.

    Raises:
        CheckInputError: the model, data or optimizer cannot be used as they are.
        UnknownNameError: a slug that does not exist.
    """
    deadline = Deadline(budget, clock)
    selected = _select(checks)
    optimizers = _validate(model, loss_fn, optimizer, budget, max_batches)
    if batch_dim is not None and batch_dim not in (0, 1):
        raise CheckInputError(f"batch_dim is {batch_dim!r}, expected 0 or 1 (sequences that go time first)")
    owned = [module for module in (model, loss_fn) if isinstance(module, nn.Module)]
    snapshot = Snapshot(owned, optimizers, data)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            seed_everything(seed)
            part, beyond = deadline.part(0.2), Beyond(deadline.part(BEYOND))
            batches = read_batches(data, unpack=unpack, max_batches=max_batches, deadline=part, beyond=beyond)
            dim = batch_dimension(data, batches) if batch_dim is None else batch_dim
            batches = [replace(batch, dim=dim) for batch in batches]
            setup = Setup(model, loss_fn, optimizers, batches, data, forward, unpack, expected_loss, seed, snapshot)
            setup.beyond, setup.dim_given = beyond, batch_dim is not None
            setup.batches = [_on_device(batch, setup.device) for batch in batches]
            rig = build_rig(model, loss_fn, optimizers, forward, snapshot)
            rig.habits = setup.habits = habits_of(rig, setup.batches[0])
            if setup.habits.changes_inputs and not isinstance(loss_fn, nn.Module):
                setup.loss_fn = Careful(loss_fn)
            rig = build_rig(model, setup.loss_fn, optimizers, forward, snapshot, setup.habits)
            setup.everything = setup.batches
            setup.batches, setup.pooled = settle(rig, setup.batches, budget * SHARE, clock)
            snapshot.restore()
            results = _run_all(selected, setup, deadline, progress)
    finally:
        snapshot.restore()
    report = SanityReport(results, _subject(setup), deadline.elapsed)
    if run_dir is not None:
        report.save(run_dir)
    return report


def _run_all(
    selected: Sequence[Check], setup: Setup, deadline: Deadline, progress: Callable[[Progress], None] | None
) -> list[CheckResult]:
    results: list[CheckResult] = []
    blamed: dict[str, str] = {}
    for index, chosen in enumerate(selected):
        if progress is not None:
            progress(Progress(chosen.slug, index, len(selected), None))
        share = chosen.share / sum(other.share for other in selected[index:])
        part = deadline.part(share)
        if deadline.expired:
            outcome = skipped(
                f"the time budget of {deadline.seconds:g} s was used up by the checks before",
                "raise the budget, or choose fewer checks",
            )
        else:
            outcome = _run_one(chosen, setup, part, blamed)
        result = CheckResult(
            chosen.slug,
            outcome.status,
            outcome.message,
            outcome.evidence,
            tuple(outcome.suggestions),
            part.elapsed,
        )
        results.append(result)
        if progress is not None:
            progress(Progress(chosen.slug, index, len(selected), result))
    return results


def _run_one(chosen: Check, setup: Setup, deadline: Deadline, blamed: dict[str, str]) -> Outcome:
    # Each check has its own seed: its result does not depend on which other checks run.
    seed = (setup.seed * 1_000_003 + zlib.crc32(chosen.slug.encode())) % 2**32
    seed_everything(seed)
    try:
        return chosen.run(Context(setup, deadline, seed))
    except NotApplicable as reason:
        return skipped(str(reason))
    except UserCodeError as error:
        # The user's code fails: reported once, by the first check that meets it; the others point there.
        first = blamed.setdefault(error.where, chosen.slug)
        if first != chosen.slug:
            return skipped(f"needs what already failed in {first}: {error.where}")
        return failed(str(error), *([error.remedy] if error.remedy else []), culprit=error.where)
    except torch.OutOfMemoryError as error:
        return skipped(
            f"not enough memory on the device for this check: {str(error).splitlines()[0]}",
            "check with a smaller batch, or on the CPU",
        )
    except Exception as error:  # noqa: BLE001 - isolation: one broken check must not take the report with it
        # Not the user's doing as far as can be told, hence "skip": the check says nothing about the model.
        return skipped(
            f"the check itself broke with {type(error).__name__}: {error}",
            "please report this with the model's definition",
            error=repr(error),
        )
    finally:
        setup.snapshot.restore()


def _select(names: Sequence[str] | None) -> Sequence[Check]:
    if names is None:
        return all_checks()
    if isinstance(names, str):
        names = [names]
    wanted = {check_named(name).slug for name in names}
    return [chosen for chosen in all_checks() if chosen.slug in wanted]


def _validate(model: nn.Module, loss_fn: object, optimizer: object, budget: float, max_batches: int) -> list[Optimizer]:
    if not isinstance(model, nn.Module):
        raise CheckInputError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise CheckInputError(
            "model is a TorchScript module, which cannot be copied and looked into: check it unscripted"
        )
    if not callable(loss_fn):
        raise CheckInputError(f"loss_fn is a {type(loss_fn).__name__}, expected a callable of (outputs, targets)")
    if isinstance(loss_fn, type):
        raise CheckInputError(f"loss_fn is the class {loss_fn.__name__}, expected an instance: {loss_fn.__name__}()")
    if not budget > 0:
        raise CheckInputError(f"budget is {budget!r}, expected a number of seconds above 0")
    if max_batches < 1:
        raise CheckInputError(f"max_batches is {max_batches!r}, expected at least 1")
    parameters = dict(model.named_parameters())
    if not parameters:
        raise CheckInputError(f"model ({type(model).__name__}) has no parameters: there is nothing to train or check")
    for name, parameter in parameters.items():
        if is_lazy(parameter):
            raise CheckInputError(
                f"parameter {name} is lazy and has no shape yet: run one batch through the model before checking it"
            )
        if parameter.device.type == "meta":
            raise CheckInputError(f"parameter {name} is on the meta device and has no values: materialise the model")
    if optimizer is None:
        return []
    optimizers: list[Optimizer] = []
    for item in list(optimizer) if isinstance(optimizer, Iterable) else [optimizer]:
        if isinstance(item, Optimizer):
            optimizers.append(item)
        else:
            raise CheckInputError(
                f"optimizer is a {type(item).__name__}, expected a torch.optim.Optimizer or a list of them"
            )
    return optimizers


def _on_device(batch: Batch, device: torch.device) -> Batch:
    """Move CPU data to the model, as every training loop does; data elsewhere means that the model was
    forgotten.
    """
    for tensor in (*tensors(batch.inputs), *tensors(batch.targets)):
        if tensor.device.type not in ("cpu", device.type):
            raise CheckInputError(
                f"the data is on {tensor.device} and the model on {device}: move the model with "
                f"model.to({str(tensor.device)!r}), or leave the data on the cpu"
            )
    return batch.to(device)


def _subject(setup: Setup) -> dict[str, Any]:
    model = setup.model
    return {
        "model": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": loss_name(setup.loss_fn),
        "optimizer": [type(optimizer).__name__ for optimizer in setup.optimizers],
        "batches_read": len(setup.batches),
        "batches_looked_through": len(setup.batches) + (setup.beyond.batches if setup.beyond else 0),
        "batch_dim": setup.batches[0].dim,
        "batch": setup.everything[0].describe(),
        "batch_checked": setup.batches[0].describe(),
        "device": str(setup.device),
        "seed": setup.seed,
    }
