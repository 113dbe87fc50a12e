"""Small recipes that train in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = """
title = "small"
[task]
name = "digits"
[model]
name = "mlp"
widths = [16]
dropout = 0.2
[optimizer]
name = "{optimizer}"
[schedule]
name = "cosine"
warmup = 0.5
[training]
epochs = 3
batch_size = 64
checkpoint_every = 1
augment = ["noise"]
threads = 1
"""


@pytest.fixture
def small_recipe(tmp_path: Path) -> Callable[..., str]:
    """Writes a recipe file that trains a small network on digits, and returns its path."""

    def write(optimizer: str = "nesterov") -> str:
        path = tmp_path / f"small-{optimizer}.toml"
        path.write_text(SMALL.format(optimizer=optimizer))
        return str(path)

    return write
