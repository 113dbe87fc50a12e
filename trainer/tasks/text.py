"""Characters: the next one in English text that the Python installation carries, and a long-memory toy."""

from __future__ import annotations

import pydoc_data.topics
import re

import numpy as np
import torch

from trainer.errors import TaskError
from trainer.tasks.base import TASKS, Examples, Task
from trainer.typed import Count, NaturalNumber


@TASKS.register("python-text")
def python_text(*, length: Count = 48, characters: Count = 120_000, validation_characters: Count = 20_000) -> Task:
    """Python's language reference, as its help system carries it, by character: which character comes next?

    Inputs int64 [N, length], targets the same shifted by one. The validation text comes after the training
    text.
    """
    text = reference_text()
    needed = characters + validation_characters
    if len(text) < needed:
        raise TaskError(
            f"task python-text: this Python carries {len(text)} characters, {needed} were asked for; lower "
            "characters or validation_characters"
        )
    fewest = min(characters, validation_characters)
    if fewest <= length:
        raise TaskError(f"task python-text: {fewest} characters make no window of {length}; lower length")
    symbols = sorted(set(text[:needed]))
    codes = np.array([symbols.index(c) for c in text[:needed]], np.int64)
    return Task(
        name="python-text",
        problem="multi-class",
        outputs=len(symbols),
        classes=tuple(symbols),
        train=_windows(codes[:characters], length),
        validation=_windows(codes[characters:], length),
        source="pydoc_data.topics of the running Python: sections of the Python Language Reference",
        licence="Python Software Foundation License",
        vocabulary=len(symbols),
        per_position=True,
    )


def reference_text() -> str:
    """The topics in alphabetical order, runs of blanks and rulers shortened, ASCII only."""
    topics = pydoc_data.topics.topics
    text = "\n".join(topics[name] for name in sorted(topics))
    text = text.encode("ascii", "ignore").decode()
    text = re.sub(r"([-=*~^.])\1{3,}", r"\1\1\1", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+", " ", text))


def _windows(codes: np.ndarray, length: int) -> Examples:
    """The text cut into windows that follow each other without overlap."""
    count = (len(codes) - 1) // length
    inputs = codes[: count * length].reshape(count, length)
    targets = codes[1 : count * length + 1].reshape(count, length)
    return Examples(torch.from_numpy(inputs.copy()), torch.from_numpy(targets.copy()))


@TASKS.register("recall")
def recall(
    *,
    length: Count = 20,
    symbols: Count = 4,
    examples: Count = 2000,
    validation_examples: Count = 500,
    data_seed: NaturalNumber = 0,
) -> Task:
    """A sequence of random symbols: which was the first? Needs a memory as long as the sequence."""
    generator = np.random.default_rng(data_seed)
    sequences = generator.integers(0, symbols, (examples + validation_examples, length))
    inputs, targets = torch.from_numpy(sequences), torch.from_numpy(sequences[:, 0].copy())
    return Task(
        name="recall",
        problem="multi-class",
        outputs=symbols,
        classes=tuple(map(str, range(symbols))),
        train=Examples(inputs[:examples], targets[:examples]),
        validation=Examples(inputs[examples:], targets[examples:]),
        source="generated; after Hochreiter and Schmidhuber, Long Short-Term Memory (1997)",
        licence="generated; no data set",
        vocabulary=symbols,
    )
