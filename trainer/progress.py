"""A progress bar on stderr, there only when a person is watching."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int, done: int) -> tqdm:
    """A bar over optimizer steps; silent where stderr is not a terminal."""
    return tqdm(
        total=total,
        initial=done,
        unit="step",
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        dynamic_ncols=True,
        smoothing=0.05,
    )
