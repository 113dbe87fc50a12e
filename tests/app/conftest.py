"""Real run directories, written by the real writer, small enough to think through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probes.buckets import EDGES, count, fold
from probes.runlog import (
    FilterSnapshot,
    HistogramFrame,
    HistogramTable,
    LayerFrame,
    Run,
    RunWriter,
    open_run,
)

BEGAN = 1_700_000_000.0


class RunMaker:
    """Writes one run; each method adds a part of it, `open` closes it and reads it back."""

    def __init__(self, path: Path, layers: Sequence[str], config: Mapping[str, Any], modules: Sequence[str]) -> None:
        self.path = path
        self.layers = list(layers)
        self.modules = list(modules)
        parameters = [
            {"name": name, "module": name.rpartition(".")[0], "shape": [4, 4] if "bias" not in name else [4],
             "dtype": "float32", "numel": 16 if "bias" not in name else 4, "trainable": True}
            for name in layers
        ]  # fmt: skip
        named = [
            {"name": n, "type": "ReLU", "activation": "relu", "output_shape": [2, 4], "parameters": 0} for n in modules
        ]
        self.writer = RunWriter(
            path,
            {
                "name": path.name,
                "config": dict(config),
                "model": {"class": "Net", "parameters": parameters, "modules": named, "notes": []},
            },
            flush_interval=0.05,
        )
        self._frames: dict[int, dict[str, tuple[str, np.ndarray]]] = {}

    def scalars(self, name: str, values: Sequence[float], steps: Sequence[int] | None = None) -> RunMaker:
        for step, value in zip(steps or range(1, len(values) + 1), values, strict=True):
            self.writer.scalars(step, BEGAN + step * 0.5, {name: float(value)})
        return self

    def layer(self, kind: str, values: np.ndarray, steps: Sequence[int], axis: str = "parameter") -> RunMaker:
        for step, row in zip(steps, np.asarray(values, dtype=np.float32), strict=True):
            self._frames.setdefault(step, {})[kind] = (axis, row)
        return self

    def histogram(self, kind: str, samples: Mapping[int, Sequence[np.ndarray]]) -> RunMaker:
        names = self.modules if kind.startswith("activation") else self.layers
        for step, tensors in samples.items():
            counts, outside = zip(*(fold(count(one)) for one in tensors), strict=True)
            table = HistogramTable(
                names, np.array(counts), np.array(outside), np.array([one.size for one in tensors], np.uint64)
            )
            self.writer.put(HistogramFrame(step, BEGAN + step, EDGES, {kind: table}))
        return self

    def filters(self, snapshots: Mapping[int, np.ndarray]) -> RunMaker:
        for step, weights in snapshots.items():
            self.writer.put(FilterSnapshot(step, BEGAN + step, self.layers[0], weights.astype(np.float32)))
        return self

    def open(self, status: str = "finished", reason: str | None = None) -> Run:
        self.close(status, reason)
        return open_run(self.path)

    def close(self, status: str = "finished", reason: str | None = None) -> Path:
        axes = {"parameter": self.layers, "module": self.modules}
        for step in sorted(self._frames):
            self.writer.put(LayerFrame(step, BEGAN + step, axes, self._frames[step]))
        self.writer.close(status, reason)
        return self.path


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., RunMaker]]:
    """`make_run(name, layers=[...], config={...}, modules=[...])` -> `RunMaker`, below `tmp_path / "runs"`."""
    made: list[RunMaker] = []

    def make(
        name: str = "net",
        layers: Sequence[str] = ("fc1.weight", "fc1.bias", "fc2.weight"),
        config: Mapping[str, Any] = {},
        modules: Sequence[str] = ("1", "10", "2"),
    ) -> RunMaker:
        made.append(RunMaker(tmp_path / "runs" / name, layers, config, modules))
        return made[-1]

    yield make
    for maker in made:
        maker.writer.close()
