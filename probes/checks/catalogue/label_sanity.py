"""Are the targets what the loss and the task expect?

**What it does.** Looks at the targets of all batches read, and of further ones as far as a twentieth of the
budget goes (data with a length only): for class losses dtype, range against the
number of scores, classes that occur, balance, and whether every batch holds a single class; for yes/no
losses values outside [0, 1] and the share of positives; for regression constant or badly scaled
targets; for soft targets whether they sum to 1. Identical inputs with different labels are counted.

**Why it matters.** A label out of range stops the training on the CPU and corrupts it silently on some
devices; labels in sorted order, one class that outweighs all others, or targets in the thousands are
the usual reasons for a loss that does not come down.

**Criterion.** *Fail*: labels outside 0 .. C - 1 (other than ignore_index), soft targets that are no distribution,
yes/no targets outside [0, 1], constant regression targets, all labels ignored. *Warn*: the most frequent class more
than 10 times the rarest, both counts one and a half standard errors off (no class weights; not for token-level
labels, which are imbalanced by nature); one class only; batches that each hold a single class; fewer than half of
the scores ever used; regression targets with RMS above 30 or standard deviation below 0.01; more than 5% of the
examples contradict others with the same input.

**When it misleads.** The labels read are a sample: rare classes may simply not be in it.

**References.** CS231n notes, "Babysitting the learning process"; J. Johnson and T. Khoshgoftaar, "Survey on
deep learning with class imbalance" (2019) for ratios from which imbalance hurts. Google's "Rules of
machine learning" for looking at the labels first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from probes.checks.batches import Batch
from probes.checks.context import Context
from probes.checks.double import exact
from probes.checks.errors import NotApplicable
from probes.checks.losses.identify import CLASS_KINDS, REGRESSION_KINDS, LossSpec, class_rows
from probes.checks.outcome import Outcome, failed, passed, warned
from probes.checks.trees import main_tensor, tensors

TITLE = "Are the targets what the loss and the task expect?"
FAMILY = "data"
SHARE = 0.5

IMBALANCE = 10.0
ERRORS = 1.5
TARGET_RMS = 30.0
TARGET_STD = 0.01
CONTRADICTIONS = 0.05

Finding = tuple[str, str, list[str]]  # status, message, suggestions


def run(context: Context) -> Outcome:
    spec = context.spec()
    all_targets = context.all_targets
    if not all(isinstance(targets, Tensor) for targets in all_targets):
        raise NotApplicable("the targets are not one tensor")
    main = main_tensor(context.trial_outputs())
    if main is None or not main.is_floating_point():
        raise NotApplicable("the model returns no scores to compare the targets with: see finite-forward-backward")
    evidence: dict[str, Any] = {"loss": spec.kind}
    if spec.kind in CLASS_KINDS:
        findings = list(_classes(context, spec, evidence))
    elif spec.kind in ("bce", "bce-logits"):
        findings = list(_binary(context, spec, evidence))
    elif spec.kind in REGRESSION_KINDS:
        findings = list(_regression(all_targets, evidence, _is_reconstruction(context)))
    elif spec.kind == "soft-margin":
        findings = list(_signs(all_targets))
    elif spec.kind == "kl-div" and not spec.log_target:
        findings = list(_distributions(all_targets, -1))
    else:
        raise NotApplicable(
            f"the loss ({spec.name}) does not tell what its targets should look like; pass the torch.nn loss itself if "
            "it is one"
        )
    findings += _contradictions(context, spec, evidence)
    for status, report in (("fail", failed), ("warn", warned)):
        matching = [finding for finding in findings if finding[0] == status]
        if matching:
            advice = [line for finding in matching for line in finding[2]]
            return report("; ".join(finding[1] for finding in matching), *advice, **evidence)
    return passed(_summary(evidence), **evidence)


def _summary(evidence: dict[str, Any]) -> str:
    if "counts" in evidence:
        counts = evidence["counts"]
        present = [count for count in counts if count]
        each = f"{min(present)} to {max(present)} each"
        return f"{sum(counts)} labels, {len(present)} of {len(counts)} classes, {each}"
    if "positive_share" in evidence:
        return f"{evidence['answers']} yes/no answers, {evidence['positive_share']:.0%} yes"
    if "std" in evidence:
        return f"targets have mean {evidence['mean']:.3g} and standard deviation {evidence['std']:.3g}"
    return "targets are distributions"


def _classes(context: Context, spec: LossSpec, evidence: dict[str, Any]) -> Iterator[Finding]:
    main = main_tensor(context.trial_outputs())
    classes = main.shape[spec.class_dim if main.dim() > 1 else 0] if main is not None else 0
    targets: list[Tensor] = context.all_targets
    if targets[0].is_floating_point():
        if main is not None and targets[0].shape == main.shape:
            yield from _distributions(targets, spec.class_dim if main.dim() > 1 else 0)
            rows = class_rows(spec, main, targets[0])
            evidence["counts"] = torch.bincount(rows[1], minlength=classes).tolist() if rows else []
            return
        yield (
            "fail",
            f"class labels are {str(targets[0].dtype).removeprefix('torch.')}, this loss takes int64 class numbers",
            ["targets.long()"],
        )
        return
    labels = torch.cat([t.reshape(-1).cpu() for t in targets]).long()
    kept = labels[labels != spec.ignore_index]
    evidence["ignored"] = int(labels.numel() - kept.numel())
    if not kept.numel():
        yield (
            "fail",
            f"every label is the ignored one ({spec.ignore_index})",
            ["look at how labels are masked"],
        )
        return
    wrong = kept[(kept < 0) | (kept >= classes)]
    if wrong.numel():
        low, high = int(kept.min()), int(kept.max())
        shifted = low == 1 and high == classes
        advice = (
            "the labels start at 1: subtract 1"
            if shifted
            else f"give the last layer {high + 1} outputs, or repair the labels (padding wants ignore_index)"
        )
        yield (
            "fail",
            f"{wrong.numel()} of {kept.numel()} labels are outside 0 .. {classes - 1}, the model's {classes} "
            f"scores (labels go from {low} to {high})",
            [advice],
        )
        return
    counts = torch.bincount(kept, minlength=classes)
    evidence["counts"] = counts.tolist()
    if targets[0].dim() == 1:  # labels of tokens and pixels are imbalanced by nature
        yield from _balance(counts, classes, spec.weight is not None)
        yield from _order(targets, spec)


def _balance(counts: Tensor, classes: int, weighted: bool) -> Iterator[Finding]:
    present = counts[counts > 0]
    total = int(counts.sum())
    if len(present) == 1 and total >= 16:
        only = int(counts.argmax())
        yield (
            "warn",
            f"all {total} labels read are {only}",
            ["shuffle the training data (DataLoader(..., shuffle=True))", "check how the labels are made"],
        )
        return
    used = int(counts.nonzero().max()) + 1
    if 2 * used < classes and total >= 10 * used:
        yield (
            "warn",
            f"the model has {classes} scores, but the labels only go up to {used - 1}",
            [f"give the last layer {used} outputs"],
        )
    else:
        ratio = float(present.max()) / float(present.min())
        if not weighted and _surely_imbalanced(int(present.max()), int(present.min())):
            yield (
                "warn",
                f"the classes are imbalanced: the most frequent has {int(present.max())} examples, the "
                f"rarest "
                f"{int(present.min())} ({ratio:.0f} times fewer)",
                [
                    "give the loss class weights, or draw the rare classes more often (WeightedRandomSampler)",
                    "judge by balanced accuracy or F1, not by accuracy",
                ],
            )


def _surely_imbalanced(most: int, least: int) -> bool:
    """Whether the ratio is above the limit although `most` is too high and `least` too low by chance.

    The standard error of a count k is sqrt(k) (Poisson), of a rare one sqrt(k + 1).
    """
    return most - ERRORS * math.sqrt(most) > IMBALANCE * (least + ERRORS * math.sqrt(least + 1))


def _order(targets: list[Tensor], spec: LossSpec) -> Iterator[Finding]:
    majority = []
    for batch in targets:
        kept = batch[batch != spec.ignore_index]
        if kept.numel() >= 8:
            values, counts = torch.unique(kept, return_counts=True)
            majority.append((int(values[counts.argmax()]), float(counts.max()) / kept.numel()))
    different = len({label for label, _ in majority}) > 1
    if len(majority) > 1 and different and sum(share > 0.9 for _, share in majority) > len(majority) / 2:
        yield (
            "warn",
            "most batches hold a single class each, and not always the same: the data comes in sorted order",
            ["shuffle the training data (DataLoader(..., shuffle=True))"],
        )


def _distributions(targets: list[Tensor], dim: int) -> Iterator[Finding]:
    for index, batch in enumerate(targets):
        sums = exact(batch).sum(dim)
        if bool((batch < -1e-6).any()) or bool((sums - 1).abs().max() > 1e-2):
            several = bool(torch.all((batch == 0) | (batch == 1)))
            yield (
                "fail",
                f"the targets of batch {index} are no distributions: they sum to {float(sums.min()):.3g} .. "
                f"{float(sums.max()):.3g} instead of 1",
                ["several labels per example want BCEWithLogitsLoss" if several else "divide the targets by their sum"],
            )
            return


def _binary(context: Context, spec: LossSpec, evidence: dict[str, Any]) -> Iterator[Finding]:
    values = torch.cat([targets.reshape(-1).cpu() for targets in context.all_targets]).double()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        advice = "map -1/+1 to 0/1: (t + 1) / 2" if (low, high) == (-1, 1) else "targets must be 0, 1 or between"
        yield "fail", f"targets go from {low:g} to {high:g}, this loss takes 0 to 1", [advice]
        return
    weighted = spec.pos_weight is not None or spec.weight is not None
    yes = int((values > 0.5).sum())
    share = yes / values.numel()
    hard = bool(torch.all((values == 0) | (values == 1)))
    evidence.update(positive_share=share, answers=values.numel())
    targets = context.batch.targets
    single = context.batch.rows(targets).shape[1] == 1
    if not single or not hard:  # several labels per example are rare by nature; soft ones have no balance
        return
    if share in (0.0, 1.0) and values.numel() >= 16:
        yield (
            "warn",
            f"all {values.numel()} targets read are {int(share)}",
            ["shuffle the training data", "check how the labels are made"],
        )
    elif not weighted and _surely_imbalanced(max(yes, values.numel() - yes), min(yes, values.numel() - yes)):
        yield (
            "warn",
            f"the answers are imbalanced: {share:.1%} yes",
            [f"pass pos_weight=torch.tensor({(1 - share) / max(share, 1e-9):.1f})", "judge by F1 or AUC"],
        )


def _signs(targets: list[Tensor]) -> Iterator[Finding]:
    values = torch.unique(torch.cat([batch.reshape(-1).cpu() for batch in targets])).tolist()
    if not set(values) <= {-1, 1}:
        yield (
            "fail",
            f"targets are {', '.join(f'{value:g}' for value in values[:4])}, this loss takes -1 and +1",
            ["map 0/1 to -1/+1: 2 * t - 1"],
        )


def _regression(targets: list[Tensor], evidence: dict[str, Any], reconstruction: bool) -> Iterator[Finding]:
    values = torch.cat([batch.reshape(-1).cpu() for batch in targets]).double()
    mean, std = float(values.mean()), float(values.std(correction=0))
    rms = float(values.square().mean().sqrt())
    evidence.update(mean=mean, std=std, rms=rms)
    standardise = f"standardise them: (t - {mean:.4g}) / {std:.4g}, and undo it for predictions"
    if std == 0 and values.numel() > 1:
        yield (
            "fail",
            f"all targets are {mean:.4g}: there is nothing to learn",
            ["check how the targets are made"],
        )
    elif reconstruction:
        return  # the targets are the inputs: input-normalization judges their scale
    elif rms > TARGET_RMS:
        yield (
            "warn",
            f"targets have mean {mean:.4g} and standard deviation {std:.4g}: far from the outputs of a fresh "
            f"net, "
            "which are around 0 and 1",
            [standardise],
        )
    elif std < TARGET_STD:
        yield "warn", f"targets hardly vary (standard deviation {std:.3g})", [standardise]


def _is_reconstruction(context: Context) -> bool:
    targets = context.batch.targets
    return any(t.shape == targets.shape and bool((t == targets).all()) for t in tensors(context.batch.inputs))


def _contradictions(context: Context, spec: LossSpec, evidence: dict[str, Any]) -> list[Finding]:
    batch = context.pooled()
    if spec.kind in REGRESSION_KINDS or batch.size is None or batch.targets.dim() > 1:
        return []
    share = _contradicting_share(batch)
    evidence["contradicting_share"] = share
    if share <= CONTRADICTIONS:
        return []
    return [
        (
            "warn",
            f"{share:.0%} of the examples have the same input as another one with a different label",
            ["look at these examples: no model can learn them"],
        )
    ]


def _contradicting_share(batch: Batch) -> float:
    leaves = [batch.rows(leaf.detach().cpu()) for leaf in tensors(batch.inputs)]
    labels: dict[bytes, set[object]] = {}
    members: dict[bytes, int] = {}
    size = batch.size or 0
    for position in range(size):
        key = b"".join(leaf[position].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for leaf in leaves)
        labels.setdefault(key, set()).add(batch.targets[position].item())
        members[key] = members.get(key, 0) + 1
    return sum(count for key, count in members.items() if len(labels[key]) > 1) / max(size, 1)
