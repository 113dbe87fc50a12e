"""What goes wrong on our side never reaches the training."""

from __future__ import annotations

import logging
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import probes
from probes.instrument import capture, parameters, sheet


def final_weights(watched_in: Path | None, steps: int = 6, wreck: object = None) -> torch.Tensor:
    """Trains a net; ``wreck(step)`` is called before each step."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    probe = probes.watch(model, optimizer, watched_in, every=1) if watched_in else None
    for step in range(steps):
        if callable(wreck):
            wreck(step)
        optimizer.zero_grad()
        loss = model(torch.randn(5, 4)).square().sum()
        loss.backward()
        optimizer.step()
        if probe is not None:
            probe.log("train", loss=loss)
    if probe is not None:
        probe.close()
    assert not model[0]._forward_hooks
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("home", "name"),
    [
        (capture, "sample_values"), (capture, "sample_output"), (sheet, "across_examples"),
        (parameters, "take_all"), (parameters, "norms"), (sheet.Sheet, "groups"), (sheet.Sheet, "strip"),
    ],
)  # fmt: skip
def test_an_exception_in_a_measurement_ends_the_frames_and_is_said_once(
    home: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, expects_complaints: None,
):  # fmt: skip
    expected = final_weights(None)
    original = getattr(home, name)
    broken = False

    def faulty(*args: object, **kwargs: object) -> object:
        if broken:
            raise ZeroDivisionError("made up")
        return original(*args, **kwargs)

    def wreck(step: int) -> None:
        nonlocal broken
        broken = step >= 3

    monkeypatch.setattr(home, name, faulty)
    assert torch.equal(final_weights(tmp_path / "run", wreck=wreck), expected)
    said = [r for r in caplog.records if r.name == "babysit" and r.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "ZeroDivisionError: made up" in said[0].getMessage()
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.series("train/loss").steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert run.layer_series("grad_norm").steps.tolist() == [1, 2, 3]
    (event,) = [e for e in run.events if e.kind == "probe-error"]
    assert event.step in (3, 4)  # before or after the fourth step was counted


def test_a_run_directory_that_disappears(tmp_path: Path, expects_complaints: None):
    expected = final_weights(None)

    def wreck(step: int) -> None:
        if step == 3:
            shutil.rmtree(tmp_path / "run")

    assert torch.equal(final_weights(tmp_path / "run", wreck=wreck), expected)


def test_a_full_disk(tmp_path: Path):
    """A limit on the size of files stands in for a full disk: every write beyond it fails."""
    script = textwrap.dedent("""
        import resource, signal, sys, torch, probes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        model = torch.nn.Linear(64, 64)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        probe = probes.watch(model, optimizer, sys.argv[1], every=1)
        for step in range(200):
            if step == 20:
                probe._engine.delivery.writer.flush()
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
            optimizer.zero_grad()
            loss = model(torch.randn(4, 64)).square().sum()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
        probe.close()
        print("trained", probe.step)
    """)
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, timeout=100
    )
    assert result.stdout == "trained 200\n", result.stderr
    assert "Traceback" not in result.stderr
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/loss").steps[:20].tolist() == list(range(1, 21))


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps(jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Set back or forth by an hour in mid-run: durations, frames and flushes go by another clock."""
    real, offset = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", budget=1.0) as probe:
        reader = probes.open_run(tmp_path / "run")

        def train(step: int) -> None:
            optimizer.zero_grad()
            model(torch.randn(5, 4)).square().sum().backward()
            optimizer.step()
            probe.log("train", step=step)

        for step in range(1, 200):
            train(step)
        offset = jump
        deadline = time.monotonic() + 60  # far less than the hour by which the clock went
        last = 199
        while last < 400 or _frames(reader, after=200) <= 5:
            assert time.monotonic() < deadline
            last += 1
            train(last)
        while "train/step" not in reader.series_names or len(reader.series("train/step")) < last:
            assert time.monotonic() < deadline  # a flush comes by itself
            reader.refresh()
    run = probes.open_run(tmp_path / "run")
    assert run.series("train/step").values.tolist() == list(range(1, last + 1))
    for name in ("step_time", "probe_time", "data_wait"):
        assert run.series(f"system/{name}").values.min() >= 0
        assert run.series(f"system/{name}").values.max() < 60


def _frames(reader: probes.Run, after: int) -> int:
    """Frames on disk of later steps than ``after``."""
    reader.refresh()
    if "grad_norm" not in reader.layer_kinds:
        return 0
    return int((reader.layer_series("grad_norm").steps > after).sum())


def test_memory_does_not_grow(tmp_path: Path):
    """Resident memory after many frames is that after a few, to within noise."""
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    inputs = torch.randn(32, 256)

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    with probes.watch(model, optimizer, tmp_path / "run", every=5) as probe:

        def steps(count: int) -> None:
            for _ in range(count):
                optimizer.zero_grad()
                loss = model(inputs).square().sum()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            probe._engine.delivery.writer.flush(30.0)

        steps(500)
        before = resident()
        steps(1500)
        assert resident() - before < 16 << 20
