"""Do the initial weights let signal and gradient through, and do units differ?

**What it does.** Runs one batch forward and backward (train mode, dropout off) and records, for every module
with weights in the order of the forward pass, the standard deviation of its output over the batch, and for
every parameter the gradient; for ReLU modules the share of units that are zero for the whole batch, for
sigmoid and tanh modules the share of saturated values. Rows of weight matrices (units) that are equal in
weight and in gradient are counted.

**Why it matters.** Units with equal weights and equal gradients stay equal for ever: a layer of them is one
unit. A signal that shrinks from layer to layer leaves nothing to learn from; one that grows saturates every
activation and blows up the gradient.

**Criterion.** *Fail*: fewer than half of a layer's units differ in weight or gradient (a zero or constant
initialisation that the first step does not undo; a last layer of zeros is fine, its units get different gradients);
more than 95% of a ReLU layer's units dead; more than 90% of the values of a sigmoid or tanh saturated (beyond 0.95 of
the range); output scale of a layer, in units of the input's, below 1e-5 or above 100; weight gradients (relative to
their weights, those of a last layer that starts near zero to weights of variance 1/fan_in) more than 1e6 apart between
the first and the last third of the layers. *Warn*: 50% dead, 50% saturated, scale below 1e-3 or above 10, gradients
1e4 apart. Recurrent weights: *warn* when the gain of a step in time, the RMS singular value of the square matrix (1 for
orthogonal ones, 0.6 by PyTorch's default), is above 2, *fail* above 8.

**When it misleads.** Layers that are meant to start silent (zero-initialised residual branches) are left out
when their output is exactly zero; batches below 16 examples say little about dead units.

**References.** CS231n notes, "Weight initialization"; X. Glorot and Y. Bengio (2010); K. He et al. (2015); R. Pascanu
et al., "On the difficulty of training recurrent neural networks" (2013) for the recurrent gain;
the deadness and saturation limits are those of Amazon SageMaker Debugger's rules, DeadRelu and Tanh.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable
from probes.checks.modes import train_without_dropout
from probes.checks.names import listed
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.rig import differentiate, trainable, usual_size
from probes.checks.trace import Call, batch_std, trace_forward

TITLE = "Do the initial weights let signal and gradient through, and do units differ?"
FAMILY = "model"
SHARE = 0.5

EXAMPLES = 256
DEAD = (0.5, 0.95)
SATURATED = (0.5, 0.9)
SMALL = (1e-3, 1e-5)
LARGE = (10.0, 100.0)
APART = (1e4, 1e6)
RECURRENT = (2.0, 8.0)

Finding = tuple[str, str, str]

SUGGEST_INIT = (
    "initialise with He's method before ReLU (nn.init.kaiming_normal_), with Glorot's before tanh and "
    "sigmoid "
    "(nn.init.xavier_uniform_)"
)


@dataclass
class _Measured:
    layers: list[dict[str, Any]] = field(default_factory=list)
    activations: list[dict[str, Any]] = field(default_factory=list)
    gradients: list[dict[str, Any]] = field(default_factory=list)
    symmetric: list[str] = field(default_factory=list)


def run(context: Context) -> Outcome:
    rig = context.rig()
    named = trainable(rig.model)
    if not named:
        raise NotApplicable("no parameter is trainable")
    train_without_dropout(rig.model)
    batch = context.pooled().first(EXAMPLES)
    outputs, calls = trace_forward(rig, batch)
    loss = rig.loss_of(outputs, batch)
    if not bool(torch.isfinite(loss)) or not loss.requires_grad:
        raise NotApplicable("there is no finite loss to differentiate: see finite-forward-backward")
    found = differentiate(loss, list(named.values()))
    gradients = {name: g for name, g in zip(named, found, strict=True) if g is not None}
    measured = _measure(calls, named, gradients)
    loops = _recurrent_gains(rig.model)
    findings = [*_symmetry(measured), *_activity(measured), *_scale(measured), *_depth(measured), *_loops(loops)]
    evidence = {
        "layers": measured.layers,
        "activations": measured.activations,
        "gradients": measured.gradients,
        "symmetric": measured.symmetric,
        "recurrent_gains": loops,
        "limits": {
            "small": SMALL,
            "large": LARGE,
            "dead": DEAD,
            "saturated": SATURATED,
            "apart": APART,
            "recurrent": RECURRENT,
        },
    }
    for status, report in (("fail", failed), ("warn", warned)):
        matching = [finding for finding in findings if finding[0] == status]
        if matching:
            advice = list(dict.fromkeys(finding[2] for finding in matching))
            return report("; ".join(finding[1] for finding in matching), *advice, **evidence)
    scales = [layer["scale"] for layer in measured.layers if layer["scale"] == layer["scale"]]
    span = f", output scale {min(scales):.2g} to {max(scales):.2g} of the input's" if scales else ""
    return passed(f"{len(measured.layers)} layers{span}; units differ", **evidence)


def _measure(calls: list[Call], named: dict[str, nn.Parameter], gradients: dict[str, Tensor]) -> _Measured:
    measured = _Measured()
    unit = _input_scale(calls)
    entering = next((call.inputs for call in calls if call.weighted), ())
    varied = not entering or any(batch_std(tensor) != 0 for tensor in entering)
    for call in calls:
        if call.weighted and call.output.is_floating_point():
            spread = batch_std(call.output)
            measured.layers.append(
                {
                    "name": call.name,
                    "type": type(call.module).__name__,
                    "std": float(exact(call.output).std(correction=0)),
                    "batch_std": spread,
                    "scale": spread / unit if varied else math.nan,  # of copies of one example nothing is known
                }
            )
        elif call.output.dim() > 1 and isinstance(call.module, (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid)):
            measured.activations.append(_activation(call))
    for name, gradient in gradients.items():
        parameter = named[name].detach()
        if parameter.dim() > 1 and gradient.layout == torch.strided:
            size = float(gradient.norm())
            measured.gradients.append({"name": name, "norm": size, "relative": size / usual_size(parameter)})
            if is_symmetric(parameter, gradient):
                measured.symmetric.append(name)
    return measured


def _input_scale(calls: list[Call]) -> float:
    """The RMS of what enters the first layer with weights, at least 1 (inputs are another check's matter)."""
    first = next((call for call in calls if call.weighted), None)
    entering = first.inputs if first is not None else ()
    sizes = [float(torch.nan_to_num(exact(t)).square().mean().sqrt()) for t in entering if t.numel()]
    return max([1.0, *sizes])


def _activation(call: Call) -> dict[str, Any]:
    output = call.output.detach()
    units = output.movedim(1, -1) if output.dim() == 4 else output  # channels are the units of images
    flat = units.reshape(-1, units.shape[-1])
    entry: dict[str, Any] = {
        "name": call.name,
        "type": type(call.module).__name__,
        "examples": output.shape[0],
    }
    if isinstance(call.module, (nn.ReLU, nn.ReLU6)):
        entry["dead_fraction"] = float((flat <= 0).all(0).float().mean())
    elif isinstance(call.module, nn.Tanh):
        entry["saturated_fraction"] = float((output.abs() > 0.95).float().mean())
    else:
        entry["saturated_fraction"] = float(((output - 0.5).abs() > 0.475).float().mean())
    return entry


def is_symmetric(weight: Tensor, gradient: Tensor) -> bool:
    """Whether at least half of the units (rows) repeat another one in weight and in gradient."""
    rows = weight.shape[0]
    if rows < 2:
        return False
    if weight.is_complex():
        weight, gradient = torch.view_as_real(weight), torch.view_as_real(gradient.resolve_conj())
    few = weight.reshape(rows, -1)[:512, :8]
    if 2 * len(torch.unique(few, dim=0)) > len(few):
        return False  # almost always: random weights differ in their first entries already
    together = torch.cat([weight.reshape(rows, -1), _rounded(gradient.reshape(rows, -1))], dim=1)
    if bool((weight.reshape(rows, -1) != weight.reshape(rows, -1)[:1]).any()):
        # Almost always: distinct weights. Only then is the comparison of all rows needed at all.
        return bool(2 * torch.unique(together[:512], dim=0).shape[0] <= min(rows, 512))
    return bool(2 * torch.unique(together, dim=0).shape[0] <= rows)


def _rounded(gradient: Tensor) -> Tensor:
    """Gradients up to round-off: units that are equal in truth differ in the last bits on some devices."""
    top = float(gradient.abs().max())
    return (gradient / top * 1e4).round() if top > 0 else gradient


def _symmetry(measured: _Measured) -> Iterator[Finding]:
    if measured.symmetric:
        yield (
            "fail",
            f"units of {listed(measured.symmetric)} are copies of each other, in weight and in gradient: they stay so",
            "initialise weights at random, not with a constant or zeros; " + SUGGEST_INIT,
        )


def _activity(measured: _Measured) -> Iterator[Finding]:
    for key, limits, word, advice in (
        (
            "dead_fraction",
            DEAD,
            "dead",
            "start biases at 0, and check the scale of the inputs; " + SUGGEST_INIT,
        ),
        ("saturated_fraction", SATURATED, "saturated", "use smaller weights or inputs; " + SUGGEST_INIT),
    ):
        for limit, status in ((limits[1], "fail"), (limits[0], "warn")):
            over = [
                a for a in measured.activations if a.get(key, 0) > limit and (word != "dead" or a["examples"] >= 16)
            ]
            if over:
                what = "units that are zero for every example" if word == "dead" else "values at the ends of the range"
                told = [f"{a['name']} ({a['type']}, {a[key]:.0%})" for a in over]
                yield status, f"{what}: {listed(told)}", advice
                break


def _scale(measured: _Measured) -> Iterator[Finding]:
    layers = [layer for layer in measured.layers if layer["scale"] == layer["scale"] and layer["std"] > 0]
    for status, index in (("fail", 1), ("warn", 0)):
        small = [f"{x['name']} ({x['scale']:.1e})" for x in layers if x["scale"] < SMALL[index]]
        large = [f"{x['name']} ({x['scale']:.1e})" for x in layers if x["scale"] > LARGE[index]]
        if small:
            yield (
                status,
                f"the signal dies away: output scale (over the batch, in units of the input's) of {listed(small)}",
                SUGGEST_INIT + "; use normalisation layers or shortcuts in deep nets",
            )
        if large:
            yield status, f"the signal blows up: output scale of {listed(large)}", SUGGEST_INIT
        if small or large:
            return


def _recurrent_gains(model: nn.Module) -> dict[str, float]:
    """Of every recurrent weight: the largest RMS singular value |W|_F / sqrt(h) of its gates' square blocks.

    For random entries that is the spectral radius (circular law); for orthogonal and identity matrices it is 1.
    """
    gains: dict[str, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
            for key, weight in module.named_parameters(recurse=False):
                if key.startswith("weight_hh"):
                    width = weight.shape[1]
                    blocks = torch.split(weight.detach().float(), module.hidden_size)
                    gain = max(float(block.norm()) for block in blocks) / math.sqrt(width)
                    gains[f"{name}.{key}" if name else key] = gain
    return gains


def _loops(gains: dict[str, float]) -> Iterator[Finding]:
    for limit, status in ((RECURRENT[1], "fail"), (RECURRENT[0], "warn")):
        over = [f"{name} ({gain:.2g})" for name, gain in gains.items() if gain > limit]
        if over:
            yield (
                status,
                f"recurrent weights that multiply the state at every step by more than they should (gain above 1 "
                f"grows without bound): {listed(over)}",
                "initialise recurrent weights orthogonally (nn.init.orthogonal_) or with PyTorch's default, and clip "
                "the gradient norm",
            )
            return


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def _depth(measured: _Measured) -> Iterator[Finding]:
    relative = [(g["name"], g["relative"]) for g in measured.gradients if g["relative"]]
    third = math.ceil(len(relative) / 3)
    if len(relative) < 2:
        return
    # The strongest of each end: one weight that normalisation makes scale-free has no gradient, rightly.
    ends = [max(relative[:third], key=_second), max(relative[-third:], key=_second)]
    (weakest, low), (strongest, high) = sorted(ends, key=_second)
    apart = high / low
    for limit, status in ((APART[1], "fail"), (APART[0], "warn")):
        if apart > limit:
            yield (
                status,
                f"relative gradients are {apart:.0e} times apart: {low:.1e} in {weakest}, {high:.1e} in {strongest}",
                "use ReLU instead of sigmoid or tanh in deep nets, normalisation layers, shortcuts; " + SUGGEST_INIT,
            )
            return
