"""The mode that a model trains and is evaluated in, as the run log tells it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import probes


def train(run_dir: Path, loop) -> probes.Run:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        model(torch.randn(10, 6)).sum().backward()
        optimizer.step()

    def look(times=1):
        with torch.no_grad():
            for _ in range(times):
                model(torch.randn(10, 6))

    with probes.watch(model, optimizer, run_dir, every=1):
        loop(model, step, look)
    return probes.open_run(run_dir)


def points(run: probes.Run, name: str) -> list[tuple[int, float]]:
    if name not in run.series_names:
        return []
    series = run.series(name)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def test_a_usual_loop(tmp_path):
    def loop(model, step, look):
        for _ in range(2):
            model.train()
            step()
            step()
            model.eval()
            look(3)

    run = train(tmp_path / "run", loop)
    assert points(run, "system/training_mode") == [(1, 1.0)]
    assert points(run, "system/evaluation_mode") == [(3, 0.0), (4, 0.0)]


def test_training_mode_that_never_comes_back(tmp_path):
    def loop(model, step, look):
        step()
        look()
        model.eval()
        look(3)
        step()
        step()

    run = train(tmp_path / "run", loop)
    assert points(run, "system/training_mode") == [(1, 1.0), (2, 0.0)]
    assert points(run, "system/evaluation_mode") == [(2, 0.25)]


def test_an_evaluation_with_gradients_is_not_taken_for_the_training(tmp_path):
    def loop(model, step, look):
        step()
        model.eval()
        model(torch.randn(10, 6))
        model.train()
        step()

    run = train(tmp_path / "run", loop)
    assert points(run, "system/training_mode") == [(1, 1.0)]
    assert points(run, "system/evaluation_mode") == []


def test_the_manifest_names_what_depends_on_the_mode(tmp_path):
    model = nn.ModuleDict(
        {
            "plain": nn.Linear(2, 2),
            "norm": nn.BatchNorm2d(2),
            "layer": nn.LayerNorm(2),
            "off": nn.Dropout(0.0),
            "drop": nn.Dropout2d(0.4),
            "rnn": nn.LSTM(2, 2, num_layers=2, dropout=0.2),
            "attention": nn.MultiheadAttention(2, 1, dropout=0.1),
        }
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run"):
        model["plain"](torch.randn(3, 2)).sum().backward()
        optimizer.step()
    assert probes.open_run(tmp_path / "run").manifest["model"]["mode_dependent"] == [
        {"name": "norm", "type": "BatchNorm2d", "dropped": None, "momentum": 0.1},
        {"name": "drop", "type": "Dropout2d", "dropped": 0.4},
        {"name": "rnn", "type": "LSTM", "dropped": 0.2},
        {"name": "attention", "type": "MultiheadAttention", "dropped": 0.1},
    ]
