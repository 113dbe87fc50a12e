"""A progress bar on stderr, there only when a person is watching."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int, done: int, wanted: bool = True) -> tqdm:
    """A bar over optimizer steps; silent where stderr is not a terminal, or when it is not ``wanted``."""
    return tqdm(
        total=total,
        initial=done,
        unit="step",
        file=sys.stderr,
        disable=not (wanted and sys.stderr.isatty()),
        dynamic_ncols=True,
        smoothing=0.05,
    )
