"""The ways of watching that are compared: the probes, TensorBoard and W&B (offline), each at several cadences.

A tool is a function that is given the network, its optimizer and an empty folder, and returns what is to be called
with the loss after each step. It leaves what is to be closed on the stack.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn

import probes

AfterStep = Callable[[Tensor], None]
"""Called with the loss after each step. Where it has a method ``resume``, that is called when the loop goes on after a
pause in which something else was measured."""

Tool = Callable[[nn.Module, torch.optim.Optimizer, Path, ExitStack], AfterStep]

NEVER = 1_000_000_000


def bare(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, stack: ExitStack) -> AfterStep:
    """The loop alone."""
    return lambda loss: None


def babysit(every: int | str) -> Tool:
    """`probes.watch` with the loss logged at every step."""

    def attach(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, stack: ExitStack) -> AfterStep:
        return _Logged(stack.enter_context(probes.watch(model, optimizer, folder, every=every)))

    return attach


class _Logged:
    """Logs the loss. What passes while the loop rests is no time of its own: it would earn the default budget."""

    def __init__(self, probe: probes.Probe) -> None:
        self._probe = probe

    def __call__(self, loss: Tensor) -> None:
        self._probe.log("train", loss=loss)

    def resume(self) -> None:
        engine = self._probe._engine
        engine._step_ended = engine._wait_from = engine._clock()


def tensorboard(every: int) -> Tool:
    """Loss and learning rate at every step; histograms of all weights and gradients at every ``every``-th."""

    def attach(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, stack: ExitStack) -> AfterStep:
        from torch.utils.tensorboard import SummaryWriter

        writer = stack.enter_context(SummaryWriter(str(folder)))
        step = 0

        def after(loss: Tensor) -> None:
            nonlocal step
            step += 1
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("lr", optimizer.param_groups[0]["lr"], step)
            if step % every == 0:
                for name, parameter in model.named_parameters():
                    writer.add_histogram(f"weight/{name}", parameter.detach(), step)
                    writer.add_histogram(f"gradient/{name}", parameter.grad, step)

        return after

    return attach


def wandb(every: int) -> Tool:
    """The same content as with `tensorboard`, in a run that is not sent anywhere."""

    def attach(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, stack: ExitStack) -> AfterStep:
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
        import wandb as package

        folder.mkdir(parents=True)
        settings = package.Settings(silent=True, x_disable_stats=True, console="off")
        run = package.init(dir=str(folder), mode="offline", reinit="create_new", settings=settings)
        stack.callback(run.finish)
        step = 0

        def after(loss: Tensor) -> None:
            nonlocal step
            step += 1
            values = {"train/loss": loss.item(), "lr": optimizer.param_groups[0]["lr"]}
            if step % every == 0:
                for name, parameter in model.named_parameters():
                    values[f"weight/{name}"] = package.Histogram(parameter.detach().numpy())
                    values[f"gradient/{name}"] = package.Histogram(parameter.grad.numpy())
            run.log(values, step=step)

        return after

    return attach


GROUPS: dict[str, dict[str, Tool]] = {
    "babysit": {
        "scalars": babysit(NEVER),
        "default": babysit("auto"),
        "every 10th": babysit(10),
        "every step": babysit(1),
    },
    "TensorBoard": {
        "scalars": tensorboard(NEVER),
        "every 10th": tensorboard(10),
        "every step": tensorboard(1),
    },
    "W&B offline": {"scalars": wandb(NEVER), "every 10th": wandb(10), "every step": wandb(1)},
}
"""Tool -> cadence -> how to attach it. One tool at a time runs beside the bare loop."""

_NEEDS = {"TensorBoard": "tensorboard", "W&B offline": "wandb"}


def missing(group: str) -> str | None:
    """The package that this tool needs and that is not installed."""
    package = _NEEDS.get(group)
    return package if package and importlib.util.find_spec(package) is None else None
