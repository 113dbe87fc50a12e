"""Probes for the loop, or nothing in their place."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

import probes
from probes.runlog.layout import FORMAT, FORMAT_VERSION, MANIFEST
from probes.runlog.manifest import write_manifest
from trainer.distributed import processes
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


def watch(
    parts: Parts, network: nn.Module, run_dir: Path, config: dict[str, Any], every: int | str, start: int
) -> probes.Probe:
    """A probe on the model, as the training calls it, and its optimizers, writing into ``run_dir``.

    ``start`` is the step the training goes on from: what an earlier one recorded beyond it is superseded.
    """
    here = processes()
    if start and here.leads:
        _begin_log(run_dir)
    here.wait()
    return probes.watch(
        network,
        parts.optimizers,
        run_dir=run_dir,
        loss_fn=parts.loss_fn,
        config=config,
        every=every,
        step=start,
    )


def _begin_log(run_dir: Path) -> None:
    """Makes a run directory of one in which a training ran unwatched: it holds a checkpoint, but no log yet."""
    if not (run_dir / MANIFEST).exists():
        write_manifest(run_dir, {"format": FORMAT, "version": FORMAT_VERSION, "sessions": []})
