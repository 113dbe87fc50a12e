"""Numerical derivatives of a scalar function of tensors, entry by entry, told apart from kinks and round-off.

All in float64. The centred difference (f(x+h) - f(x-h)) / 2h has a truncation error of h^2 f'''/6 and a
round-off error of about eps |f| / h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Verdict = Literal["agrees", "kink", "at a kink", "noise", "differs"]

EPS = torch.finfo(torch.float64).eps
ROUND_OFF = 32.0  # units of eps |f| that a forward pass may be wrong by; summation errors grow slowly with depth
FIRST_STEP = 1e-5  # times the entry's scale: between the optimum eps^(1/3) = 6e-6 and the width of a typical kink
RETRY_STEPS = (1e-6, 1e-4, 1e-7, 1e-3)
GOOD = 1e-7  # CS231n: "1e-7 and less you should be happy"
KINKY = 1e-4  # CS231n: "usually okay for objectives with kinks"
WRONG = 1e-2  # CS231n: "usually means the gradient is probably wrong"


@dataclass(frozen=True)
class EntryCheck:
    """One entry of one parameter: both derivatives, and what is to be made of them.

    Verdicts: "agrees"; "kink" (the loss has one right here, and the analytic value is a subgradient); "at a
    kink" (and it is not one of this entry's alone); "noise" (below float64's round-off); "differs".

    `error` is CS231n's relative error |a - n| / max(|a|, |n|).
    """

    index: int
    analytic: float
    numeric: float
    error: float
    step: float
    verdict: Verdict


def relative_error(analytic: float, numeric: float) -> float:
    """|a - n| / max(|a|, |n|), 0 when both are 0 (CS231n notes, "Gradient checks")."""
    largest = max(abs(analytic), abs(numeric))
    return abs(analytic - numeric) / largest if largest > 0 else 0.0


def entry_scale(tensor: Tensor, index: int) -> float:
    """The size an entry's step is suited to: its own, the tensor's RMS, at least 0.1 (so that zero biases
    move).
    """
    flat = tensor.detach().reshape(-1)
    return max(abs(float(flat[index])), float(flat.square().mean().sqrt()), 0.1)


def check_entry(
    function: Callable[[], float], tensor: Tensor, index: int, analytic: float, tolerance: float = KINKY
) -> EntryCheck:
    """Compare `analytic` with centred differences of `function` in one entry of `tensor` (changed and put
    back).

    A first step that disagrees is repeated with smaller and larger ones: a kink nearby spoils large steps,
    round-off spoils small ones, a wrong derivative disagrees at all of them.
    """
    flat = tensor.detach().view(-1)
    base = float(flat[index])
    scale = entry_scale(tensor, index)

    def at(value: float) -> float:
        flat[index] = value
        try:
            return function()
        finally:
            flat[index] = base

    best: EntryCheck | None = None
    for relative in (FIRST_STEP, *RETRY_STEPS):
        step = relative * scale
        up, down = base + step, base - step
        high, low = at(up), at(down)
        numeric = (high - low) / (up - down)
        noise = ROUND_OFF * EPS * max(abs(high), abs(low)) / (up - down)
        error = relative_error(analytic, numeric)
        if error <= tolerance or (best is None and abs(analytic - numeric) <= noise):
            verdict: Verdict = "agrees" if error <= tolerance else "noise"
            return EntryCheck(index, analytic, numeric, error, step, verdict)
        if best is None or error < best.error:
            best = EntryCheck(index, analytic, numeric, error, step, "differs")
    assert best is not None
    return replace(best, verdict=_at_kink(at, base, scale, analytic))


def _at_kink(at: Callable[[float], float], base: float, scale: float, analytic: float) -> Verdict:
    """Whether the function has a kink right here: right and left derivative stay apart however small the step.

    "kink" when the analytic value lies between the two: a valid subgradient (ReLU'(0) = 0, the first of two
    equal maxima). "at a kink" when it does not, which happens when many values sit on kinks at once: only
    another point can tell. "differs" when there is no kink.
    """
    centre = at(base)
    gaps, inside = [], []
    for relative in (1e-5, 1e-6):
        up, down = base + relative * scale, base - relative * scale
        high, low = at(up), at(down)
        right, left = (high - centre) / (up - base), (centre - low) / (base - down)
        noise = ROUND_OFF * EPS * max(abs(high), abs(low), abs(centre)) / (relative * scale)
        slack = noise + 1e-4 * max(abs(right), abs(left))
        if abs(right - left) <= 4 * slack:
            return "differs"
        gaps.append(abs(right - left))
        inside.append(min(right, left) - slack <= analytic <= max(right, left) + slack)
    # A merely curved function's gap shrinks with the step (h f''), a kink's does not.
    if gaps[1] <= 0.5 * gaps[0]:
        return "differs"
    return "kink" if all(inside) else "at a kink"
