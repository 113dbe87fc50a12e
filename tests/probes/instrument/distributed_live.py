"""Run by torchrun in test_live_distributed.py: trains as two processes, judged live, and writes what each saw."""

from __future__ import annotations

import json
import sys
import threading
import time

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import probes

run_dir, out, ill_rank, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
torch.manual_seed(0)
model = DistributedDataParallel(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(rank)
example = torch.randn(32, 6)
batch = (example, (example[:, 0] > 0).long() + (9 if ill_rank == -2 else 0))
told: list[str] = []
threads: set[str] = set()
with probes.watch(
    model,
    optimizer,
    run_dir,
    every=5,
    on_finding=lambda finding: told.append(finding.rule),
    stop_on=["nonfinite-values"],
    check_first=(nn.CrossEntropyLoss(), [batch]) if ill_rank < 0 else None,
) as probe:
    for step in range(1, steps + 1):
        inputs = torch.randn(16, 6)
        targets = (inputs[:, 0] > 0).long()
        if rank == ill_rank and step >= 30:
            inputs[0] = torch.nan
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        probe.log("train", loss=loss)
        threads |= {t.name for t in threading.enumerate() if t.name.startswith("babysit")}
        time.sleep(0.002 * (1 + rank))
left = [t.name for t in threading.enumerate() if t.name.startswith("babysit")]
seen = {"step": probe.step, "stopped": probe.stopped, "told": told, "threads": sorted(threads), "left": left}
with open(f"{out}-{rank}.json", "w") as file:
    json.dump(seen, file)
torch.distributed.barrier()  # hangs when the two did not end at the same step
torch.distributed.destroy_process_group()
