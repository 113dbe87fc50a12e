"""Values from outside (TOML, the command line) against type annotations.

Understands ``bool``, ``int``, ``float`` (an integer will do), ``str``, ``tuple[T, ...]``, ``T | None`` and
``Annotated[T, constraint, ...]`` with the constraints below. A mismatch raises `ValueError` with what was
found and what is allowed; the caller adds file and key.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from trainer.errors import did_you_mean


@dataclass(frozen=True)
class Within:
    """A number in [low, high]; with ``open_low`` or ``open_high``, that end itself is excluded."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def check(self, value: float) -> None:
        too_low = value <= self.low if self.open_low else value < self.low
        too_high = value >= self.high if self.open_high else value > self.high
        if too_low or too_high:
            raise ValueError(f"found {value}, allowed: {self}")

    def __str__(self) -> str:
        ends = []
        if self.low != -math.inf:
            ends.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high != math.inf:
            ends.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return " and ".join(ends)


@dataclass(frozen=True)
class OneOf:
    """A name out of a collection, which may still grow (a registry) until a value is checked."""

    names: Callable[[], Iterable[str]]

    def check(self, value: str) -> None:
        names = list(self.names())
        if value not in names:
            raise ValueError(f"found '{value}', {did_you_mean(value, names)}")

    def __str__(self) -> str:
        return "one of " + ", ".join(sorted(self.names()))


def one_of(*names: str) -> OneOf:
    return OneOf(lambda: names)


Count = Annotated[int, Within(1)]
NaturalNumber = Annotated[int, Within(0)]
Positive = Annotated[float, Within(0, open_low=True)]
NonNegative = Annotated[float, Within(0)]
Fraction = Annotated[float, Within(0, 1)]
OpenFraction = Annotated[float, Within(0, 1, open_low=True, open_high=True)]
Decay = Annotated[float, Within(0, 1, open_high=True)]  # of a running average: at 1 it would never move

LARGEST = 2**63  # of whole numbers, as torch and NumPy hold them

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def describe(annotation: Any) -> str:
    """What a value of this type looks like, in words."""
    if typing.get_origin(annotation) is Annotated:
        base, *constraints = typing.get_args(annotation)
        return ", ".join([describe(base), *map(str, constraints)])
    if typing.get_origin(annotation) is tuple:
        return f"a list, each {describe(typing.get_args(annotation)[0])}"
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        inner = [describe(a) for a in typing.get_args(annotation) if a is not types.NoneType]
        return f"{' or '.join(inner)}, or left out"
    return _WORDS.get(annotation, str(annotation))


def coerce(value: Any, annotation: Any) -> Any:
    """``value`` as the annotated type. Raises `ValueError` when it is not one."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        base, *constraints = typing.get_args(annotation)
        result = coerce(value, base)
        for constraint in constraints:
            constraint.check(result)
        return result
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return coerce(value, next(a for a in typing.get_args(annotation) if a is not types.NoneType))
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"found {value!r}, allowed: {describe(annotation)}")
        return tuple(coerce(item, typing.get_args(annotation)[0]) for item in value)
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation in _WORDS and type(value) is annotation:
        if annotation is int and abs(value) >= LARGEST:
            raise ValueError(f"found {value}, allowed: a whole number of at most 63 bits")
        if annotation is float and not math.isfinite(value):
            raise ValueError(f"found {value}, allowed: a finite number")
        return value
    raise ValueError(f"found {value!r}, allowed: {describe(annotation)}")
