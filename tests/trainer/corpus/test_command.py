"""`python -m trainer.corpus` for real: three trainings, killed in between and gone on with."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import probes
from trainer.corpus.__main__ import main

THREE = "blobs-softmax.as-it-is.*"
COMMAND = [sys.executable, "-m", "trainer.corpus", "--only", THREE, "--jobs", "1"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def outcomes(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/outcome.json"))


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "corpus.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_gone_on_with(how, tmp_path):
    first = subprocess.Popen([*COMMAND, "--out", str(tmp_path)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not outcomes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.005)
    first.send_signal(how)
    assert first.wait(60) == (130 if how == signal.SIGTERM else -signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in outcomes(tmp_path)}
    assert 1 <= len(kept) < 3

    subprocess.run([*COMMAND, "--out", str(tmp_path)], env=ENVIRONMENT, check=True, timeout=240)
    assert len(outcomes(tmp_path)) == 3
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())
    found = table(tmp_path)
    assert [row["name"] for row in found] == [f"blobs-softmax.as-it-is.{seed}" for seed in range(3)]
    for row in found:
        assert (row["healthy"], row["part"], row["fault"]) == ("1", "locked", "")
        run = probes.open_run(tmp_path / row["name"])
        assert run.status == "finished"
        assert len(run.series("train/loss").steps) == int(row["steps"]) == 210
        assert run.series("val/accuracy").values[-1] == pytest.approx(float(row["score"]), abs=1e-4)


def test_a_fault_that_does_not_fit_is_noted_and_the_exit_code_says_so(tmp_path, monkeypatch):
    from trainer.corpus import faulty

    monkeypatch.setitem(faulty.PLACES, "deep-plain", "blobs-softmax")
    assert main(["--out", str(tmp_path), "--only", "blobs-softmax.deep-plain.0", "--jobs", "1"]) == 1
    (row,) = table(tmp_path)
    assert "model.widths" in row["note"] and row["harmed"] == ""


def test_list(capsys):
    assert main(["--list", "--part", "dev", "--only", "wine-mlp.a*"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [f"dev     wine-mlp.as-it-is.{seed}" for seed in range(3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nothing"], "no planned run is called 'nothing'"),
        ([], "--out is missing"),
        (["--out", "x", "--jobs", "0"], "a whole number from 1"),
        (["--out", "x", "--part", "test"], "locked"),
    ],
)
def test_bad_input(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and words in capsys.readouterr().err


def test_an_outcome_is_json(tmp_path):
    assert main(["--out", str(tmp_path), "--only", "blobs-softmax.as-it-is.0", "--jobs", "1"]) == 0
    found = json.loads((tmp_path / "blobs-softmax.as-it-is.0" / "outcome.json").read_text())
    assert found["note"] == "" and found["guess"] == pytest.approx(0.25, abs=0.01)


def test_a_run_whose_probe_failed_is_noted_and_is_not_healthy(tmp_path, monkeypatch):
    """The training goes on as if nothing were, so the table has to say that the run tells little."""
    from probes.instrument import parameters

    def broken(*arguments, **options):
        raise ArithmeticError("no statistics today")

    monkeypatch.setattr(parameters, "norms", broken)
    assert main(["--out", str(tmp_path), "--only", "blobs-softmax.as-it-is.0", "--jobs", "1"]) == 1
    (row,) = table(tmp_path)
    assert "no statistics today" in row["note"] and row["healthy"] == "0" and row["score"] == ""
