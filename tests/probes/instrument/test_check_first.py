"""`watch(..., check_first=...)`: a training that cannot learn does not begin."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn

import probes
from probes.errors import BabysitError, InvalidArgumentError, SanityCheckError

QUICK = ["finite-forward-backward", "loss-output-pairing", "initial-loss", "optimizer-covers-parameters"]


@pytest.fixture
def parts():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 6, generator=generator)
    batches = [(inputs[i : i + 16], (inputs[i : i + 16, 0] > 0).long()) for i in range(0, 64, 16)]
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), batches


def train(model, optimizer, criterion, batches, run_dir, **options):
    losses = []
    with probes.watch(model, optimizer, run_dir, every=1, **options) as probe:
        for inputs, targets in batches * 5:
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            probe.log("train", loss=loss)
    return losses


def test_a_model_that_passes_is_trained_exactly_as_without_and_the_report_is_saved(tmp_path, parts):
    model, _, criterion, batches = parts
    twin = copy.deepcopy(model)
    torch.manual_seed(3)
    bare = train(twin, torch.optim.SGD(twin.parameters(), lr=0.1), criterion, batches, tmp_path / "bare")
    torch.manual_seed(3)
    state = torch.get_rng_state()
    checked = train(*parts, tmp_path / "run", check_first=(criterion, batches))
    assert torch.equal(torch.get_rng_state(), state)
    assert checked == bare
    run = probes.open_run(tmp_path / "run")
    report = run.checks()
    assert report["ok"] is True
    assert len(report["results"]) > 10
    assert report["subject"]["optimizer"] == ["SGD"]
    assert (run.status, len(run.series("train/loss"))) == ("finished", 20)


def test_a_check_that_fails_ends_it_before_the_first_step(tmp_path, parts):
    model, optimizer, criterion, batches = parts
    sick = nn.Sequential(model, nn.Softmax(dim=1))
    before = copy.deepcopy(sick.state_dict())
    missing = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with pytest.raises(SanityCheckError) as caught:
        probes.watch(sick, missing, tmp_path / "run", loss_fn=criterion, check_first={"data": batches, "checks": QUICK})
    said = str(caught.value)
    assert isinstance(caught.value, BabysitError)
    assert "\n" not in said and "the training has not begun" in said and str(tmp_path / "run" / "checks.json") in said
    run = probes.open_run(tmp_path / "run")
    failed = [result["check"] for result in run.checks()["results"] if result["status"] == "fail"]
    assert failed and all(f"{slug}: " in said for slug in failed)
    assert (run.status, run.last_step) == ("crashed", None)
    assert "SanityCheckError" in run.manifest["reason"]
    assert not sick._forward_pre_hooks and not model._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in sick.state_dict().items())
    # Mended, it goes on in the same directory.
    arguments = {"data": batches, "loss_fn": criterion, "checks": QUICK}
    train(model, optimizer, criterion, batches, tmp_path / "run", check_first=arguments)
    assert probes.open_run(tmp_path / "run").status == "finished"
    assert probes.open_run(tmp_path / "run").checks()["ok"] is True


def test_a_run_that_is_continued_is_not_checked_again(tmp_path, parts, caplog):
    criterion, batches = parts[2:]
    train(*parts, tmp_path / "run")
    with caplog.at_level(logging.INFO, "babysit"):
        train(*parts, tmp_path / "run", check_first=(criterion, batches))
    assert "continued from step 20: not checked again" in caplog.text
    assert probes.open_run(tmp_path / "run").checks() is None
    assert probes.open_run(tmp_path / "run").last_step == 40


def test_warnings_are_said_and_the_training_begins(tmp_path, parts, caplog, expects_complaints):
    criterion, batches = parts[2:]
    scaled = [(inputs * 2 + 5, targets) for inputs, targets in batches]
    arguments = {"data": scaled, "loss_fn": criterion, "checks": ["input-normalization"]}
    losses = train(*parts, tmp_path / "run", check_first=arguments)
    assert len(losses) == 20
    (result,) = probes.open_run(tmp_path / "run").checks()["results"]
    assert result["status"] == "warn"
    assert "sanity check input-normalization: " in caplog.text


def test_data_that_cannot_be_checked_is_an_error_that_leaves_nothing_attached(tmp_path, parts):
    model, optimizer, criterion, _ = parts
    with pytest.raises(BabysitError):
        probes.watch(model, optimizer, tmp_path / "run", check_first=(criterion, []))
    assert probes.open_run(tmp_path / "run").status == "crashed"
    assert not model._forward_pre_hooks
    probes.watch(model, optimizer, tmp_path / "run").close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "not a int"),
        ([1, 2], "not a list"),
        ((1, 2), "not a tuple"),
        ({"datta": 1}, "'datta' is none of loss_fn, data"),
        ({"data": 1, "run_dir": "x"}, "'run_dir' is none of"),
        ({"budget": 3}, "data is missing"),
        ({"data": [1]}, "loss_fn is missing"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_begins(tmp_path, parts, given, words):
    with pytest.raises(InvalidArgumentError) as caught:
        probes.watch(parts[0], parts[1], tmp_path / "run", check_first=given)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()
