"""A recognised loss and the logged one: judged by it where they agree, and only there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.manifest import read_loss
from probes.diagnosis.progress import guessing_loss
from probes.diagnosis.seen_loss import loss_as_logged
from probes.diagnosis.view import Curve, RunView

STEPS = np.arange(1, 301)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 300])
LOSS = 0.3 + 2.0 * np.exp(-STEPS / 80)
SEEN = {"class": "CrossEntropyLoss", "reduction": None, "weighted": False, "label_smoothing": 0.0, "through": None}


def view(logged: Curve, seen: np.ndarray | None = None, **manifest: object) -> RunView:
    facts = {
        "recognised_loss": SEEN,
        "data": {"classes": 10, "label_counts": [30] * 10, "output_shape": [32, 10]},
        **manifest,
    }
    seen = LOSS[FRAMES - 1] if seen is None else seen
    series = {"train/loss": (logged.steps, logged.values), "data/recognised": (FRAMES, seen)}
    return RunView.of_arrays(series, manifest=facts, status="finished")


@pytest.mark.parametrize(
    ("logged", "reduction"),
    [
        (Curve(STEPS, LOSS), "mean"),
        (Curve(STEPS - 1, LOSS), "mean"),  # logged before the optimizer steps
        (Curve(STEPS, 32 * LOSS), "sum"),
        (Curve(STEPS, LOSS + 0.03), "mean"),  # a small penalty
        (Curve(STEPS, LOSS + 4.0), None),  # a large one
        (Curve(STEPS, 10 * LOSS), None),
        (Curve(np.arange(30, 301, 30), LOSS.reshape(10, 30).mean(1)), "mean"),  # means of epochs
        (Curve(np.arange(30, 301, 30), 5.0 + LOSS.reshape(10, 30).mean(1)), None),
    ],
)
def test_the_reduction_is_that_of_the_log(logged: Curve, reduction: str | None):
    found = loss_as_logged(view(logged))
    assert (found.reduction if found is not None else None) == reduction
    assert guessing_loss(view(logged)) == (pytest.approx(math.log(10)) if reduction == "mean" else None)


def test_a_given_loss_is_taken_at_its_word():
    given = {"class": "CrossEntropyLoss", "reduction": "mean", "label_smoothing": 0.1}
    found = loss_as_logged(view(Curve(STEPS, LOSS + 4.0), loss=given, recognised_loss=None))
    assert found is not None
    assert (found.reduction, found.label_smoothing, found.recognised) == ("mean", 0.1, False)


def test_a_name_of_ones_own_gives_way_to_what_was_recognised():
    found = read_loss({"loss": {"class": "objective"}, "recognised_loss": SEEN})
    assert found is not None
    assert (found.name, found.recognised) == ("CrossEntropyLoss", True)
    found = read_loss({"loss": {"class": "MSELoss", "reduction": "mean"}, "recognised_loss": SEEN})
    assert found is not None
    assert (found.name, found.recognised) == ("MSELoss", False)
    found = read_loss({"loss": {"class": "objective"}, "recognised_loss": None})
    assert found is not None
    assert found.name == "objective"
    assert read_loss({"loss": None, "data": {}}) is None


@pytest.mark.parametrize(("penalty", "found"), [(0.0, True), (40.0, False)])
def test_a_high_beginning_counts_where_it_is_the_recognised_loss(penalty: float, found: bool):
    """A first loss of 20 is one of scores that are too large; with a penalty of 40 beside it, it may be right."""
    high = 2.3 + 18.0 * np.exp(-STEPS / 900)
    own = high if not penalty else LOSS
    run = view(Curve(STEPS, own + penalty), own[FRAMES - 1])
    report = judge(run, [RULES["unexpected-initial-loss"]])
    assert bool(report.findings) == found
    assert bool(report.not_judged) != found


def recorded(tmp_path: Path, *, mended: bool, kind: str) -> list[str]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    teacher = torch.randn(16, 6, generator=generator)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 6))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=5) as probe:
        for _ in range(200):
            x = torch.randn(32, 16, generator=generator)
            y = (x @ teacher).argmax(1)
            outputs = model(x)
            if kind == "softmax twice":
                loss = F.cross_entropy(outputs if mended else outputs.softmax(1), y)
            elif kind == "raw scores":
                loss = F.nll_loss(outputs.log_softmax(1) if mended else outputs, y)
            else:
                loss = F.cross_entropy(outputs, y, reduction="mean" if mended else "sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss.item())
    return [f.rule for f in probes.diagnose(tmp_path / "run").findings]


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("softmax twice", "loss-output-mismatch"),
        ("raw scores", "loss-output-mismatch"),
        ("sum", "unexpected-initial-loss"),
    ],
)
def test_told_without_a_loss_fn(kind: str, rule: str, tmp_path: Path):
    """The whole way, from a loop that gives nothing but model and optimizer; its mended twin stays silent."""
    assert rule in recorded(tmp_path / "ill", mended=False, kind=kind)
    assert recorded(tmp_path / "well", mended=True, kind=kind) == []


@pytest.mark.parametrize(("rewarded", "said"), [(False, ["warning"]), (True, [])])
def test_actions_are_no_targets(rewarded: bool, said: list[str], tmp_path: Path):
    """A policy gradient of rewards of one a step is the sum of a cross-entropy of the actions, which are drawn: that
    the likeliest is always the same is no fault.
    """
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([0.1, -0.1]))
        model.weight.mul_(0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    with probes.watch(model, optimizer, tmp_path / "run", every=10) as probe:
        for _ in range(150):
            states = 0.1 * torch.randn(int(torch.randint(100, 400, (1,))), 4)
            policy = torch.distributions.Categorical(logits=model(states))
            actions = policy.sample()
            loss = -policy.log_prob(actions).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss, **({"reward": float(len(actions))} if rewarded else {}))
    run = probes.open_run(tmp_path / "run")
    assert run.manifest["recognised_loss"]["class"] == "CrossEntropyLoss"
    found = probes.diagnose(run).findings
    assert [f.severity for f in found if f.rule == "constant-predictions"] == said


class Cosines(nn.Module):
    """Scaled cosines to one direction a class, of which a margin is taken off the label's angle (ArcFace)."""

    def __init__(self, margin: float, size: float = 30.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64))
        self.directions = nn.Parameter(torch.randn(8, 64))
        self.margin, self.size = margin, size

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cosines = F.linear(F.normalize(self.body(x)), F.normalize(self.directions)).clamp(-0.999, 0.999)
        return self.size * torch.cos(torch.acos(cosines) + self.margin * F.one_hot(labels, 8))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("margin", "size", "said"), [(0.5, 30.0, []), (0.0, 60.0, ["unexpected-initial-loss"])])
def test_a_margin_raises_the_first_loss_on_purpose(
    margin: float, size: float, said: list[str], given: bool, tmp_path: Path
):
    """Scores that are too large without one raise it by mistake."""
    torch.manual_seed(1)
    model, loss_fn = Cosines(margin, size), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=5, loss_fn=loss_fn if given else None) as probe:
        for _ in range(20):
            labels = torch.randint(8, (64,))
            loss = loss_fn(model(torch.randn(64, 16), labels), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").values[0] > 3.0 * math.log(8)
    assert [f.rule for f in probes.diagnose(run, ["unexpected-initial-loss"]).findings] == said
