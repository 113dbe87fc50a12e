"""Does backward() compute the derivative of the loss?

**What it does.** Copies the model to float64, takes a few examples, and compares the analytic gradient of
several entries of every parameter (the one with the largest gradient, and others at random) with centred
differences of the loss, each with a step suited to that entry. Every evaluation starts from the same random
state, so that dropout draws the same mask; batch normalisation uses the batch.

**Why it matters.** A hand-written backward with a wrong sign or a missing factor still trains, only badly,
and nothing else shows it. So do tensors detached by accident: their gradient is zero while the loss depends
on them.

**Criterion.** Relative error |a - n| / max(|a|, |n|), in the bands of CS231n: up to 1e-7 good, up to 1e-4
usual for objectives with kinks, above 1e-4 *warn*, above 1e-2 *fail*. An entry that disagrees is tried with
smaller and larger steps. Where the one-sided differences stay apart however small the step, the loss has a
kink right there (ReLU at exactly 0, ties in max pooling); if the analytic value lies between the two, it is a
valid subgradient and is counted as a kink. Where many values sit on kinks at once, the entry is checked again
at a point nearby. Differences below the round-off of float64 are counted as too small to judge.

When a gradient is wrong, each module on its own is checked in the order of the forward pass, and the one
whose backward does not match its forward is named.

Where values are detached, entries that disagree are checked again with these held constant: straight-through
estimators and targets made by the same network agree then. *Warn* where backward gives a gradient for a loss that does
not move at all (rounding).

**When it misleads.** Deliberately wrong gradients (gradient reversal) are reported, rightly but in vain. Casts to a
lower precision (`logits.float()`, autocast) are left out for the check, so that what it checks is the function in
float64; a forward that cannot run in float64 is skipped. On devices without float64 (Apple's) the check runs on the
CPU.

**References.** CS231n notes, "Gradient checks". The step is the usual compromise eps^(1/3) between truncation
and round-off (W. H. Press et al., Numerical Recipes, 5.7).
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import KeepDouble, float64_by_default, has_float64
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.gradients import GOOD, KINKY, WRONG, EntryCheck, check_entry
from probes.checks.localize import wrong_backward_module
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import Rig, trainable
from probes.checks.stopped import StoppedGradients

TITLE = "Does backward() compute the derivative of the loss?"
FAMILY = "gradients"
SHARE = 4.0

EXAMPLES = 6
ENTRIES = 4
JITTER = 0.05


def run(context: Context) -> Outcome:
    rig = context.rig()
    batch = context.batch.first(EXAMPLES)
    _settle_modes(rig)
    plain = _loss_value(context, rig, batch)
    if not math.isfinite(plain):
        raise NotApplicable(f"the loss is {plain:g}: see finite-forward-backward")
    if has_float64(context.device):
        rig.double()
    else:
        rig.double(torch.device("cpu"))
        batch = batch.to(torch.device("cpu"))
    batch = batch.double()
    with float64_by_default():
        keep = KeepDouble()
        try:
            with keep:
                value = _loss_value(context, rig, batch)
            # Under the mode every operation costs more: it stays only where something would lower the precision.
            with keep if keep.casts else contextlib.nullcontext():
                return _compare(context, rig, batch, value)
        except UserCodeError as error:
            raise NotApplicable(f"the model or loss cannot run in float64 ({error})") from error


def _compare(context: Context, rig: Rig, batch: Batch, value: float) -> Outcome:
    gradients = _gradients(context, rig, batch)
    if not math.isfinite(value):
        raise NotApplicable(f"the loss in float64 is {value:g}")
    entries, unfinished = _check_entries(context, rig, batch, gradients)
    if not entries:
        raise NotApplicable("no trainable parameter, or no time to check one: raise the budget")
    held = _hold_stopped(context, rig, batch, entries)
    moved = _settle_kinks(context, rig, batch, entries)
    return _judge(context, rig, batch, moved, unfinished, held)


def _hold_stopped(context: Context, rig: Rig, batch: Batch, entries: dict[str, list[EntryCheck]]) -> int:
    """Check entries that differ once more with detached values held constant, as backward() takes them.

    Replaces those that agree then, and returns how many. A parameter whose gradient is zero altogether is left as it
    is: nobody detaches a whole layer on purpose and leaves it trainable.
    """
    parameters = trainable(rig.model)
    suspects = [
        (name, place)
        for name, group in entries.items()
        if any(entry.analytic != 0 for entry in group)
        for place, entry in enumerate(group)
        if entry.verdict in ("differs", "at a kink")
    ]
    if not suspects:
        return 0
    stopped = StoppedGradients()
    context.reseed()
    with torch.enable_grad(), stopped:
        rig.loss(batch)
    if not stopped.any:
        return 0

    def value() -> float:
        stopped.rewind()
        with stopped:
            return _loss_value(context, rig, batch)

    held = 0
    for name, place in suspects:
        if context.deadline.expired:
            break
        entry = entries[name][place]
        again = check_entry(value, _entries_of(parameters[name]), entry.index, entry.analytic)
        if again.verdict not in ("differs", "at a kink"):
            entries[name][place] = again
            held += 1
    return held


def _settle_modes(rig: Rig) -> None:
    """Train mode; but spectral normalisation must not go on iterating, which changes the function itself."""
    rig.model.train()
    for module in rig.model.modules():
        if "SpectralNorm" in type(module).__name__:
            module.eval()


def _loss_value(context: Context, rig: Rig, batch: Batch) -> float:
    context.reseed()
    with torch.no_grad():
        return float(rig.loss(batch))


def _gradients(context: Context, rig: Rig, batch: Batch) -> dict[str, Tensor]:
    context.reseed()
    found = rig.gradients(batch)
    named = trainable(rig.model)
    return {
        name: _real(torch.zeros_like(named[name]) if gradient is None else _dense(gradient))
        for name, gradient in found.items()
        if named[name].dtype in (torch.float64, torch.complex128) and named[name].numel()
    }


def _real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real and imaginary parts, with the same memory; torch's gradient of a real loss is
    its derivative in either.
    """
    return torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor


def _entries_of(parameter: nn.Parameter) -> Tensor:
    """The numbers of a parameter, contiguous, in its own memory."""
    if not parameter.is_contiguous():
        parameter.data = parameter.data.contiguous()
    return _real(parameter)


def _dense(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.layout != torch.strided else gradient


def _check_entries(
    context: Context, rig: Rig, batch: Batch, gradients: dict[str, Tensor]
) -> tuple[dict[str, list[EntryCheck]], list[str]]:
    """One entry of every parameter first, then the second of each, ...: a short budget still sees all
    parameters.
    """
    parameters = trainable(rig.model)
    generator = torch.Generator().manual_seed(context.seed)
    plans = {name: _plan(gradient, generator) for name, gradient in gradients.items()}
    done: dict[str, list[EntryCheck]] = {}
    limit = context.deadline.part(0.8)  # the rest is for finding the culprit
    for turn in range(ENTRIES):
        for name, plan in plans.items():
            if turn >= len(plan):
                continue
            if limit.expired:
                return done, [other for other in plans if other not in done]
            index = plan[turn]
            analytic = float(gradients[name].reshape(-1)[index])
            numbers = _entries_of(parameters[name])
            entry = check_entry(lambda: _loss_value(context, rig, batch), numbers, index, analytic)
            done.setdefault(name, []).append(entry)
    return done, []


def _settle_kinks(
    context: Context, rig: Rig, batch: Batch, entries: dict[str, list[EntryCheck]]
) -> dict[str, list[EntryCheck]]:
    """Entries where many values sit on kinks at once are checked anew at a point a little way off.

    Such points are no accident: zero-initialised residual branches put every rectifier behind them at exactly
    0.
    """
    if not any(entry.verdict == "at a kink" for group in entries.values() for entry in group):
        return entries
    generator = torch.Generator().manual_seed(context.seed)
    parameters = trainable(rig.model)
    with torch.no_grad():
        for parameter in parameters.values():
            numbers = _entries_of(parameter)
            scale = max(float(numbers.square().mean().sqrt()), 0.1)
            numbers.add_(JITTER * scale * torch.randn(numbers.shape, generator=generator).to(numbers))
    gradients = _gradients(context, rig, batch)
    settled: dict[str, list[EntryCheck]] = {}
    for name, group in entries.items():
        settled[name] = []
        for entry in group:
            if entry.verdict == "at a kink":
                analytic = float(gradients[name].reshape(-1)[entry.index])
                numbers = _entries_of(parameters[name])
                again = check_entry(lambda: _loss_value(context, rig, batch), numbers, entry.index, analytic)
                entry = again if again.verdict == "differs" else replace(entry, verdict="kink")
            settled[name].append(entry)
    return settled


def _plan(gradient: Tensor, generator: torch.Generator) -> list[int]:
    """Entries to look at: the largest gradient, then others at random, half of them with a gradient that is
    not 0.
    """
    flat = gradient.detach().reshape(-1).abs().cpu()
    chosen = [int(flat.argmax())]
    nonzero = flat.nonzero().reshape(-1)
    pools = [nonzero, torch.arange(flat.numel())]
    for turn in range(8 * ENTRIES):
        pool = pools[turn % 2] if pools[turn % 2].numel() else pools[1]
        index = int(pool[torch.randint(pool.numel(), (1,), generator=generator)])
        if index not in chosen:
            chosen.append(index)
        if len(chosen) == min(ENTRIES, flat.numel()):
            break
    return chosen


def _judge(
    context: Context, rig: Rig, batch: Batch, entries: dict[str, list[EntryCheck]], unfinished: list[str], held: int
) -> Outcome:
    flat = [entry for group in entries.values() for entry in group]
    judged = [entry for entry in flat if entry.verdict in ("agrees", "differs")]
    worst = max((entry.error for entry in judged), default=0.0)
    wrong = [name for name, group in entries.items() if any(_is_wrong(entry) for entry in group)]
    kinks = sum(entry.verdict == "kink" for entry in flat)
    noise = sum(entry.verdict == "noise" for entry in flat)
    evidence = {
        "worst_relative_error": worst,
        "limits": {"good": GOOD, "warn": KINKY, "fail": WRONG},
        "parameters": [
            {
                "name": name,
                "worst_relative_error": max(
                    (e.error for e in group if e.verdict in ("agrees", "differs")), default=None
                ),
                "entries": [vars(entry) for entry in group],
            }
            for name, group in entries.items()
        ],
        "entries": len(flat),
        "kinks": kinks,
        "too_small_to_judge": noise,
        "not_reached": unfinished,
        "with_detached_values_held": held,
    }
    notes = _notes(kinks, noise, unfinished, held)
    if wrong:
        return _blame(context, rig, batch, entries, wrong, evidence, notes)
    differing = [name for name, group in entries.items() if any(entry.verdict == "differs" for entry in group)]
    if differing:
        return warned(
            f"analytic and numerical gradient differ by up to {worst:.1e} (relative) in {_names(differing)}; "
            f"up to "
            f"{KINKY:g} is usual{notes}",
            "check the backward of custom functions for small errors, and the forward for low-precision steps",
            **evidence,
        )
    return passed(
        f"{len(flat)} entries of {len(entries)} parameters agree, largest relative error {worst:.1e}{notes}",
        **evidence,
    )


def _is_wrong(entry: EntryCheck) -> bool:
    return entry.verdict == "differs" and entry.error > WRONG


def _blame(
    context: Context,
    rig: Rig,
    batch: Batch,
    entries: dict[str, list[EntryCheck]],
    wrong: list[str],
    evidence: dict[str, object],
    notes: str,
) -> Outcome:
    first = max((e for e in entries[wrong[0]] if _is_wrong(e)), key=lambda e: abs(e.analytic - e.numeric))
    detached = [name for name in wrong if all(entry.analytic == 0 for entry in entries[name])]
    evidence["wrong_parameters"] = wrong
    text = (
        f"the gradient of {_names(wrong)} is wrong: {wrong[0]}[{first.index}] is {first.analytic:.4g} by "
        f"backward(), "
        f"{first.numeric:.4g} by differences (relative error {first.error:.1e})"
    )
    if len(detached) == len(wrong):
        return failed(
            f"{text}: backward() gives zero although the loss depends on it{notes}",
            "look for .detach(), .data, .item(), torch.no_grad() or a NumPy round trip between it and the loss",
            "a straight-through estimator or a stopped gradient does this on purpose",
            **evidence,
        )
    if all(entry.numeric == 0 for name in wrong for entry in entries[name] if _is_wrong(entry)):
        return warned(
            f"{text}: the loss does not move at all{notes}",
            "the forward is made of steps (rounding, sign, argmax): a straight-through estimator gives such a gradient "
            "on purpose",
            "otherwise correct the backward of the function between these layers and the loss",
            **evidence,
        )
    culprit = wrong_backward_module(rig, batch, context.reseed, context.deadline)
    if culprit is not None:
        evidence["culprit"] = culprit.name
        named = f"{culprit.name or 'the model itself'} ({culprit.type})"
        text += f"; the backward of {named} does not match its forward"
        advice = f"correct the backward of {named}: "
    else:
        right = [name for name in entries if name not in wrong]
        text += f"; right are {_names(right)}" if right else ""
        advice = "look at custom autograd functions and gradient hooks between these layers and the loss: "
    return failed(
        f"{text}{notes}",
        advice + "compare it with torch.autograd.gradcheck",
        "gradient reversal and straight-through estimators do this on purpose",
        **evidence,
    )


def _notes(kinks: int, noise: int, unfinished: list[str], held: int) -> str:
    parts = []
    if held:
        parts.append(f"{held} entries agree once detached values are held constant, as backward() takes them")
    if kinks:
        parts.append(f"{kinks} entries sit on a kink, where either side's slope is right")
    if noise:
        parts.append(f"{noise} are too small to judge")
    if unfinished:
        parts.append(f"cut short by the time budget: {len(unfinished)} parameters not reached")
    return f" ({'; '.join(parts)})" if parts else ""


def _names(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
