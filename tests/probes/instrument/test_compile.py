"""torch.compile: no graph break, no recompilation, and what cannot be measured is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

import probes


class Net(nn.Module):
    """torch.compile skips what is made of torch's own containers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.first(x)))


def train(call: object, model: nn.Module, probe_dir: Path | None, watched: nn.Module) -> torch.Tensor:
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    probe = probes.watch(watched, optimizer, probe_dir, every=2) if probe_dir else None
    for _ in range(6):
        optimizer.zero_grad()
        call(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
    if probe is not None:
        probe.close()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("how", ["wrapped", "in place", "compiled after watching the bare model"])
def test_a_compiled_model_is_watched_without_touching_its_graph(how: str, tmp_path: Path):
    results = []
    for watch in (False, True):
        torch._dynamo.reset()
        counter = CompileCounter()
        torch.manual_seed(0)
        model = Net()
        if how == "in place":
            model.compile(backend=counter, fullgraph=True)
            call = watched = model
        else:
            call = torch.compile(model, backend=counter, fullgraph=True)
            watched = call if how == "wrapped" else model
        results.append(train(call, model, tmp_path / "run" if watch else None, watched))
        assert counter.frame_count == 1
    assert torch.equal(*results)
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("grad_norm").layers == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert run.layer_series("update_norm").steps.tolist() == [1, 2, 4, 6]
    assert run.model["class"] == "Net"
    (note,) = run.model["notes"]
    if how == "compiled after watching the bare model":
        assert "no training pass of the model was seen" in note
    else:
        assert "is run by torch.compile" in note


def test_a_compiled_part_of_a_model(tmp_path: Path):
    torch._dynamo.reset()
    counter = CompileCounter()
    model = nn.Sequential(torch.compile(Net(), backend=counter, fullgraph=True), nn.Tanh(), nn.Linear(2, 2))
    train(model, model, tmp_path / "run", model)
    assert counter.frame_count == 1
    run = probes.open_run(tmp_path / "run")
    assert run.layer_series("activation_std").layers == ["1", "2"]
    assert run.layer_series("grad_norm").layers[:2] == ["0.first.weight", "0.first.bias"]
    assert run.model["notes"] == ["0 is run by torch.compile: its parameters are measured, its activations are not"]


def test_a_compiled_training_step_is_compiled_as_without_a_probe(tmp_path: Path):
    counts, losses = [], []
    for watch in (False, True):
        torch._dynamo.reset()
        counter = CompileCounter()
        torch.manual_seed(0)
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        probe = probes.watch(model, optimizer, tmp_path / "run", every=3) if watch else None

        def step(x: torch.Tensor) -> torch.Tensor:
            optimizer.zero_grad()  # noqa: B023
            loss = model(x).square().mean()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            if probe is not None:  # noqa: B023
                probe.log("train", loss=loss)  # noqa: B023
            return loss

        compiled = torch.compile(step, backend=counter)
        losses.append([compiled(torch.randn(4, 6)).item() for _ in range(20)])
        counts.append(counter.frame_count)
        if probe is not None:
            probe.close()
    assert counts[1] <= counts[0] + 1  # the graph may break where the loss is logged
    assert losses[0] == losses[1]
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").values.tolist() == pytest.approx(losses[0])
    assert run.layer_series("update_norm").steps.tolist() == [1, 3, 6, 9, 12, 15, 18]
