"""Run by torchrun in test_distributed.py: trains the same net in the way named on the command line."""

from __future__ import annotations

import json
import sys

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import probes

kind, run_dir, out = sys.argv[1:4]
if kind != "single":
    torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank() if kind != "single" else 0


def train(watched: bool, folder: str | None, steps: int = 4) -> tuple[list[float], str | None]:
    """The losses, and the run directory."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3), nn.ReLU(), nn.Linear(3, 1))
    if kind == "ddp":
        model = DistributedDataParallel(model)
    if kind == "fsdp":
        for layer in model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer)
        fully_shard(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    probe = probes.watch(model, optimizer, folder, every=1) if watched else None
    torch.manual_seed(1)
    losses = []
    for _ in range(steps):
        inputs, targets = torch.randn(8, 6), torch.randn(8, 1)
        if kind != "single":  # each of the two processes takes its half; gradients are averaged
            inputs, targets = inputs.chunk(2)[rank], targets.chunk(2)[rank]
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if probe is not None:
            probe.log("train", loss=loss)
    if probe is None:
        return losses, None
    if kind != "single":
        probe._engine.delivery.writer.flush(30.0)
        torch.distributed.barrier()
    probe.close()
    return losses, str(probe.run_dir.resolve())


bare, _ = train(False, None)
losses, _ = train(True, run_dir)
chosen = train(True, None, 1)[1] if kind == "ddp" else None
with open(f"{out}-{rank}.json", "w") as file:
    json.dump({"losses": losses, "bare": bare, "run_dir": chosen}, file)
if kind != "single":
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
