"""Choose the few examples that a model should be able to learn by heart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probes.checks.batches import Batch
from probes.checks.losses.identify import LossSpec
from probes.checks.rig import trainable
from probes.checks.trees import main_tensor, tensors

EXAMPLES = 20
TOKENS = 160


def small_batch(spec: LossSpec, model: nn.Module, pooled: Batch, outputs: object) -> Batch:
    """About 20 examples (fewer sequences, and fewer for tiny models), several of each class, none
    contradicting.

    `outputs` are the model's for any batch: they tell how many answers one example asks for. A batch whose
    examples cannot be told apart is returned whole.
    """
    if pooled.size is None or pooled.size <= 2:
        return pooled
    index = _distinct(pooled)
    count = min(EXAMPLES, len(index), _fits(model, outputs))
    labels = _example_labels(spec, pooled)
    if labels is None:
        if isinstance(pooled.targets, Tensor) and not pooled.targets.is_floating_point() and pooled.targets.dim() > 1:
            per_example = pooled.rows(pooled.targets).shape[1]
            count = min(count, max(2, TOKENS // max(per_example, 1)))
        return pooled.take(torch.tensor(index[:count]))
    chosen = _balanced(index, labels, count)
    return pooled.take(torch.tensor(chosen))


def _fits(model: nn.Module, outputs: object) -> int:
    """Examples that a model of this size can surely fit: half its parameters per output (a linear model needs
    one each).
    """
    main = main_tensor(outputs)
    width = main[0].numel() if main is not None and main.dim() > 1 else 1
    parameters = sum(p.numel() for p in trainable(model).values())
    return max(4, parameters // (2 * max(width, 1)))


def _example_labels(spec: LossSpec, batch: Batch) -> list[int] | None:
    targets = batch.targets
    if not isinstance(targets, Tensor):
        return None
    if targets.dim() == 1 and not targets.is_floating_point():
        return [int(label) for label in targets]
    if targets.dim() == 2 and targets.shape[1] == 1 and bool(torch.all((targets == 0) | (targets == 1))):
        return [int(label) for label in targets[:, 0]]
    if targets.dim() == 1 and spec.kind in ("bce", "bce-logits"):
        return [int(label > 0.5) for label in targets]
    return None


def _balanced(index: list[int], labels: list[int], count: int) -> list[int]:
    """Round the classes: one example of each, then a second of each, ... until there are `count`."""
    by_class: dict[int, list[int]] = {}
    for position in index:
        by_class.setdefault(labels[position], []).append(position)
    groups = sorted(by_class.values(), key=len, reverse=True)
    if 2 * len(groups) > count:  # more classes than pairs: whole pairs of as many classes as fit
        groups = groups[: max(1, count // 2)]
    chosen: list[int] = []
    depth = 0
    while len(chosen) < count and any(len(group) > depth for group in groups):
        chosen += [group[depth] for group in groups if len(group) > depth]
        depth += 1
    return sorted(chosen[:count])


def _distinct(batch: Batch) -> list[int]:
    """Positions of examples whose inputs were not seen before: two labels for one input cannot both be
    learned.
    """
    leaves = [batch.rows(leaf.detach().cpu()) for leaf in tensors(batch.inputs)]
    seen: set[bytes] = set()
    kept = []
    for position in range(batch.size or 0):
        key = b"".join(leaf[position].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for leaf in leaves)
        if key not in seen:
            seen.add(key)
            kept.append(position)
        if len(kept) >= 40 * EXAMPLES:
            break
    return kept
