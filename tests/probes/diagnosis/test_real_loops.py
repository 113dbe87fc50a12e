"""Loops as people write them, recorded by the real probes at their own cadence: what healthy ones must not set off."""

from __future__ import annotations

import pytest
import torch
from models import mlp
from torch import nn
from trainings import digits

import probes


def noise(path):
    """Rules that report a warning or worse on the run at ``path``, with their messages."""
    return [(f.rule, f.message) for f in probes.diagnose(path).findings if f.severity != "info"]


def batches(steps, size=64):
    inputs, targets = digits()
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(0, 1400, (size,), generator=generator)
        yield inputs[rows], targets[rows]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_gradient_scaler_that_finds_its_scale(tmp_path):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=20)
    skipped = 0
    with probes.watch(model, optimizer, run_dir=tmp_path / "run") as probe:
        for x, y in batches(80):
            loss = 1e4 * nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            before = scaler.get_scale()
            scaler.update()
            skipped += scaler.get_scale() < before
            optimizer.zero_grad()
            probe.log("train", loss=loss)
    assert skipped >= 2, "the loop must really skip steps"
    assert noise(tmp_path / "run") == []


def test_fine_tuning_a_head_on_a_frozen_body(tmp_path):
    model = mlp(3)
    for parameter in list(model.parameters())[:-2]:
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    with probes.watch(model, optimizer, run_dir=tmp_path / "run") as probe:
        for x, y in batches(120):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    assert noise(tmp_path / "run") == []


def test_gradient_accumulation_with_clipping(tmp_path):
    model = mlp(2, norm="batch")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir=tmp_path / "run") as probe:
        for number, (x, y) in enumerate(batches(240, 16), 1):
            loss = nn.functional.cross_entropy(model(x), y)
            (loss / 4).backward()
            if number % 4 == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                probe.log("train", loss=loss)
    assert noise(tmp_path / "run") == []


def test_a_small_adversarial_pair(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.maker = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64))
            self.judge = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

        def forward(self, codes):
            return self.judge(self.maker(codes))

    pair = Pair()
    makers = torch.optim.Adam(pair.maker.parameters(), lr=1e-3, betas=(0.5, 0.99))
    judges = torch.optim.Adam(pair.judge.parameters(), lr=1e-3, betas=(0.5, 0.99))
    score = nn.functional.binary_cross_entropy_with_logits
    with probes.watch(pair, [makers, judges], run_dir=tmp_path / "run") as probe:
        for x, _ in batches(150, 32):
            real, codes = x.flatten(1), torch.randn(32, 8)
            fake = pair.judge(pair.maker(codes).detach())
            loss_d = score(pair.judge(real), torch.ones(32, 1)) + score(fake, torch.zeros(32, 1))
            judges.zero_grad()
            loss_d.backward()
            judges.step()
            loss_g = score(pair(codes), torch.ones(32, 1))
            makers.zero_grad()
            loss_g.backward()
            makers.step()
            probe.log("train", loss_d=loss_d, loss_g=loss_g)
    assert noise(tmp_path / "run") == []


def test_a_loss_given_to_watch_and_summed_is_found_at_the_first_step(tmp_path):
    model, loss_fn = mlp(), nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with probes.watch(model, optimizer, run_dir=tmp_path / "run", loss_fn=loss_fn) as probe:
        for x, y in batches(40):
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)
    report = probes.diagnose(tmp_path / "run")
    assert [f.rule for f in report.findings if f.first_step == 1] == ["unexpected-initial-loss"]


def test_a_run_that_is_still_being_written_is_judged_as_far_as_it_has_come(tmp_path):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir=tmp_path / "run") as probe:
        for x, y in batches(60):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)
        report = probes.diagnose(tmp_path / "run")
        assert report.status == "running"
        assert report.ok
    assert probes.diagnose(tmp_path / "run").status == "finished"
