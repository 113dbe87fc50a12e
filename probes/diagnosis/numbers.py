"""How numbers are written in messages: short, and never more exact than they are."""

from __future__ import annotations

import math
from collections.abc import Sequence


def short(value: float) -> str:
    """Three significant digits: 0.0312, 412, 1.2e-07, NaN, inf."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.1e}"


def percent(share: float) -> str:
    """A share as a percentage: 3%, 0.4%, 97%."""
    scaled = 100 * share
    return f"{scaled:.0f}%" if scaled >= 1 or scaled == 0 else f"{scaled:.1g}%"


def names(layers: Sequence[str], limit: int = 3) -> str:
    """'a, b, c and 5 more'."""
    shown = ", ".join(layers[:limit])
    return shown if len(layers) <= limit else f"{shown} and {len(layers) - limit} more"


def round_rate(rate: float) -> str:
    """A learning rate to suggest: one significant digit (0.03, 0.0005)."""
    if not math.isfinite(rate) or rate <= 0:
        return short(rate)
    exponent = math.floor(math.log10(rate))
    return f"{round(rate / 10**exponent) * 10.0**exponent:.6g}"
