"""Weights that do not change: frozen as PyTorch made them (not pretrained), or too coarse for their steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signal import at_rest
from probes.diagnosis.signs.untrained import untrained
from probes.diagnosis.view import RunView


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(8, 32, batch_first=True)

    def forward(self, images):
        return self.cell(images.flatten(1, 2))[0][:, -1]


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())


def convolutions():
    body = nn.Sequential(nn.Conv2d(1, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.Flatten())
    for layer in (body[0], body[3]):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return body


BODIES = [dense, convolutions, lambda: nn.Sequential(Rows())]


def trained(model, run_dir=None, steps=30, noisy=False, rate=0.1, given=False):
    """Train on a rule that can be learned, or on labels drawn by lot; watched when there is a run directory.

    The optimizer is given all parameters, or those alone that require a gradient.
    """
    torch.manual_seed(1)
    parameters = [p for p in model.parameters() if p.requires_grad or given]
    optimizer = torch.optim.SGD(parameters, lr=rate)
    pictures = torch.randn(64, 1, 8, 8)
    labels = torch.randint(0, 4, (64,)) if noisy else (pictures[:, 0, :2, :2].flatten(1)).argmax(1)
    probe = probes.watch(model, optimizer, run_dir=run_dir, every=10) if run_dir else None
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if probe:
            probe.log("train", loss=loss)
    if probe:
        probe.close()
    return model


def with_head(body):
    width = body(torch.randn(2, 1, 8, 8)).shape[1]
    return nn.Sequential(body, nn.Linear(width, 4))


def frozen(model):
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("body", BODIES)
def test_layers_frozen_as_they_were_made_are_untrained(body, tmp_path):
    torch.manual_seed(0)
    model = frozen(with_head(body()))
    trained(model, tmp_path / "run", steps=12)
    found = untrained(RunView.of_run(probes.open_run(tmp_path / "run")))
    expected = {name for name, p in model.named_parameters() if p.dim() > 1 and not p.requires_grad}
    assert {p.name for p in found} == expected


@pytest.mark.parametrize("body", BODIES)
def test_layers_frozen_after_a_training_are_not(body, tmp_path):
    torch.manual_seed(0)
    model = frozen(trained(with_head(body())))
    trained(model, tmp_path / "run", steps=12)
    assert untrained(RunView.of_run(probes.open_run(tmp_path / "run"))) == ()


def test_frozen_layers_that_follow_another_net_are_not(tmp_path):
    torch.manual_seed(0)
    model = frozen(with_head(dense()))
    model[0].register_forward_pre_hook(lambda module, inputs: [p.mul_(0.999) for p in module.parameters()] and None)
    trained(model, tmp_path / "run", steps=12)
    assert untrained(RunView.of_run(probes.open_run(tmp_path / "run"))) == ()


@pytest.mark.parametrize(("noisy", "said"), [(True, ["warning"]), (False, ["info"])])
def test_the_rule_warns_where_the_net_is_poor(noisy, said, tmp_path):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 4 if noisy else 256), nn.ReLU())
    trained(frozen(with_head(body)), tmp_path / "run", steps=110, noisy=noisy, rate=0.1 if noisy else 2.0)
    (finding,) = probes.diagnose(tmp_path / "run", ["parameters-not-updated"]).findings
    assert [finding.severity] == said
    assert "as they were initialised" in finding.message


@pytest.mark.parametrize(
    ("body", "given", "said"),
    [
        (dense, True, ["warning"]),  # two layers, and the optimizer is meant to train them
        (dense, False, ["info"]),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU()), True, ["info"]),  # one of random features
        (Rows, True, ["info"]),  # a reservoir
    ],
)
def test_layers_that_the_optimizer_is_given_are_meant_to_be_trained(body, given, said, tmp_path):
    torch.manual_seed(0)
    trained(frozen(with_head(body())), tmp_path / "run", steps=30, noisy=True, given=given)
    run = probes.open_run(tmp_path / "run")
    assert probes.diagnose(run, ["parameters-not-updated"], at_step=9).findings[0].severity == "info"
    assert [f.severity for f in probes.diagnose(run, ["parameters-not-updated"], at_step=20).findings] == said


@pytest.mark.parametrize(
    ("waves", "given", "said"),
    [(2.0, True, "warning"), (2.0, False, "info"), (0.3, True, "info")],  # for a slow one random features are enough
)
def test_a_regression_is_held_to_the_variance_of_its_targets(waves, given, said, tmp_path):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
    model = frozen(nn.Sequential(body, nn.Linear(48, 1)))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad or given], lr=1e-2)
    x = torch.randn(256, 6)
    y = (waves * x[:, :1]).sin() + x[:, 1:2]
    y = (y - y.mean()) / y.std()
    with probes.watch(model, optimizer, run_dir=tmp_path / "run", every=50, loss_fn=nn.MSELoss()) as probe:
        for _ in range(400):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    (finding,) = probes.diagnose(tmp_path / "run", ["parameters-not-updated"]).findings
    assert finding.severity == said


@pytest.mark.parametrize(("body", "said"), [(convolutions, "warning"), (dense, "info")])
def test_a_body_without_its_training_holds_back_a_loss_that_still_falls(body, said, tmp_path):
    torch.manual_seed(0)
    trained(frozen(with_head(body())), tmp_path / "run", steps=110, rate=0.003)
    run = probes.open_run(tmp_path / "run")
    assert not at_rest(run.series("train/loss").values)
    assert [f.severity for f in probes.diagnose(run, ["parameters-not-updated"]).findings] == [said]
    assert [f.severity for f in probes.diagnose(run, ["parameters-not-updated"], at_step=105).findings] == ["info"]


def test_a_pretrained_body_that_the_optimizer_is_given_is_not_reported(tmp_path):
    torch.manual_seed(0)
    trained(frozen(trained(with_head(dense()))), tmp_path / "run", steps=30, noisy=True, given=True)
    assert probes.diagnose(tmp_path / "run", ["parameters-not-updated"], at_step=20).findings == []


def test_a_pretrained_body_under_a_poor_head_is_not_reported(tmp_path):
    torch.manual_seed(0)
    model = frozen(trained(with_head(dense())))
    trained(model, tmp_path / "run", steps=110, noisy=True)
    assert probes.diagnose(tmp_path / "run", ["parameters-not-updated"]).findings == []


@pytest.mark.parametrize(
    ("kind", "rate", "said"),
    [(torch.bfloat16, 1e-3, ["warning"]), (torch.bfloat16, 1.0, []), (torch.float32, 1e-3, [])],
)
def test_steps_that_half_precision_rounds_away(kind, rate, said, tmp_path):
    torch.manual_seed(0)
    model = with_head(dense()).to(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    pictures, labels = torch.randn(32, 1, 8, 8), torch.randint(0, 4, (32,))
    with probes.watch(model, optimizer, run_dir=tmp_path / "run", every=20) as probe:
        for _ in range(110):
            loss = nn.functional.cross_entropy(model(pictures.to(kind)).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    findings = probes.diagnose(tmp_path / "run", ["parameters-not-updated"]).findings
    assert [finding.severity for finding in findings] == said
    assert all("rounded away" in finding.message for finding in findings)
