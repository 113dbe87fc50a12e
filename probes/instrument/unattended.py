"""Attach to a training whose code is left as it is: what `babysit run SCRIPT` does.

Until the first optimizer step, PyTorch's global module hooks note which modules are called from outside any other
module. At that step the one that holds most of the optimizer's parameters is watched, and the global hooks are gone.
The training loss is the scalar that `backward` was called on before a step of that optimizer: the one thing every
training loop has in common. What it was called on before a step of another optimizer is the loss of another model.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.weak import WeakTensorKeyDictionary

from probes.instrument.attach import watch
from probes.instrument.probe import Probe

logger = logging.getLogger("babysit")

_MOST_LOSSES_A_STEP = 1024  # bounds what is kept when a script calls backward and never steps


class Unattended:
    """Watches the first model that an optimizer steps; `probe` is None until then.

    Args:
        **options: passed on to `probes.watch` (run_dir, every, budget, config, name).
    """

    def __init__(self, **options: Any) -> None:
        self.probe: Probe | None = None
        self._options = options
        self._roots: WeakSet[nn.Module] = WeakSet()
        self._depth = 0
        self._logged = 0  # the step that has its loss
        self._losses: deque[Tensor] = deque(maxlen=_MOST_LOSSES_A_STEP)
        # What GradScaler.scale returned -> the loss it was given.
        self._unscaled: Any = WeakTensorKeyDictionary()
        self._discovery = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        # Stays until the end: torch walks through these hooks while it calls this one.
        self._hooks: list[Any] = [register_optimizer_step_pre_hook(self._first_step)]
        self._backward: Callable[..., None] = torch.Tensor.backward
        self._scale = torch.amp.GradScaler.scale
        torch.Tensor.backward = self._observed_backward()  # type: ignore[method-assign]
        torch.amp.GradScaler.scale = self._observed_scale()  # type: ignore[method-assign]

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Put `Tensor.backward` and `GradScaler.scale` back, remove every hook, close the run."""
        torch.Tensor.backward = self._backward  # type: ignore[method-assign]
        torch.amp.GradScaler.scale = self._scale  # type: ignore[method-assign]
        for hook in (*self._discovery, *self._hooks):
            hook.remove()
        if self.probe is not None:
            self.probe.close(status=status, reason=reason)

    def _enter(self, module: nn.Module, inputs: object) -> None:
        if self._depth == 0:
            self._roots.add(module)
        self._depth += 1

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self._depth -= 1

    def _first_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        if not self._discovery:
            return
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        shares = [(sum(id(p) in mine for p in root.parameters()), root) for root in self._roots]
        held, model = max(shares, key=lambda share: share[0], default=(0, None))
        if model is None or held == 0:
            self._losses.clear()
            return  # an optimizer of something that is not a called module; another one may follow
        for hook in self._discovery:
            hook.remove()
        self._discovery.clear()
        self._roots.clear()
        try:
            self.probe = watch(model, optimizer, **self._options)
        except Exception as error:  # noqa: BLE001  the user's training goes on without us, and the user is told
            logger.error("babysit run: this training is not watched: %s", error)
            return
        # Registered after the probe's own hooks, so that the step is counted when the loss is logged.
        self._hooks.append(register_optimizer_step_post_hook(self._log_loss))
        self._logged = self.probe.step

    def _log_loss(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        probe, losses = self.probe, list(self._losses)
        if probe is None:
            return
        if probe.step != self._logged:
            self._logged = probe.step
            self._losses.clear()
            if losses:
                probe.log("train", loss=losses[0] if len(losses) == 1 else torch.stack(losses).mean())
        elif not probe._engine.optimizer_hooks.touches(optimizer):  # else a part of a step that is not over
            self._losses.clear()

    def _observed_backward(self) -> Callable[..., None]:
        original = self._backward

        @functools.wraps(original)
        def backward(tensor: Tensor, *args: Any, **kwargs: Any) -> None:
            if tensor.numel() == 1:
                loss = self._unscaled.get(tensor, tensor)
                self._losses.append(loss.detach().reshape(()).clone())
            original(tensor, *args, **kwargs)

        return backward

    def _observed_scale(self) -> Callable[..., Any]:
        original = self._scale

        @functools.wraps(original)
        def scale(scaler: torch.amp.GradScaler, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if isinstance(scaled, Tensor) and isinstance(outputs, Tensor):
                self._unscaled[scaled] = outputs.detach()
            return scaled

        return scale
