"""AutoTrainer (Zhang et al., ICSE 2021, "AUTOTRAINER: An Automatic DNN Training Problem Detection and Repair System").

Criteria and default parameters (beta_1 1e-3, beta_2 1e-4, beta_3 70, gamma 0.7, zeta 0.03, eta 0.2, delta 0.01,
Theta 0.7, judgement from 30% of the training on) as in the paper and in the authors' repository
https://github.com/shiningrain/AUTOTRAINER (AutoTrainer/utils/monitor.py). It judges classification by epochs. A run
whose accuracy was not logged is only looked at for NaN, as the tool knows no other measure of convergence.
"""

from __future__ import annotations

import numpy as np

from benchmarks.diagnosis.baselines.flag import Epochs, Flag, epochs, nonfinite, seen, weights_of
from probes.diagnosis.view import Floats, RunView

EXPLODE = Flag("gradient explosion", ("exploding-gradients", "nonfinite-values", "learning-rate-too-high"))
VANISH = Flag("gradient vanishing", ("vanishing-gradients",))
RELU = Flag("dying ReLU", ("dead-units",))
UNSTABLE = Flag("oscillating loss", ("oscillating-loss", "noisy-loss", "loss-spikes", "learning-rate-too-high"))
SLOW = Flag("slow convergence", ("slow-convergence", "learning-rate-too-low", "loss-not-decreasing"))


def judge(view: RunView, *, theta: float = 0.7, judgement_point: float = 0.3) -> list[Flag]:
    """The problems that the tool would have begun to repair, the first that it meets."""
    by_epoch = epochs(view)
    broken = nonfinite(view, "grad_nonfinite", "weight_nonfinite") or bool((by_epoch.val_loss >= 1e5).any())
    if broken:
        return [EXPLODE]
    if not (np.isfinite(by_epoch.accuracy).any() and np.isfinite(by_epoch.val_accuracy).any()):
        return []
    for last in range(int(np.ceil(judgement_point * len(by_epoch.ends))), len(by_epoch.ends) + 1):
        found = _at_epoch(view, by_epoch, last, theta)
        if found:
            return found
    return []


def _at_epoch(view: RunView, by_epoch: Epochs, last: int, theta: float, delta: float = 0.01) -> list[Flag]:
    """What is found after the first ``last`` epochs."""
    if last < 1:
        return []
    train, test = by_epoch.accuracy[:last], by_epoch.val_accuracy[:last]
    unmet = np.nanmax(test, initial=0) < theta or np.nanmax(train, initial=0) < theta
    slow = _best_gain(train) < delta and _best_gain(test) < delta
    if unmet or slow:
        dead, explodes, vanishes = _gradients(view, int(by_epoch.ends[last - 1]))
        for yes, flag in ((dead, RELU), (explodes, EXPLODE), (vanishes, VANISH), (slow, SLOW)):
            if yes:
                return [flag]
        return []
    return [UNSTABLE] if _oscillates(train) else []


def _gradients(
    view: RunView, until: int, beta_1: float = 1e-3, beta_2: float = 1e-4, beta_3: float = 70.0, gamma: float = 0.7
) -> tuple[bool, bool, bool]:
    """(share of zero gradients >= 0.7, first/last kernel norm > 70, the same < 1e-3 with the first < 1e-4)."""
    norms = weights_of(view, "grad_norm")
    zeros = view.layers("grad_zero_fraction")
    explodes = vanishes = dead = False
    if norms is not None:
        values = seen(norms.until(until))
        with np.errstate(all="ignore"):
            ratio = values[:, 0] / values[:, -1]
        explodes = bool((ratio > beta_3).any())
        vanishes = bool(((ratio < beta_1) & (values[:, 0] < beta_2)).any())
    if zeros is not None:
        sizes = {p.name: p.numel for p in view.parameters}
        size = np.asarray([sizes.get(name, 0) for name in zeros.layers], dtype=np.float64)
        values = seen(zeros.until(until))
        known = np.where(np.isfinite(values), size, 0.0)
        with np.errstate(all="ignore"):
            share = np.nansum(values * size, axis=1) / known.sum(axis=1)
        dead = bool((share >= gamma).any())
    return dead, explodes, vanishes


def _best_gain(values: Floats) -> float:
    return float(np.nanmax(np.diff(values), initial=0.0))


def _oscillates(accuracy: Floats, zeta: float = 0.03, eta: float = 0.2) -> bool:
    """Local maxima at least 0.03 above the local minima of the same number, for a fifth of the epochs."""
    inner, before, after = accuracy[1:-1], accuracy[:-2], accuracy[2:]
    tops = inner[(inner >= before) & (inner >= after)]
    bottoms = inner[(inner <= before) & (inner <= after)]
    pairs = min(len(tops), len(bottoms))
    swings = int((tops[:pairs] - bottoms[:pairs] >= zeta).sum())
    return swings >= eta * len(accuracy) and swings > 0
