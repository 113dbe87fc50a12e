"""Values to one byte a cell: a heatmap that is four times smaller, with a colour of its own for what is not finite."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.series.numbers import number
from app.theme import Theme

MISSING, NONFINITE, LOWEST, HIGHEST = 0, 1, 2, 255


def quantise(
    values: npt.NDArray[np.floating],
    nonfinite: npt.NDArray[np.bool_],
    *,
    log: bool,
    limits: tuple[float, float] | None = None,
) -> tuple[npt.NDArray[np.uint8], tuple[list[float], list[str]]]:
    """Byte codes for `colour_scale`, with the colour bar's ticks (positions in code, labels in value).

    0 is "not measured", 1 "NaN or Inf" (it wins over a finite value in the same cell), 2 to 255 the value. On
    a log scale what is zero or negative gets the lowest code.

    Args:
        values: any shape; NaN where nothing finite was measured.
        nonfinite: same shape.
        log: colours follow log10.
        limits: values for codes 2 and 255; by default the lowest and highest (on a log scale: positive)
            value.
    """
    finite = np.isfinite(values)
    usable = values[finite & (values > 0)] if log else values[finite]
    low, high = limits or ((float(usable.min()), float(usable.max())) if len(usable) else (1.0, 1.0))
    codes = np.full(values.shape, MISSING, dtype=np.uint8)
    scaled = np.zeros(values.shape)
    if log:
        low, high = max(low, 1e-300), max(high, 1e-300)
        np.log10(values, out=scaled, where=finite & (values > 0))
        scaled = np.where(finite & (values > 0), scaled, math.log10(low))
        start, stop = math.log10(low), math.log10(high)
    else:
        scaled = np.where(finite, values, low)
        start, stop = low, high
    if stop - start < 1e-12:
        start, stop = start - 0.5, stop + 0.5
    level = np.clip((scaled - start) / (stop - start), 0, 1) * (HIGHEST - LOWEST) + LOWEST
    codes[finite] = np.rint(level[finite]).astype(np.uint8)
    codes[nonfinite] = NONFINITE
    return codes, _ticks(start, stop, log)


def _ticks(start: float, stop: float, log: bool) -> tuple[list[float], list[str]]:
    if log and stop - start >= 1:
        every = max(1, math.ceil((stop - start) / 6))
        at = [float(e) for e in range(math.ceil(start), math.floor(stop) + 1) if e % every == 0]
        at = at or [start, stop]
    else:
        at = [start + (stop - start) * i / 4 for i in range(5)]
    label = [number(10**value if log else value, 2) for value in at]
    return [LOWEST + (value - start) / (stop - start) * (HIGHEST - LOWEST) for value in at], label


def colour_scale(theme: Theme) -> list[list[Any]]:
    """Plotly colour scale for codes 0..255: nothing, the alarm colour, then the sequential colours."""
    half = 0.5 / HIGHEST
    edge = (NONFINITE + 0.5) / HIGHEST
    anchors = theme.sequential
    steps = [[edge + (1 - edge) * i / (len(anchors) - 1), colour] for i, colour in enumerate(anchors)]
    return [
        [0.0, "rgba(0,0,0,0)"],
        [half, "rgba(0,0,0,0)"],
        [half, theme.critical],
        [edge, theme.critical],
        *steps,
    ]


def density_scale(theme: Theme) -> list[list[Any]]:
    """As `colour_scale`, with the densest cells furthest from the page's colour: dark on light, bright on dark."""
    if theme.name == "dark":
        return colour_scale(theme)
    return colour_scale(replace(theme, sequential=tuple(reversed(theme.sequential))))
