"""One frame: gathers everything measured at one step on the device, then hands it over to be folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from probes.instrument import capture
from probes.instrument.capture import Range, Sample
from probes.instrument.collector import Collected
from probes.instrument.fold import FrameArrays, GroupArrays, ModuleNumbers, alive_units
from probes.instrument.modules import Watched
from probes.instrument.parameters import Copies, StepMeasurement, Watchlist, take_weights
from probes.instrument.sharding import Norms
from probes.instrument.sheet import Key, Sheet, Workspace, describe
from probes.instrument.transfer import Transfer

K = TypeVar("K")


@dataclass
class _Module:
    """Results of one module on the device."""

    saturated: Tensor | None = None
    ranges: list[Range] = field(default_factory=list)
    dead_below: float = 0.0


@dataclass
class Frame:
    """Measurements of one step. Filled by `before_step` and `after_step`, handed over by `finish`."""

    watchlist: Watchlist
    workspace: Workspace
    copies: Copies
    populations: dict[Key, int] = field(default_factory=dict)
    norms: dict[str, list[tuple[list[int], Tensor]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sheet = Sheet(self.workspace)
        self._measurement = StepMeasurement(self.copies)

    def before_step(self, gradients_of: Iterable[int], weights_of: Iterable[int], scale: Tensor | None) -> None:
        """Just before an optimizer steps: its gradients, and a copy of the weights."""
        self._measurement = StepMeasurement(self.copies)
        self._measurement.take_gradients(self.watchlist, gradients_of, self.sheet, scale)
        self._measurement.remember(self.watchlist, weights_of)

    def after_step(self, gradients_of: Iterable[int] = ()) -> None:
        """Just after: the change. With a closure the gradients exist only now: then their numbers are given
        here.
        """
        self._measurement.take_gradients(self.watchlist, gradients_of, self.sheet, None)
        self._measurement.take_updates(self.watchlist, self.sheet)
        for kind, measured in self._measurement.norms.items():
            self.norms.setdefault(kind, []).append(measured)
        self._measurement = StepMeasurement(self.copies)

    def take_weights(self) -> None:
        """The weights as they are now."""
        self.norms["weight"] = [take_weights(self.watchlist, self.sheet)]

    def finish(self, step: int, time: float, watched: list[Watched], collected: Collected) -> PendingFrame:
        """Computes the statistics and starts their way to the host."""
        modules = {
            number: self._add_module(number, watched[number], samples) for number, samples in collected.samples.items()
        }
        inputs = [i.values for i in collected.inputs if i.values is not None]
        same = [values for values in inputs if values.shape == inputs[0].shape]
        for batch, values in enumerate(same):
            for channel, row in enumerate(values):
                key = ("input", batch * len(values) + channel)
                self.sheet.add(key, [row])
                self.populations[key] = row.numel()
        axes = {"parameter": self.watchlist.names}
        if modules:
            axes["module"] = [w.name for w in watched]
        if same:
            channels = same[0].shape[0]
            axes["input"] = [str(c) for c in range(channels)] if channels > 1 else ["all"]
        sizes = [tensor.numel() for tensor in self.watchlist.tensors]
        return PendingFrame(step, time, axes, self.sheet, self.norms, sizes, self.populations, modules)

    def _add_module(self, number: int, watched: Watched, samples: list[Sample]) -> _Module:
        result, kind = _Module(), watched.kind
        values = [s.values for s in samples]
        self.sheet.add(("activation", number), values, varied=True)
        self.populations["activation", number] = sum(s.population for s in samples)
        gradients = [g for s in samples for g in s.gradients]
        if gradients:
            self.sheet.add(("activation_gradient", number), gradients)
            self.populations["activation_gradient", number] = sum(s.population * len(s.gradients) for s in samples)
        if kind is None:
            return result
        if kind.bounds is not None:
            shares = [capture.saturated_share(v, kind) for v in values]
            result.saturated = shares[0] if len(shares) == 1 else torch.stack(shares).mean()
        if kind.dead_below is not None:
            ranges = [s.range for s in samples if s.range is not None]
            if all(r.highest.shape == ranges[0].highest.shape for r in ranges):
                result.ranges, result.dead_below = ranges, kind.dead_below
        return result


class PendingFrame:
    """A frame whose results are on their way to the host. ``taken`` says whether they were fetched."""

    def __init__(
        self,
        step: int,
        time: float,
        axes: dict[str, list[str]],
        sheet: Sheet,
        norms: dict[str, list[tuple[list[int], Tensor]]],
        sizes: list[int],
        populations: dict[Key, int],
        modules: dict[int, _Module],
    ) -> None:
        self.step, self.time, self._axes = step, time, axes
        self.taken = False
        self._sizes, self._populations = sizes, populations
        self._tensors: list[Tensor] = []
        self._groups = [(g, self._send(g.moments), self._send(g.table)) for g in sheet.groups()]
        strip = sheet.strip()
        self._strip = None if strip is None else (strip.keys, strip.lengths, self._send(strip.values))
        self._apart = self._send_all(sheet.apart())
        self._norms = {kind: [(n, self._send(t)) for n, t in parts] for kind, parts in norms.items()}
        self._saturated = self._send_all({n: m.saturated for n, m in modules.items() if m.saturated is not None})
        self._ranges = {n: self._send_ranges(m) for n, m in modules.items() if m.ranges}
        self._called = list(modules)
        self._transfer = Transfer(self._tensors)
        del self._tensors

    def _send(self, tensor: Tensor) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _send_ranges(self, module: _Module) -> tuple[float, int, list[tuple[int, int | None]]]:
        """What makes a unit dead, the examples seen, and where the highest and the lowest values of each call are."""
        places = [
            (self._send(r.highest.float()), None if r.lowest is None else self._send(r.lowest.float()))
            for r in module.ranges
        ]
        return module.dead_below, sum(r.observations for r in module.ranges), places

    def _send_all(self, numbers: Mapping[K, Tensor]) -> tuple[list[K], list[int]]:
        """0-d tensors, taken together where they are of one device: their keys and where they are sent."""
        if len({t.device for t in numbers.values()}) == 1:
            return list(numbers), [self._send(torch.stack(list(numbers.values())))]
        return list(numbers), [self._send(t.reshape(1)) for t in numbers.values()]

    def ready(self) -> bool:
        """Whether the results have arrived."""
        return self._transfer.ready()

    def norms(self) -> dict[str, tuple[list[int], np.ndarray]]:
        """The exact norms as measured here: kind -> (parameter numbers, values)."""
        arrays = self._transfer.arrays()
        return {
            kind: (
                [n for part, _ in parts for n in part],
                np.concatenate([arrays[i] for _, i in parts]),
            )
            for kind, parts in self._norms.items()
        }

    def received(self, norms: Norms | None = None) -> FrameArrays:
        """What was measured, on the host; called once, on the writer's thread. ``norms`` are put in the place of those
        measured here.
        """
        arrays = self._transfer.arrays()

        def taken(sent: tuple[list[K], list[int]]) -> dict[K, float]:
            keys, places = sent
            return dict(zip(keys, (v for i in places for v in arrays[i].tolist()), strict=True))

        saturated, apart = taken(self._saturated), taken(self._apart)
        modules = {number: ModuleNumbers(saturated.get(number)) for number in self._called}
        for number, (dead_below, observations, places) in self._ranges.items():
            alive = [alive_units(arrays[i], None if j is None else arrays[j], dead_below) for i, j in places]
            modules[number] = ModuleNumbers(saturated.get(number), np.logical_or.reduce(alive), observations)
        groups = [
            GroupArrays(
                g.keys, [g.length] * len(g.keys), g.examples is not None, g.statistics(arrays[moments]), arrays[table]
            )
            for g, moments, table in self._groups
        ]
        if self._strip is not None:
            keys, lengths, values = self._strip
            groups.append(GroupArrays(keys, lengths, False, *describe(arrays[values], lengths)))
        return FrameArrays(
            step=self.step,
            time=self.time,
            axes=self._axes,
            groups=groups,
            norms=self.norms() if norms is None else norms,
            sizes=self._sizes,
            populations=self._populations,
            apart=apart,
            modules=modules,
        )
