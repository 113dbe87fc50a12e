"""Are the inputs, exactly as they reach the net, of a scale it can learn from?

**What it does.** Measures mean, standard deviation and range of every floating-point input tensor, over
all and per channel (dimension 1 of images and signals, the last one otherwise). Where one of them
looks bad, it follows it to the first layers it enters: a model that normalises or rescales its
inputs itself is fine. Token ids and other integers are left alone. A few images are kept as evidence.

**Why it matters.** Common initialisations assume inputs of zero mean and unit variance. With pixels of
0 to 255 every activation and gradient of the first layer is two orders of magnitude too large.

**Criterion.** Root mean square (over the non-zero entries when more than 90% are zeros): *pass* within
0.05 to 5, *fail* outside 0.01 to 50, when the input is constant or the same for all examples, *warn* between.
*Warn* also when the mean is more than 10 standard deviations from 0, and when the largest feature's RMS is more than
30 times the median feature's. Inputs of zeros and ones only (one-hot, binary) pass.

**When it misleads.** Features that are rightly small or sparse in their own way.

**References.** CS231n notes, "Data preprocessing"; Y. LeCun et al., "Efficient BackProp" (1998), 4.3.
The bands are babysit's own: 0.05 to 5 covers [0, 1], [-1, 1] and standardised data with room to spare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable, UserCodeError
from probes.checks.modes import train_without_dropout
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.trace import NORMALISATIONS, Call, trace_forward
from probes.checks.trees import named_tensors, tensors

TITLE = "Are the inputs, exactly as they reach the net, of a scale it can learn from?"
FAMILY = "data"
SHARE = 0.5

PASS_RMS = (0.05, 5.0)
FAIL_RMS = (0.01, 50.0)
OFFSET = 10.0
SPREAD = 30.0
IMAGES = 8
PIXELS = 32


@dataclass(frozen=True)
class _Verdict:
    status: str  # "pass", "warn" or "fail"
    text: str
    advice: str


def run(context: Context) -> Outcome:
    batch = context.pooled()
    calls = _layers(context)
    images = bool(calls) and isinstance(calls[0].module, nn.modules.conv._ConvNd)
    numbers = {
        path: tensor
        for path, tensor in named_tensors(batch.inputs)
        if tensor.is_floating_point() and tensor.numel() > 1 and not _is_mask(tensor)
    }
    if not numbers:
        raise NotApplicable("no floating-point inputs (token ids and masks have no scale)")
    alike = _all_alike(batch)
    if alike:
        return failed(
            f"all {alike} examples read are the same, number by number",
            "look at the loader and at the data set's __getitem__: does it use its index?",
        )
    measured = {path: _statistics(tensor, images) for path, tensor in numbers.items()}
    verdicts = {path: judge(tensor, measured[path]) for path, tensor in numbers.items()}
    evidence = {
        "inputs": measured,
        "limits": {"pass_rms": PASS_RMS, "fail_rms": FAIL_RMS},
        "images": _images(batch, images),
    }
    leaves = dict(named_tensors(context.batch.inputs))
    told: list[str] = []
    bad: list[tuple[str, _Verdict]] = []
    for path, verdict in verdicts.items():
        inside = None if verdict.status == "pass" else _normalised_inside(calls, leaves.get(path), list(numbers))
        if verdict.status != "pass" and inside is None:
            bad.append((path, verdict))
        else:
            told.append(f"inputs{path} {verdict.text}" + (f", but {inside}" if inside else ""))
    if not bad:
        return passed("; ".join(told), **evidence)
    status = "fail" if any(verdict.status == "fail" for _, verdict in bad) else "warn"
    report = failed if status == "fail" else warned
    worst = [(path, verdict) for path, verdict in bad if verdict.status == status]
    advice = dict.fromkeys(verdict.advice for _, verdict in worst)
    return report("; ".join(f"inputs{path} {verdict.text}" for path, verdict in worst), *advice, **evidence)


def _all_alike(batch: Batch) -> int:
    """How many examples there are when each is a copy of the first; else 0."""
    if batch.size is None or batch.size < 4:
        return 0
    rows = [batch.rows(tensor) for tensor in tensors(batch.inputs)]
    varies = any(bool((row != row[:1]).any()) for row in rows)
    constant = all(bool((row == row.reshape(-1)[:1]).all()) for row in rows)  # has a message of its own
    return 0 if varies or constant else batch.size


def _is_mask(tensor: Tensor) -> bool:
    return tensor.dim() < 2 and bool(torch.all((tensor == 0) | (tensor == 1)))


def _statistics(tensor: Tensor, images: bool) -> dict[str, Any]:
    """Plain numbers over everything and per channel, NaN and infinities left out (another check has them)."""
    data = exact(tensor)
    finite = data[torch.isfinite(data)]
    if not finite.numel():
        finite = torch.zeros(1, dtype=torch.float64)
    channel = 1 if tensor.dim() >= 4 or (images and tensor.dim() == 3) else tensor.dim() - 1
    rows = data.movedim(channel, 0).flatten(1) if tensor.dim() > 1 else data.reshape(1, -1)
    rows = torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    zeros = float((finite == 0).float().mean())
    loud = finite[finite != 0] if zeros > 0.9 and zeros < 1 else finite
    histogram = torch.histc(finite.cpu().float(), 40)
    return {
        "shape": list(tensor.shape),
        "mean": float(finite.mean()),
        "std": float(finite.std(correction=0)),
        "rms": float(loud.square().mean().sqrt()),
        "min": float(finite.min()),
        "max": float(finite.max()),
        "zero_fraction": zeros,
        "channel_mean": rows.mean(1)[:64].tolist(),
        "channel_std": rows.std(1, correction=0)[:64].tolist(),
        "feature_spread": _spread(rows),
        "histogram": {"counts": histogram.tolist(), "range": [float(finite.min()), float(finite.max())]},
    }


def _spread(rows: Tensor) -> float:
    rms = rows.square().mean(1).sqrt()
    median = float(rms.median())
    return float(rms.max()) / median if median > 0 else 1.0


def judge(tensor: Tensor, values: dict[str, Any]) -> _Verdict:
    """The criterion, on the statistics of one tensor."""
    mean, std, rms = values["mean"], values["std"], values["rms"]
    text = f"have mean {mean:.3g}, standard deviation {std:.3g}, range {values['min']:.3g} to {values['max']:.3g}"
    scale = "subtract the mean and divide by the standard deviation, both taken from the training set"
    if values["max"] == values["min"]:
        return _Verdict("fail", f"are all {mean:.4g}", "look at the loader: the data is lost before the net")
    if bool(torch.all((tensor == 0) | (tensor == 1))):
        return _Verdict("pass", "are zeros and ones", "")
    if not FAIL_RMS[0] <= rms <= FAIL_RMS[1]:
        size = "large" if rms > 1 else "small"
        advice = "divide pixels by 255, then " + scale if 200 < values["max"] <= 255 else scale
        return _Verdict("fail", f"{text}: far too {size}", advice)
    if not PASS_RMS[0] <= rms <= PASS_RMS[1]:
        return _Verdict("warn", f"{text}: too {'large' if rms > 1 else 'small'}", scale)
    if abs(mean) > OFFSET * std:
        return _Verdict("warn", f"{text}: hardly any variation beside the mean", scale)
    if values["feature_spread"] > SPREAD:
        many = f"{text}: the largest feature is {values['feature_spread']:.0f} times the median one"
        return _Verdict("warn", many, "standardise each feature on its own")
    return _Verdict("pass", text, "")


def _layers(context: Context) -> list[Call]:
    """Layers with weights and normalisations that take numbers (an embedding does not), in order."""
    rig = context.rig()
    train_without_dropout(rig.model)
    try:
        with torch.no_grad():
            _, calls = trace_forward(rig, context.batch)
    except UserCodeError:
        return []  # the inputs can be judged all the same; finite-forward-backward reports the failure
    return [c for c in calls if c.inputs and (c.weighted or isinstance(c.module, NORMALISATIONS))]


def _normalised_inside(calls: list[Call], leaf: Tensor | None, paths: list[str]) -> str | None:
    """What makes good for a bad input `leaf`, in words; None when nothing does.

    A layer takes the input itself when it is given the same memory. Where none does, the model has worked on it: then
    what enters the first layer tells, which with several inputs may be about another one.
    """
    if leaf is None or not calls:
        return None
    takers = [call for call in calls if any(_same_memory(t, leaf) for t in call.inputs)]
    if takers:
        if all(isinstance(call.module, NORMALISATIONS) for call in takers):
            return f"{takers[0].name} ({type(takers[0].module).__name__}) normalises them"
        return None
    first = calls[0]
    if isinstance(first.module, NORMALISATIONS) and len(paths) == 1:
        return f"{first.name} ({type(first.module).__name__}) normalises them"
    entering = max(first.inputs, key=Tensor.numel)
    values = _statistics(entering, isinstance(first.module, nn.modules.conv._ConvNd))
    if judge(entering, values).status != "pass":
        return None
    return (
        f"the model rescales them: {first.name or 'its first layer'} receives mean {values['mean']:.3g}, "
        f"standard deviation {values['std']:.3g}"
    )


def _same_memory(left: Tensor, right: Tensor) -> bool:
    return left.data_ptr() == right.data_ptr() and left.numel() == right.numel() and left.dtype == right.dtype


def _images(batch: Batch, images: bool) -> dict[str, Any] | None:
    """A few inputs as the net sees them: uint8 [n, c, h, w] over the range that is given beside them."""
    for path, tensor in named_tensors(batch.inputs):
        if images and tensor.dim() == 4 and tensor.shape[1] in (1, 3) and tensor.is_floating_point():
            few = torch.nan_to_num(tensor[:IMAGES].detach().float().cpu())
            step = max(1, max(few.shape[2:]) // PIXELS)
            few = few[:, :, ::step, ::step]
            low, high = float(few.min()), float(few.max())
            scaled = ((few - low) / max(high - low, 1e-12) * 255).round().to(torch.uint8)
            return {"input": path, "pixels": scaled.tolist(), "range": [low, high]}
    return None
