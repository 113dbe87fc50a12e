"""`Probe`: what `watch` returns."""

from __future__ import annotations

import logging
import numbers
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from probes.errors import InvalidArgumentError, StopTraining
from probes.instrument.compiled import outside_graphs
from probes.instrument.engine import Engine
from probes.instrument.exits import describe_exception, exits
from probes.instrument.outcomes import ObservedLoss
from probes.instrument.scalars import as_scalar, check_name, series_name
from probes.runlog.writer import RunWriter

if TYPE_CHECKING:
    from probes.instrument.oversight import Oversight

_log = logging.getLogger("babysit")


class Probe:
    """Watches one training and records it. Made by `probes.watch`; also a context manager.

    Leaving the ``with`` block closes the probe; an exception that leaves it is recorded as the reason of a
    crash and goes on unchanged. `StopTraining`, by which ``stop_on`` ends the run, ends the block and no more.
    """

    def __init__(
        self,
        engine: Engine,
        reopen: Callable[[int], RunWriter],
        loss_fn: Callable[..., Any] | None = None,
        oversight: Oversight | None = None,
    ) -> None:
        self._engine = engine
        self._oversight = oversight
        self._reopen = reopen
        self._loss_fn = loss_fn
        if loss_fn is not None and not isinstance(loss_fn, nn.Module):
            self._loss_fn = ObservedLoss(loss_fn, engine.observe_loss)
        self._names: dict[tuple[str, str], str] = {}
        self._closed = False
        exits.add(self)
        if oversight is not None:
            oversight.bind(self)

    @property
    def step(self) -> int:
        """Steps done so far. Set it after loading a checkpoint: what was recorded beyond it is superseded."""
        return self._engine.counter.step

    @step.setter
    def step(self, value: int) -> None:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
            raise InvalidArgumentError(f"step must be a whole number from 0, not {value!r}")
        value = int(value)
        if value < self._engine.counter.step and not self._closed and self._engine.in_owner:
            with self._engine.guard:
                delivery = self._engine.delivery
                delivery.flush_scalars()
                delivery.writer.flush()  # what is still under way may teach the manifest something
                delivery.writer.close()
                delivery.writer = self._reopen(value)
        self._engine.counter.step = value

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self._engine.delivery.writer.run_dir

    @property
    def loss_fn(self) -> Callable[..., Any]:
        """The loss function given to `watch`, observed: it returns exactly what the original returns."""
        if self._loss_fn is None:
            raise InvalidArgumentError("probe.loss_fn is the loss given to watch(..., loss_fn=...), and none was given")
        return self._loss_fn

    @property
    def stopped(self) -> str | None:
        """Why the run ended itself, when ``stop_on`` has ended it; None otherwise."""
        return self._oversight.reason if self._oversight is not None else None

    @outside_graphs
    def log(self, split: str, /, **scalars: object) -> None:
        """Records numbers at the present step, as series named ``<split>/<name>``.

        Args:
            split: "train", "val", or any name.
            **scalars: numbers, NumPy scalars, or tensors of one element, on any device (no synchronisation is
                forced). NaN and infinities are recorded as they are.

        Raises:
            MetricError: a value is not one real number, or a name cannot be used.
        """
        if not isinstance(split, str):
            check_name("split", split)
        names = self._names
        host: dict[str, float] = {}
        device: dict[str, Tensor] = {}
        for metric, value in scalars.items():
            name = names.get((split, metric))
            if name is None:
                name = names[(split, metric)] = series_name(split, metric)
            number = as_scalar(name, value)
            if isinstance(number, float):
                host[name] = number
            else:
                device[name] = number
        engine = self._engine
        if self._closed or not engine.in_owner:
            return
        if engine.by_hand is not None:
            engine.logs(split, scalars)
        with engine.guard:
            engine.delivery.logged(engine.counter.step, time.time(), host, device)

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Removes every hook, writes what is left and records how the run ended. May be called again.

        Args:
            status: "finished" or "crashed".
            reason: why, when it crashed.

        Raises:
            InvalidArgumentError: another status.
        """
        if status not in ("finished", "crashed"):
            raise InvalidArgumentError(f'status must be "finished" or "crashed", not {status!r}')
        if self._closed or not self._engine.in_owner:
            return
        self._closed = True
        exits.discard(self)
        self._engine.detach()
        self._engine.delivery.writer.close(status, reason if reason is not None else self.stopped)
        if self._oversight is not None:
            self._oversight.finish()

    def end(self, reason: str) -> None:
        """The program is ending without having closed the probe."""
        if self.stopped is not None:
            self.close()
        else:
            self.close("crashed", reason)

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # Ended by its own stop_on: the block is over, and the program goes on behind it.
        stopped = isinstance(error, StopTraining) and str(error) == self.stopped
        if stopped or error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.close()
        else:
            self.close("crashed", describe_exception(error))
        return stopped

    def __repr__(self) -> str:
        state = "closed" if self._closed else "watching"
        return f"<Probe {state} {self.run_dir} step {self.step}>"
