"""Probes for the loop, or nothing in their place."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import probes
from trainer.parts import Parts


class NoProbe:
    """Stands where a probe would, when a training runs unwatched."""

    def log(self, split: str, **scalars: Any) -> None:
        pass

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        pass

    def __enter__(self) -> NoProbe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass


def watch(parts: Parts, run_dir: Path, config: dict[str, Any], every: int | str, start: int | None) -> probes.Probe:
    """A probe on the model and its optimizer, writing into ``run_dir``.

    ``start`` is the step a resumed training goes on from; None in a new run.
    """
    return probes.watch(
        parts.model,
        parts.optimizer,
        run_dir=run_dir,
        loss_fn=parts.loss_fn,
        config=config,
        every=every,
        step=start,
    )
