"""Lists of names in messages."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], limit: int = 4) -> str:
    """ "a, b, c, d and 3 more"."""
    shown = ", ".join(names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def label(name: str, kind: object) -> str:
    """A module in words: "conv1 (Conv2d)"; the model itself has no name."""
    return f"{name or 'the model itself'} ({type(kind).__name__})"
