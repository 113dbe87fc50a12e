"""Amazon SageMaker Debugger's built-in rules, with the default parameters of its documentation.

Source: "List of Debugger built-in rules", https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
(parameters and defaults as documented there; the rules themselves are not public). Left out are the rules that need a
choice of tensors (AllZero, TensorVariance, UnchangedTensor), those for XGBoost, and SaturatedActivation, whose
thresholds of +-9.5 and -23 to 17 on the *inputs* of activations the run log does not resolve.
"""

from __future__ import annotations

import numpy as np

from benchmarks.diagnosis.baselines.flag import Flag, epochs, nonfinite, seen, weights_of
from probes.diagnosis.view import Floats, RunView


def judge(view: RunView) -> list[Flag]:
    """Every built-in rule that fires at any moment of the run."""
    fired = [
        (_vanishing_gradient(view), Flag("VanishingGradient", ("vanishing-gradients", "missing-gradients"))),
        (
            nonfinite(view, "grad_nonfinite", "weight_nonfinite", "activation_nonfinite"),
            Flag("ExplodingTensor", ("nonfinite-values", "exploding-gradients")),
        ),
        (_update_ratio_large(view), Flag("WeightUpdateRatio (large)", ("learning-rate-too-high",))),
        (
            _update_ratio_small(view),
            Flag("WeightUpdateRatio (small)", ("learning-rate-too-low", "parameters-not-updated")),
        ),
        (
            _poor_initialization(view),
            Flag("PoorWeightInitialization", ("poor-initialization", "symmetric-initialization")),
        ),
        (_dead_relu(view), Flag("DeadRelu", ("dead-units",))),
        (
            _loss_not_decreasing(view),
            Flag("LossNotDecreasing", ("loss-not-decreasing", "loss-diverging", "slow-convergence")),
        ),
        (_overfit(view), Flag("Overfit", ("overfitting", "no-generalization"))),
        (_overtraining(view), Flag("Overtraining", ("overfitting",))),
        (_class_imbalance(view), Flag("ClassImbalance", ("class-imbalance",))),
        (_input_images(view), Flag("CheckInputImages", ("unnormalized-inputs",))),
    ]
    return [flag for yes, flag in fired if yes]


def _vanishing_gradient(view: RunView, threshold: float = 1e-7) -> bool:
    """Mean absolute gradient of any parameter below 1e-7 (of a normal distribution: 0.8 of the root mean square)."""
    table = view.layers("grad_norm")
    sizes = {p.name: p.numel for p in view.parameters if p.numel}
    if table is None:
        return False
    kept = table.pick([name for name in table.layers if name in sizes])
    root = np.sqrt([sizes[name] for name in kept.layers])
    return bool((0.8 * seen(kept) / root < threshold).any())


def _ratios(view: RunView) -> Floats | None:
    """|update| / (|weight| + 1e-9) of every weight, [T, L]."""
    table = weights_of(view, "update_ratio")
    return None if table is None else seen(table)


def _update_ratio_large(view: RunView, large_threshold: float = 10.0) -> bool:
    ratios = _ratios(view)
    return ratios is not None and bool((ratios > large_threshold).any())


def _update_ratio_small(view: RunView, small_threshold: float = 1e-8) -> bool:
    ratios = _ratios(view)
    return ratios is not None and bool((ratios < small_threshold).any())


def _poor_initialization(
    view: RunView, threshold: float = 10.0, distribution_range: float = 1e-3, steps: int = 10
) -> bool:
    """In the first 10 steps: variances of weights differ more than tenfold between layers, or gradients are narrow.

    The distance between the 5th and the 95th percentile of a normal distribution is 3.29 standard deviations.
    """
    spread, gradients = weights_of(view, "weight_std"), weights_of(view, "grad_std")
    if spread is not None:
        variance = seen(spread)[spread.steps <= steps] ** 2
        variance = variance[np.isfinite(variance).any(axis=1)]
        if bool((np.nanmax(variance, axis=1) > threshold * np.nanmin(variance, axis=1)).any()):
            return True
    if gradients is None:
        return False
    early = (gradients.steps <= steps) & (gradients.steps > 0)
    return bool((3.29 * seen(gradients)[early] < distribution_range).any())


def _dead_relu(view: RunView, threshold_layer: float = 50.0) -> bool:
    """More than half of the units of a layer inactive (here: not active once in 1,000 examples; there: in 1%)."""
    table = view.layers("dead_fraction")
    return table is not None and bool((100 * seen(table) > threshold_layer).any())


def _loss_not_decreasing(view: RunView, num_steps: int = 10, diff_percent: float = 0.1) -> bool:
    """Every 10 steps: the loss is less than 0.1% below that of 10 steps before."""
    loss = view.series("train/loss")
    if loss is None:
        return False
    kept = [0]
    for place in range(1, len(loss)):
        if loss.steps[place] - loss.steps[kept[-1]] >= num_steps:
            kept.append(place)
    values = loss.values[kept]
    return bool((values[1:] > values[:-1] - np.abs(values[:-1]) * diff_percent / 100).any())


def _overfit(view: RunView, ratio_threshold: float = 0.1, patience: int = 1) -> bool:
    """(validation - training) / training loss above 0.1 at more than one evaluation in a row."""
    by_epoch = epochs(view)
    over = (by_epoch.val_loss - by_epoch.loss) / by_epoch.loss > ratio_threshold
    return _longest(over) > patience


def _overtraining(view: RunView, patience_train: int = 5, patience_validation: int = 10, delta: float = 0.01) -> bool:
    """The training loss did not improve by 0.01 for 5 evaluations, or the validation loss for 10."""
    by_epoch = epochs(view)
    return _waits(by_epoch.loss, delta) > patience_train or _waits(by_epoch.val_loss, delta) > patience_validation


def _class_imbalance(view: RunView, threshold_imbalance: float = 10.0, samples: int = 500) -> bool:
    """More than ten labels of the commonest class for each of the rarest, of at least 500 labels seen."""
    data = view.manifest.get("data")
    counts = data.get("label_counts") if isinstance(data, dict) else None
    if not counts or sum(counts) < samples:
        return False
    return max(counts) > threshold_imbalance * max(min(counts), 1e-9)


def _input_images(view: RunView, threshold_mean: float = 0.2) -> bool:
    """The mean of any channel of input images is further than 0.2 from 0."""
    table = view.layers("input_mean")
    model = view.manifest.get("model")
    shape = model.get("input_shape") if isinstance(model, dict) else None
    if table is None or not shape or len(shape) != 3:
        return False
    return bool((np.abs(seen(table)) > threshold_mean).any())


def _longest(mask: np.ndarray) -> int:
    longest = run = 0
    for value in mask:
        run = run + 1 if value else 0
        longest = max(longest, run)
    return longest


def _waits(values: Floats, delta: float) -> int:
    """The largest number of values in a row without one that is ``delta`` below the best so far."""
    best, waited, longest = np.inf, 0, 0
    for value in values[np.isfinite(values)]:
        best, waited = (value, 0) if value < best - delta else (best, waited + 1)
        longest = max(longest, waited)
    return longest
