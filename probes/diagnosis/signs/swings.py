"""Swings of a loss: what comes again at a fixed distance, and how often it rises and falls by a given height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.diagnosis.beginning import begins_late
from probes.diagnosis.progress import guessing_loss, where_it_began
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.signal import opening
from probes.diagnosis.signs.followed import guessed_over_frames
from probes.diagnosis.view import Curve, Floats, RunView


@dataclass(frozen=True)
class Rhythm:
    """A period in values, and the autocorrelation at it: 1 repeats exactly, 0 not at all."""

    period: int
    strength: float


def detrended(values: Floats) -> Floats:
    """The values [T] without their straight trend (least squares)."""
    places = np.arange(len(values), dtype=np.float64)
    centred = places - places.mean()
    slope = float(centred @ values / max(float(centred @ centred), 1e-300))
    return np.asarray(values - values.mean() - slope * centred)


def autocorrelation(values: Floats, lags: int) -> Floats:
    """Autocorrelation of ``values`` [T] without their trend, at the lags 0 to ``lags``.

    Each is the mean over its own pairs; zeros for values that do not vary.
    """
    rest = detrended(values)
    variance = float(np.mean(rest**2))
    if variance <= 0:
        return np.zeros(lags + 1)
    spectrum = np.fft.rfft(rest, 2 * len(rest))
    sums = np.fft.irfft(np.abs(spectrum) ** 2)[: lags + 1]
    return np.asarray(sums / (len(rest) - np.arange(lags + 1)) / variance)


def rhythm(values: Floats, *, shortest: int = 4, periods: int = 3) -> Rhythm | None:
    """The period at which ``values`` [T] come again most clearly; None when the series is too short for one.

    Args:
        shortest: shortest period looked for, in values.
        periods: how many of them must fit into the series.

    A slow drift is alike at short distances too: the autocorrelation must have been low at some shorter distance.
    """
    longest = len(values) // periods
    if longest <= shortest:
        return None
    alike = autocorrelation(values, longest)
    lowest = np.minimum.accumulate(alike)
    rise = (alike - lowest)[shortest:]
    if not rise.max() > 0:
        return None
    # The first of equals: what comes again every 20 values comes again every 40, too.
    first = np.flatnonzero(rise >= 0.9 * rise.max())
    period = shortest + int(first[0])
    return Rhythm(period, float(min(alike[period], rise[period - shortest])))


def smoothed(values: Floats, width: int) -> Floats:
    """Means of ``width`` neighbours, [T - width + 1]."""
    if width <= 1:
        return values
    sums = np.cumsum(np.concatenate(([0.0], values)))
    return np.asarray((sums[width:] - sums[:-width]) / width)


def upswings(values: Floats, height: float) -> list[int]:
    """Places [count] at which ``values`` had risen by ``height`` over their lowest since they last fell by it."""
    places: list[int] = []
    low = high = float(values[0]) if len(values) else 0.0
    rising = False
    for place, value in enumerate(values.tolist()):
        if rising:
            high = max(high, value)
            if value <= high - height:
                rising, low = False, value
        else:
            low = min(low, value)
            if value >= low + height:
                places.append(place)
                rising, high = True, value
    return places


def scale_of_loss(view: RunView, name: str, loss: Curve) -> float:
    """What swings of the finite ``loss`` are measured by: the loss of guessing when it is known, else where it began,
    or what it costs to answer always the mean of all targets seen, if that is more (a loss may begin at nothing).

    The beginning is the level of the first values or the mean of the first tenth, whichever is more: batches of one
    class alone can make the first few losses small by accident.

    Raises:
        NotJudged: the log does not hold the beginning, and guessing is not known.
    """
    guessing = guessing_loss(view)
    if guessing is not None:
        return guessing
    kind = loss_as_logged(view)
    mean = guessed_over_frames(view, kind.name) if kind is not None and kind.reduction == "mean" else None
    if begins_late(view, loss.steps):
        return max(where_it_began(view, name, loss), mean or 0.0)
    values = loss.values
    return max(opening(values), float(values[: max(10, len(values) // 10)].mean()), mean or 0.0)


def rate_goes_up_and_down(view: RunView, since: int) -> bool:
    """Whether the schedule raises the learning rate again after ``since`` (cycles, warm restarts)."""
    for name in view.series_names:
        curve = view.series(name) if name.startswith("optimizer/lr") else None
        if curve is None:
            continue
        rates = curve.values[curve.steps >= since]
        if len(rates) > 2 and bool((np.diff(rates) > 1e-3 * np.abs(rates[:-1])).any()):
            return True
    return False


def last_part(curve: Curve, share: float) -> Curve:
    """The values in the last ``share`` of the values."""
    begin = int((1 - share) * len(curve))
    return Curve(curve.steps[begin:], curve.values[begin:])
