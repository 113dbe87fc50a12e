"""What a loss is given that it does not expect: the state of a recurrent module, what a function without a module has
squashed, labels of 0 and 1 for -1 and 1.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import probes


class Forecast(nn.Module):
    """The next value of a series: the state of a recurrent module itself, or a linear layer of it."""

    def __init__(self, kind, units, head):
        super().__init__()
        self.recurrent = kind(1, units, batch_first=True)
        self.head = nn.Linear(units, 1) if head else nn.Identity()

    def forward(self, series):
        return self.head(self.recurrent(series)[0][:, -1])


def said(model, criterion, x, y, folder, steps=60):
    """Messages on ``steps`` steps of batches of 32."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, folder, loss_fn=criterion) as probe:
        for step in range(steps):
            rows = torch.arange(32) + 32 * (step % 8)
            loss = probe.loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return [f.message for f in probes.diagnose(probes.open_run(folder), rules=["loss-output-mismatch"]).findings]


def windows(scale=1.0):
    time = torch.arange(300.0)
    series = torch.exp(1.2 * torch.sin(2 * math.pi * time / 24))
    series = scale * (series - series.mean()) / series.std()
    cut = series.unfold(0, 13, 1)
    return cut[:, :12, None], cut[:, 12:]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_state_that_is_the_answer_cannot_reach_the_peaks(kind, tmp_path):
    torch.manual_seed(0)
    (message,) = said(Forecast(kind, 1, False), nn.MSELoss(), *windows(), tmp_path / "run")
    assert "gives only -1 to 1" in message


def test_nor_is_it_said_of_targets_within_reach_or_of_a_linear_layer(tmp_path):
    torch.manual_seed(0)
    assert said(Forecast(nn.LSTM, 1, False), nn.MSELoss(), *windows(0.3), tmp_path / "small") == []
    assert said(Forecast(nn.LSTM, 8, True), nn.MSELoss(), *windows(), tmp_path / "head") == []


def test_a_state_as_the_scores_of_classes(tmp_path):
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(1, 4, batch_first=True)

        def forward(self, series):
            return self.gru(series)[0][:, -1]

    x, y = windows()
    labels = torch.bucketize(y[:, 0], torch.tensor([-0.8, 0.0, 0.8]))
    (message,) = said(Last(), nn.CrossEntropyLoss(), x, labels, tmp_path / "run")
    assert "state of a recurrent module" in message


@pytest.mark.parametrize("criterion", [nn.SoftMarginLoss(), nn.HingeEmbeddingLoss()])
def test_labels_of_zero_and_one_for_a_loss_of_signs(criterion, tmp_path):
    torch.manual_seed(0)
    x = torch.randn(256, 6)
    y = (x[:, :1] > 0.2).float()
    (message,) = said(nn.Linear(6, 1), criterion, x, y, tmp_path / "wrong", steps=10)
    assert "expects -1 and 1" in message
    assert said(nn.Linear(6, 1), criterion, x, 2 * y - 1, tmp_path / "right", steps=10) == []


class Through(nn.Module):
    """A net of three inputs whose outputs go through a function that is no module."""

    def __init__(self, function, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, outputs))
        self.function = function

    def forward(self, x):
        return self.function(self.body(x))


def regression():
    torch.manual_seed(3)
    x = torch.randn(256, 3)
    return x, 1.5 * (x[:, :1] + 0.3 * x[:, 1:2])


@pytest.mark.parametrize("function", [torch.tanh, lambda out: out.clamp(-1, 1)])
def test_a_function_that_ends_below_the_targets(function, tmp_path):
    (message,) = said(Through(function, 1), nn.MSELoss(), *regression(), tmp_path / "run", steps=220)
    assert "squashing function gives only -1 to 1" in message


def test_targets_within_its_reach_and_a_net_without_one_are_let_be(tmp_path):
    x, y = regression()
    assert said(Through(torch.tanh, 1), nn.MSELoss(), x, torch.tanh(y), tmp_path / "within", steps=220) == []
    assert said(Through(lambda out: out, 1), nn.MSELoss(), x, y, tmp_path / "open", steps=220) == []


def test_squashed_scores_of_classes_and_scores_that_are_only_scaled(tmp_path):
    x, y = regression()
    labels = torch.bucketize(y[:, 0], torch.tensor([-1.0, 0.0, 1.0]))
    (message,) = said(Through(torch.tanh, 4), nn.CrossEntropyLoss(), x, labels, tmp_path / "squashed", steps=220)
    assert "after a squashing function" in message
    # While they are small they lie within -1 and 1, and what the module gives does not.
    assert said(Through(lambda out: 0.05 * out, 4), nn.CrossEntropyLoss(), x, labels, tmp_path / "scaled") == []
