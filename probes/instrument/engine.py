"""The heart of a probe: follows the loop step by step and takes frames when the schedule says so."""

from __future__ import annotations

import logging
import os
import time as _time
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from probes.instrument import manifest
from probes.instrument.backward import reaches
from probes.instrument.by_hand import PATIENCE, Found, StepsByHand
from probes.instrument.collector import Collected, Collector
from probes.instrument.delivery import Delivery
from probes.instrument.exits import describe_exception, exits
from probes.instrument.filters import first_layer, next_snapshot
from probes.instrument.frame import Frame
from probes.instrument.governor import Schedule, Share
from probes.instrument.guard import Guard
from probes.instrument.hooks import Hook
from probes.instrument.modes import Modes
from probes.instrument.modules import first_tensor
from probes.instrument.optimizers import OptimizerHooks, StepCounter, share_parameters
from probes.instrument.outcomes import Outcome, observe
from probes.instrument.parameters import Copies, inventory, list_parameters, local
from probes.instrument.rates import LearningRates
from probes.instrument.scripting import script_watch
from probes.instrument.sharding import Meeting, shard_ranks
from probes.instrument.sheet import Workspace
from probes.runlog.writer import RunWriter

_log = logging.getLogger("babysit")

_BLIND_FRAMES = 3


class Engine:
    """Attached to one model from construction to `detach`.

    Nothing it does raises into the training: an exception in a measurement ends the frames, is reported once,
    and the training goes on. Time spent is measured, and the schedule is told.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[Optimizer],
        writer: RunWriter,
        schedule: Schedule,
        start_step: int,
        loss_fn: Callable[..., Any] | None = None,
        meeting: Meeting | None = None,
        clock: Callable[[], float] = _time.perf_counter,
    ) -> None:
        self.counter = StepCounter(start_step)
        self.boundary: Callable[[], None] | None = None  # called at the end of a step, outside the guard: may raise
        self._model, self._schedule, self._clock = model, schedule, clock
        self._notes: list[str] = []  # on the run, for the manifest
        self._blind: int | None = 0  # frames without activations so far; None once there were some
        self._pid = os.getpid()
        self.guard = Guard(self.fail, clock)
        self._watchlist = list_parameters(model)
        ranks = {i: shard_ranks(t) for i, t in enumerate(self._watchlist.tensors)}
        ranks_of = {i: r for i, r in ranks.items() if r is not None}
        self.delivery = Delivery(writer, meeting, ranks_of)
        self._sharded, self._leads = bool(ranks_of), meeting is None or meeting.rank == 0
        # The other processes take frames only for the norms of the parts that they hold.
        self._frames_wanted = self._leads or self._sharded
        self._began = False
        self._taken = 0  # steps since attached
        self._filters_due, self._filters_at = next_snapshot(0), -1
        self._share, self._rates = Share(), LearningRates()
        self._modes = Modes()
        self._workspace, self._copies = Workspace(), Copies()
        self._frame: Frame | None = None
        self._contributed: list[Optimizer] = []  # those that the frame has the step of
        self._stepping: Optimizer | None = None
        self._seen: list[object] = []  # what `inventory` found last
        self._refreshed = 0  # times that the list of parameters changed
        self._rejected: WeakKeyDictionary[Optimizer, tuple[int, list[int]]] = WeakKeyDictionary()
        self._has_closure = False
        # FSDP puts other tensors in the place of sharded parameters for the forward pass.
        self._collector = Collector(model, self.guard, lambda: self._sharded or reaches(self._watchlist.tensors))
        self._order_known = False
        self._called: WeakKeyDictionary[nn.Module, manifest.Called] = WeakKeyDictionary()
        self._input_shape: list[int] | None = None  # of one example
        self._outcome: Outcome | None = None  # of several calls of the loss the last
        self._loss_named = type(loss_fn).__module__ == "torch.nn.modules.loss"  # by its class
        self._loss_handle = (
            loss_fn.register_forward_pre_hook(Hook(self._on_loss)) if isinstance(loss_fn, nn.Module) else None
        )
        self._step_ended = clock()
        self._wait_from: float | None = None
        self._data_wait: float | None = None
        self._follow_root = self._collector.watched != [] and not isinstance(model, nn.TransformerEncoderLayer)
        self._root_handle = (
            model.register_forward_pre_hook(Hook(self._on_forward), with_kwargs=True) if self._follow_root else None
        )
        self._by_root = True  # whether the last frame's passes were of the whole model
        self.optimizer_hooks = OptimizerHooks(optimizers, self.concerns, self)
        self.by_hand: StepsByHand | None = StepsByHand(self._watchlist.tensors)  # until an optimizer steps
        self._followed_given = bool(optimizers)
        self._due = self._frames_wanted and schedule.due(1)
        # A container is never called itself, only its parts are; a TransformerEncoderLayer must not carry a hook.
        if self._due and (type(model).forward is nn.Module.forward or not self._follow_root):
            self._open_collector()
        self.thread: int | None = get_ident()  # that trains
        self._attached = True
        script_watch.enter()
        exits.attach(self)

    # ---- isolation and accounting ----

    def fail(self, error: Exception) -> None:
        """Reports a failure of a measurement, once, and takes no more frames."""
        self._drop_frame()
        if self._frames_wanted:
            self._frames_wanted = self._due = False
            message = describe_exception(error)
            _log.warning("babysit: a measurement failed, no more frames are taken: %s", message)
            _log.debug("babysit: where it failed", exc_info=error)
            self.delivery.event(self.counter.step, "probe-error", message)

    @property
    def in_owner(self) -> bool:
        """Whether this is the process that called `watch`, not a fork of it."""
        return os.getpid() == self._pid

    # ---- the forward pass ----

    def _on_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or torch._C._is_tracing():
            return
        self._modes.saw(module.training, torch.is_grad_enabled())
        if self._wait_from is None and not (torch.is_grad_enabled() and self._due):
            return
        with self.guard:
            training = torch.is_grad_enabled()
            if self._wait_from is not None:
                if training:
                    self._data_wait = max(0.0, self._clock() - self._wait_from)
                self._wait_from = None
            if training and self.by_hand is not None:
                self.by_hand.before_training()
            if training and self._due:
                self._open_collector()
                self._collector.begin_pass(module, args, kwargs)

    def _open_collector(self) -> None:
        if not self._leads:
            return
        if self._collector.is_open and inventory(self._model) != self._seen:
            self._collector.close()
        if not self._collector.is_open:
            if not self._sharded:  # FSDP puts whole parameters in the place of the shards for the forward pass
                self._refresh()
            self._collector.open(self._model if self._follow_root else None)

    def _on_loss(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if len(args) >= 2 and self._due and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self.observe_loss(args[0], args[1])

    def observe_loss(self, outputs: object, targets: object) -> None:
        """Called with the arguments of the loss, where gradients are enabled."""
        if not self._due:
            return
        with self.guard:
            output = first_tensor(outputs)
            if output is not None and output.requires_grad:
                outcome = observe(outputs, targets)
                if outcome is not None:
                    self._outcome = outcome

    # ---- the optimizer's step ----

    def concerns(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer holds any of the model's parameters."""
        with self.guard:
            sizes = [len(group["params"]) for group in optimizer.param_groups]
            if self._rejected.get(optimizer) == (self._refreshed, sizes):
                return False  # listing the parameters takes long for a step of some other model
            members = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if not members.isdisjoint(self._watchlist.numbers):
                return True
            if not members.isdisjoint(list_parameters(self._model).numbers):
                return True
            self._rejected[optimizer] = self._refreshed, sizes
        return False

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if os.getpid() != self._pid:
            return
        with self.guard:
            self.by_hand = None
            if not self._began:
                self._begin()
            self._stepping = optimizer
            if self._frame is not None and any(
                o is optimizer or share_parameters(o, optimizer) for o in self._contributed
            ):
                # An optimizer's next turn came before some other stepped at all, or another took its place: the
                # frame ends without that one.
                self._finish_frame(self._collector.cut())
                self._due = self._frames_wanted and self._schedule.due(self._taken + 1)
                if not self._due:
                    self._collector.close()
            # A frame holds the optimizers of one step of the loop: it begins with the one that begins the step.
            if self._due and self._frame is None and self.counter.begins(optimizer):
                if not self._collector.is_open or self._sharded:
                    self._refresh()
                self._frame = Frame(self._watchlist, self._workspace, self._copies)
            if self._frame is not None:
                mine = self._numbers_of(optimizer)
                # args begins with the optimizer itself. A closure computes the gradients inside the step.
                self._has_closure = len(args) > 1 or kwargs.get("closure") is not None
                # Which parameters no optimizer steps is not known before all that are to be found have stepped.
                first_found = not self._followed_given and self._taken == 0
                changed = mine if self._contributed or first_found else self._unowned() + mine
                scale = getattr(optimizer, "grad_scale", None)
                self._frame.before_step(() if self._has_closure else mine, changed, scale)

    def after_step(self, optimizer: Optimizer) -> None:
        if os.getpid() != self._pid:
            return
        with self.guard:
            new = self.counter.advance(optimizer)
            if self._frame is not None and self._stepping is not optimizer:
                self._drop_frame()  # its beginning was not seen
            self._stepping = None
            if self._frame is not None:
                self._frame.after_step(self._numbers_of(optimizer) if self._has_closure else ())
                self._contributed.append(optimizer)
                self._collector.mark()
                if all(any(o is c for c in self._contributed) for o in self.optimizer_hooks.outermost):
                    # Where this optimizer did not begin the step, the step is counted already.
                    goes_on = self._order_known and self._schedule.due(self._taken + (2 if new else 1))
                    self._finish_frame(self._collector.cut() if goes_on else self._collector.close())
                    if not new:
                        self._plan_next()
            if new:
                skipped = getattr(optimizer, "found_inf", None)
                self._end_step(skipped if isinstance(skipped, Tensor) else None)
        if self.boundary is not None:
            self.boundary()

    def step_skipped(self, optimizer: Optimizer) -> None:
        """A GradScaler found infinite gradients and did not step the optimizer."""
        if not self.in_owner:
            return
        with self.guard:
            self._drop_frame()
            if self.counter.advance(optimizer):
                self._end_step(torch.ones((), dtype=torch.float32, device="cpu"))
        if self.boundary is not None:
            self.boundary()

    # ---- steps that no torch optimizer makes ----

    def logs(self, split: str, names: Iterable[str]) -> None:
        """Called before numbers are logged: where no optimizer steps, the steps are told from them."""
        if self.by_hand is None or not split.startswith("train"):
            return
        found: Found = None  # also when looking for it fails
        with self.guard:
            found = self.by_hand.logged(names)
            if found == "no change" or (found is not None and self._followed_given):
                self.by_hand = None
                remedy = (
                    "give watch the optimizer that steps, or None to follow any"
                    if self._followed_given
                    else ("does another model train, or a copy of this one? Set probe.step to count the steps yourself")
                )
                changed = "" if found != "no change" else f" in {PATIENCE} rounds of the training"
                self._say(f"no optimizer has stepped the watched model{changed}: steps are not counted; {remedy}")
            elif found is not None:
                if found == "first step":
                    note = f"no torch optimizer steps this model: a step is counted at each probe.log({split!r}, ...)"
                    self._notes.append(note)
                    self.delivery.event(self.counter.step, "steps-by-hand", note)
                self._step_by_hand()
        if found is not None and self.boundary is not None:
            self.boundary()

    def _step_by_hand(self) -> None:
        """The weights changed since the last call; what gradients are left may be those that changed them."""
        self.counter.step += 1
        if not self._began:
            self._began = True
            self._refresh()
            self.describe()
            if self._due:
                self._frame = Frame(self._watchlist, self._workspace, self._copies)
        if self._frame is not None:
            gradients = {n: t.grad for n, t in enumerate(self._watchlist.tensors)}
            left = any(g is not None and bool(local(g).any()) for g in gradients.values())
            self._frame.after_step([n for n, g in gradients.items() if g is not None] if left else ())
            self._finish_frame(self._collector.close())
        self._end_step(None)
        if self._due:
            self._refresh()
            self._frame = Frame(self._watchlist, self._workspace, self._copies)
            self._frame.before_step((), range(len(self._watchlist.tensors)), None)

    def _say(self, message: str) -> None:
        _log.warning("babysit: %s", message)
        self.delivery.event(self.counter.step, "note", message)

    def _end_step(self, skipped: Tensor | None) -> None:
        now = self._clock()
        self.thread = get_ident()
        self._taken += 1
        values: dict[str, float] = self._modes.take()
        elsewhere: dict[str, Tensor] = {}
        # Each tried by itself: a failure of one must not keep the others and the next step from their turn.
        try:
            rates, device_rates, new = self._rates.read(self.optimizer_hooks.outermost)
            values |= rates
            elsewhere |= device_rates
            if new and self._taken > 1:
                self.describe()
        except Exception as error:  # noqa: BLE001  the wall: said once, and no more frames are taken
            self.fail(error)
        try:
            values |= self._times(now)
        except Exception as error:  # noqa: BLE001  see above
            self.fail(error)
        try:
            if skipped is not None and skipped.device.type != "cpu":
                elsewhere["optimizer/skipped"] = skipped
            elif skipped is not None and skipped.item():
                values["optimizer/skipped"] = 1.0
            self.delivery.scalars(self.counter.step, _time.time(), values, elsewhere)
        except Exception as error:  # noqa: BLE001  see above
            self.fail(error)
        try:
            if self._taken >= self._filters_due:
                self._filters_due = next_snapshot(self._taken)
                self.take_filters()
        except Exception as error:  # noqa: BLE001  see above
            self.fail(error)
        try:
            if self._frame is None:
                self._plan_next()
        except Exception as error:  # noqa: BLE001  see above
            self.fail(error)
        self._step_ended = self._wait_from = now
        self._data_wait = None
        self.guard.restart(now)

    def _times(self, now: float) -> dict[str, float]:
        foreground = self.guard.spent(now)
        probe = foreground + self.delivery.take_thread_seconds()
        own = max(0.0, now - self._step_ended - foreground)
        values = {}
        if self._taken > 1 or self._data_wait is not None:
            values["system/step_time"] = own
            values["system/probe_time"] = probe
            values["system/probe_share"] = self._share.update(own, probe)
            self._schedule.spend(own, probe)
        if self._data_wait is not None:
            values["system/data_wait"] = self._data_wait
        return values

    def _plan_next(self) -> None:
        self._due = self._frames_wanted and self._schedule.due(self._taken + 1)
        if not self._due:
            if self._collector.is_open:
                self._collector.close()
        elif not self._by_root:
            self._open_collector()

    # ---- frames ----

    def _begin(self) -> None:
        """At the first step, before anything changed: the weights as they are, and what is known of the
        model.
        """
        self._began = True
        self._refresh()
        self.describe()
        if self._frames_wanted:
            frame = Frame(self._watchlist, self._workspace, self._copies)
            frame.take_weights()
            watched = self._collector.watched
            self.delivery.frame(frame.finish(self.counter.step, _time.time(), watched, Collected()))
            self.take_filters()

    def _refresh(self) -> None:
        """Takes in parameters and modules that came or went since the last frame."""
        seen = inventory(self._model)
        if seen == self._seen:
            return
        if not self._collector.is_open:  # else its modules are still to be taken in
            self._seen = seen
        current = list_parameters(self._model)
        if not all(isinstance(tensor, nn.Parameter) for tensor in current.tensors):
            self._seen = []  # a call of torch.func.functional_call, for which others take the parameters' places
            return
        if current.names != self._watchlist.names or current.numbers != self._watchlist.numbers:
            self._watchlist = current
            self._refreshed += 1
            if not self._collector.is_open:  # what it holds is numbered by the list it has
                self._collector.refresh(self._model)
            self.describe()

    def _numbers_of(self, optimizer: Optimizer) -> list[int]:
        numbers = self._watchlist.numbers
        members = (numbers.get(id(p)) for group in optimizer.param_groups for p in group["params"])
        return sorted({n for n in members if n is not None})

    def _unowned(self) -> list[int]:
        owned = {n for o in self.optimizer_hooks.optimizers for n in self._numbers_of(o)}
        return [n for n in range(len(self._watchlist.names)) if n not in owned]

    def _finish_frame(self, collected: Collected) -> None:
        frame, self._frame = self._frame, None
        if frame is None:
            return
        self._contributed.clear()
        self._by_root = collected.whole
        self._look_for_activations(collected)
        self._learn_order(collected)
        frame.take_weights()
        self.delivery.frame(frame.finish(self.counter.step, _time.time(), self._collector.watched, collected))
        self._look_for_loss(collected)
        if self._outcome is not None:
            self.delivery.outcome(self._outcome, self.counter.step)
            self._outcome = None
        self._schedule.frame_taken(self._taken + 1, self.guard.spent(self._clock()))

    def _look_for_loss(self, collected: Collected) -> None:
        """Has the outputs of the last pass looked at, where the loss is not known by its name."""
        single = [output for output in collected.outputs if len(output.gradients) == 1]
        told = self._loss_named and self._outcome is not None
        if single and not told:
            self.delivery.output(single[-1], self.counter.step, alone=self._outcome is None)
        self._collector.wants_outputs = not told and self.delivery.wants_outputs

    def _look_for_activations(self, collected: Collected) -> None:
        """Says so when the model trains and none of its passes are seen."""
        if self._blind is None or not self._leads:
            return
        if collected.samples or not self._collector.watched:
            self._blind = None
            return
        self._blind += 1
        if self._blind == _BLIND_FRAMES:
            self._notes.append(
                "no training pass of the model was seen: its parameters are measured, its activations are not. What "
                "torch.compile runs cannot be seen; of another wrapper, watch the wrapper"
            )
            self.describe()

    def _drop_frame(self) -> None:
        self._frame = None
        self._collector.close()
        self._contributed.clear()

    def _learn_order(self, collected: Collected) -> None:
        """Puts the modules in the order of the first forward pass seen; those never called come last."""
        if self._order_known or not collected.samples or self._collector.is_open:
            return
        self._order_known = True
        watched = self._collector.watched
        order = list(collected.samples) + [i for i in range(len(watched)) if i not in collected.samples]
        position = {old: new for new, old in enumerate(order)}
        self._collector.watched = [watched[i] for i in order]
        collected.samples = {position[i]: samples for i, samples in collected.samples.items()}
        collected.shapes = {position[i]: shape for i, shape in collected.shapes.items()}
        self.describe(collected)

    def describe(self, collected: Collected | None = None) -> None:
        """Puts what is known of the model and the optimizers into the manifest."""
        notes = self._watchlist.notes + self._collector.notes + self._notes
        notes += self._copies.notes(self._watchlist)
        watched = self._collector.watched
        if collected:
            for index, shape in collected.shapes.items():
                self._called[watched[index].module] = manifest.Called(shape, len(collected.samples.get(index, ())))
        model = manifest.describe_model(self._model, self._watchlist, watched, self._called, notes)
        if collected and collected.inputs:
            self._input_shape = list(collected.inputs[0].shape[1:])
        model["input_shape"] = self._input_shape
        optimizers = manifest.describe_optimizers(self.optimizer_hooks.optimizers, self._watchlist)
        self.delivery.manifest(model=model, optimizers=optimizers)

    def take_filters(self) -> None:
        """Records the first layer's weights as they are now."""
        if not self._leads or not self._frames_wanted or self._filters_at == self.counter.step:
            return
        self._filters_at = self.counter.step
        collector = self._collector
        layer = first_layer(collector.watched if self._order_known else collector.in_call_order())
        if layer is not None:
            self.delivery.filters(layer, self.counter.step)

    # ---- the end ----

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self.counter.step

    def end(self, reason: str) -> None:
        """The program, or the thread that trains, is ending without having closed the run."""
        self.detach()
        self.delivery.writer.close("crashed", reason)

    def detach(self) -> None:
        """Takes a last look at the filters and removes every hook. May be called again."""
        exits.detach(self)
        if self._attached:
            self._attached = False
            script_watch.leave()
        with self.guard:
            if self._began:
                self.take_filters()
                self.delivery.scalars(self.counter.step, _time.time(), self._modes.take())
            self.delivery.flush_scalars()
            self.delivery.last_call()
        self._collector.close()
        if self._root_handle is not None:
            self._root_handle.remove()
        if self._loss_handle is not None:
            self._loss_handle.remove()
        self.optimizer_hooks.remove()
        self._frame = None
