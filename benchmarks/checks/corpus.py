"""The checks on the trainer's corpus: its healthy configurations, and its faults injected into several of them.

Nothing is trained (but one epoch where a configuration fine-tunes): a check looks at the parts as they are assembled.
Configurations that differ only in what a check never sees (seed, schedule, length, patience, clipping, precision) are
one configuration here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.checks.measure import Arguments, Case
from trainer.corpus.bases import BASES
from trainer.corpus.faulty import PLACES
from trainer.corpus.plan import Planned, planned
from trainer.loop import train
from trainer.recipe import load_recipe
from trainer.targets import check_target

HEALTHY, FAULTY = "corpus", "corpus, faulty"
UNSEEN_BY_CHECKS = ("schedule.", "training.epochs", "training.patience", "training.clip_norm", "training.l1")
PRECISION = "training.precision"
FINE_TUNED = "model.run=before"
PLACES_OF_EACH_PART = 2

# Fault of the trainer -> the checks of which one must speak. Faults that cannot be seen before training are left
# out: those of the schedule, the length, the batch size, the validation data, the capacity; labels that are wrong but
# possible; layers frozen on purpose or not; a loop that forgets zero_grad, clips too hard or never evaluates.
VISIBLE: dict[str, tuple[str, ...]] = {
    "zero-initialization": ("initialization",),
    "constant-initialization": ("initialization",),
    "too-small-initialization": ("initialization",),
    "too-large-initialization": ("initialization", "initial-loss"),
    "exploding-rnn": ("initialization",),
    "deep-sigmoid": ("initialization",),
    "deep-tanh": ("initialization",),
    "deep-plain": ("initialization",),
    "dead-relu": ("initialization", "gradients-reach-every-parameter"),
    "no-normalization": ("input-normalization",),
    "inputs-in-255": ("input-normalization",),
    "blank-inputs": ("input-normalization",),
    "nan-in-data": ("finite-forward-backward",),
    "class-imbalance": ("label-sanity",),
    "no-shuffling": ("label-sanity",),
    "double-softmax": ("loss-output-pairing",),
    "wrong-head": ("loss-output-pairing",),
    "wrong-loss": ("loss-output-pairing", "overfit-small-batch"),
    "missing-log-softmax": ("loss-output-pairing",),
    "summed-loss": ("loss-output-pairing",),
    "optimizer-misses-a-layer": ("optimizer-covers-parameters",),
    "optimizer-misses-the-head": ("optimizer-covers-parameters",),
    "detached-layer": ("gradients-reach-every-parameter",),
    "learning-rate-too-high": ("learning-rate-range", "parameters-change"),
    "learning-rate-too-low": ("learning-rate-range", "parameters-change"),
    "maximized-loss": ("learning-rate-range", "parameters-change"),
    "too-much-weight-decay": ("regularization-raises-loss",),
    "fp16-underflow": ("parameters-change",),
}

# Batch normalisation behind every layer gives small weights their scale back: nothing is wrong there.
HARMLESS = {("too-small-initialization", "digits-plain-deep")}


def healthy_cases() -> Iterator[Case]:
    """The corpus's healthy configurations, each once."""
    seen: set[tuple[str, ...]] = set()
    for run in planned():
        if run.fault is not None or run.seed != 0:
            continue
        kept = _seen_by_checks(run.overrides)
        if (run.recipe, *kept) not in seen:
            seen.add((run.recipe, *kept))
            yield Case(HEALTHY, run.name, lambda run=run, kept=kept: _arguments(run, kept), part=run.part)


def faulty_cases() -> Iterator[Case]:
    """Every fault that can be seen before training, on at most two configurations of each part."""
    runs = {run.name: run for run in planned()}
    for fault, right in VISIBLE.items():
        for name in spread([place for place in PLACES[fault].split() if (fault, place) not in HARMLESS]):
            run = runs[f"{name}.{fault}.0"]
            overrides = (*_seen_by_checks(run.overrides), f"faults.names={json.dumps([fault])}")
            make = lambda run=run, kept=overrides: _arguments(run, kept)  # noqa: E731
            yield Case(FAULTY, run.name, make, right, fault=fault, part=run.part)
    for fault, (right, places, inject) in INJECTED.items():
        for name in places.split():
            run = runs[f"{name}.as-it-is.0"]
            kept = _seen_by_checks(run.overrides)
            make = lambda run=run, kept=kept, inject=inject: inject(_arguments(run, kept))  # noqa: E731
            yield Case(FAULTY, f"{name}.{fault}", make, (right,), fault=fault, part=run.part)


def spread(names: Sequence[str]) -> list[str]:
    """The first places of each part."""
    of_part = {part: [name for name in names if BASES[name].part == part] for part in ("dev", "locked")}
    return [name for found in of_part.values() for name in found[:PLACES_OF_EACH_PART]]


def _seen_by_checks(overrides: Sequence[str]) -> tuple[str, ...]:
    return tuple(o for o in overrides if not o.startswith((*UNSEEN_BY_CHECKS, PRECISION)))


def _arguments(run: Planned, overrides: Sequence[str]) -> Arguments:
    if FINE_TUNED not in overrides:
        return check_target(run.recipe, overrides)
    others = [o for o in overrides if not o.startswith(("model.", "optimizer."))]
    with tempfile.TemporaryDirectory() as before:
        short = [*others, "training.seed=1000", "training.epochs=1", "training.checkpoint_every=0"]
        train(load_recipe(run.recipe, short), Path(before), watched=False)
        return check_target(run.recipe, [f"model.run={before}" if o == FINE_TUNED else o for o in overrides])


class WrongBackward(torch.autograd.Function):
    """x tanh(x), with a term of the product rule forgotten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.tanh()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * x.tanh()


def _wrong_backward(arguments: Arguments) -> Arguments:
    model: nn.Module = arguments["model"]
    model.register_forward_hook(lambda module, inputs, outputs: outputs + 0.1 * WrongBackward.apply(outputs))
    return arguments


def _mixed(arguments: Arguments) -> Arguments:
    """[N, C] read as [C, N] somewhere on the way and back: the outputs of other examples."""
    model: nn.Module = arguments["model"]

    def mix(module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        n, *rest = outputs.shape
        return outputs.reshape(-1, n).t().reshape(n, *rest)

    model.register_forward_hook(mix)
    return arguments


def _from_one(arguments: Arguments) -> Arguments:
    """Classes counted from 1."""
    return {**arguments, "data": [(x, y + 1) for x, y in arguments["data"]]}


def _ignored(arguments: Arguments) -> Arguments:
    """The model sees the first example in place of all."""
    model: nn.Module = arguments["model"]
    model.register_forward_pre_hook(lambda module, inputs: tuple(x[:1].expand_as(x) for x in inputs))
    return arguments


# What the trainer's faults do not have: fault -> the right check, where it is injected, how.
INJECTED: dict[str, tuple[str, str, Callable[[Arguments], Arguments]]] = {
    "batch-mixing": ("batch-independence", "digits-mlp patches-mlp digits-rnn patches-resnet", _mixed),
    "wrong-backward": ("gradient-check", "digits-mlp diabetes-mlp digits-rnn breast-cancer-mlp", _wrong_backward),
    "label-out-of-range": ("label-sanity", "digits-mlp wine-mlp digits-rnn recall-gru", _from_one),
    "input-ignored": ("input-dependence", "digits-mlp diabetes-mlp digits-rnn breast-cancer-mlp", _ignored),
}
