"""What a program is: a function that trains something in its own loop, and what should be said of it."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

Part = Literal[
    "dev",
    "locked",
    "fresh",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
]

FRESH: tuple[Part, ...] = get_args(Part)[2:]
"""Sets that were written later: the modules whose names begin so. What was said of them at first sight is kept."""

OPENED = frozenset({"mixup"})
"""Programs of the locked half that were looked into after a change had made them alarm: they count as dev since."""

Training = Callable[..., float]
"""A training program: given a run directory that does not exist yet, trains, and returns its score.

The score is what the program itself holds to be its success, the higher the better: a share of right answers on
examples it did not train on, a share of explained variance, or a share by which its loss fell.
"""


@dataclass(frozen=True)
class Program:
    """One training program.

    Attributes:
        name: unique; the name of its function with hyphens.
        train: the program.
        bar: a healthy program scores at least this, a faulty one less: both are verified at every recording.
        expected: slugs of the rules any of which names what is wrong; empty for a healthy program.
        source: where the program, or the mistake in it, comes from.
        twin: of a faulty program that can run with its mistake mended, that run: it must reach the bar.
    """

    name: str
    train: Training
    bar: float
    expected: tuple[str, ...]
    source: str
    twin: Callable[[Path], float] | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.expected

    @property
    def part(self) -> Part:
        """Which part it belongs to: a fresh set by its module's name, else one of two halves by a hash of its own.

        The locked half is counted, never looked into.
        """
        module = self.train.__module__.rpartition(".")[2]
        for part in FRESH:
            if module.startswith(f"{part}_"):
                return part
        by_hash = hashlib.sha256(self.name.encode()).digest()[0] % 2
        return "locked" if by_hash and self.name not in OPENED else "dev"


PROGRAMS: dict[str, Program] = {}
"""Name -> program, in the order in which they are defined."""


def healthy(*, at_least: float) -> Callable[[Training], Training]:
    """Register a textbook training that works; its score is ``at_least`` this. Its docstring names its source."""
    return _register(at_least, ())


def faulty(*expected: str, below: float) -> Callable[[Training], Training]:
    """Register a training that fails: its score stays ``below`` what it reaches when the mistake is mended.

    Args:
        expected: slugs any of which names the mistake, or what it does to the training.
    """
    return _register(below, expected)


def _register(bar: float, expected: tuple[str, ...]) -> Callable[[Training], Training]:
    def register(train: Training) -> Training:
        name = train.__name__.replace("_", "-")
        if name in PROGRAMS:
            raise ValueError(f"two programs are called {name!r}")
        has_twin = "mended" in inspect.signature(train).parameters
        twin: Any = functools.partial(train, mended=True) if has_twin else None
        PROGRAMS[name] = Program(name, train, bar, expected, (train.__doc__ or "").strip(), twin)
        return train

    return register
