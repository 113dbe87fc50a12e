"""Numbers and times as a person reads them."""

from __future__ import annotations

import math


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, in the shortest honest form.

    >>> [number(v) for v in (0.0, 0.012345, 123456.0, 1e-9, float("nan"), float("-inf"), 2.0)]
    ['0', '0.0123', '123,456', '1e-9', 'NaN', '-Inf', '2']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits - 1 - math.floor(math.log10(size))}f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share as percent; what is small but not nothing never reads "0%".

    >>> [percent(v) for v in (0.0, 0.00001, 0.034, 0.5, 1.0, 0.99999)]
    ['0%', '<0.1%', '3.4%', '50%', '100%', '>99.9%']
    """
    if math.isnan(share):
        return "unknown"
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    whole = 0.0995 <= share < 0.9905
    return f"{share * 100:.{0 if whole else 1}f}".removesuffix(".0") + "%"


def duration(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> [duration(v) for v in (0.4, 42, 95, 3723, 90000)]
    ['0.4 s', '42 s', '1 min 35 s', '1 h 2 min', '1 d 1 h']
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    for i, (name, size) in enumerate(units):
        if whole >= size:
            text = f"{whole // size} {name}"
            if i + 1 < len(units):
                next_name, next_size = units[i + 1]
                rest = whole % size // next_size
                text += f" {rest} {next_name}" if rest else ""
            return text
    return "0 s"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "layer"), plural(0, "layer"), plural(1200, "step")
    ('1 layer', '0 layers', '1,200 steps')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
