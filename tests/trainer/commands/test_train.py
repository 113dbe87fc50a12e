"""The command as a person types it: real processes, exit codes, one-line errors."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
import torch

from trainer.__main__ import main
from trainer.recipe import recipe_names

FAST = ["--no-probes", "--set", "training.threads=1"]


def babysit_train(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Calls the command within this process: -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["python -m trainer", *arguments])
        try:
            code = main()
        except SystemExit as exit_:  # argparse's own errors
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_list_names_every_recipe(here):
    code, out, err = here("--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == recipe_names()


def test_an_error_is_one_line_on_stderr_of_the_process(tmp_path):
    done = babysit_train("digits-cn", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown recipe 'digits-cn'") and done.stderr.count("\n") == 1


def test_a_training_ends_with_one_line_and_a_run(small_recipe, here, tmp_path):
    code, out, err = here(small_recipe(), *FAST, "--epochs", "1", "--seed", "3")
    assert (code, err) == (0, "")  # no progress bar without a terminal
    (line,) = out.splitlines()
    run_dir = tmp_path / line.rpartition("run: ")[2]
    assert "validation accuracy" in line and run_dir.parent == tmp_path / "runs"
    assert "epochs = 1" in (run_dir / "recipe.toml").read_text()
    assert "seed = 3" in (run_dir / "recipe.toml").read_text()


def read_all(descriptor: int) -> bytes:
    """What was written to our end of a terminal until the other end was closed."""
    shown = b""
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            piece = b""
        if not piece:
            return shown
        shown += piece


def test_ctrl_c_saves_a_checkpoint_from_which_training_goes_on(small_recipe, here, tmp_path):
    """A real process on a real terminal, with its progress bar."""
    terminal, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))
    command = [sys.executable, "-m", "trainer", small_recipe(), *FAST, "--epochs", "2000", "--run-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.append(read_all(terminal)))
    reader.start()
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    reader.join(timeout=60)
    os.close(terminal)
    assert process.returncode == 130
    assert "interrupted, continue with: babysit train --resume --run-dir run" in output
    assert b"/44000 [" in shown[0] and b"val loss" in shown[0] and b"Traceback" not in shown[0]

    def progress() -> dict[str, int]:
        return torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["progress"]

    stopped = progress()
    assert 0 < stopped["step"] < 2000 * 22
    more = stopped["epoch"] + 2
    code, _, err = here("--resume", "--run-dir", "run", "--no-probes", "--epochs", str(more))
    assert (code, err) == (0, "")
    assert progress()["epoch"] == more and progress()["step"] == more * 22


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits-cn"], ["unknown recipe 'digits-cn'", "did you mean", "digits-cnn"]),
        (["none.toml"], ["none.toml does not exist"]),
        ([], ["no recipe named", "digits-cnn"]),
        (["digits-mlp", "--set", "optimizer.lr=x"], ["optimizer.lr", "'x'"]),
        (["digits-mlp", "--epochs", "0"], ["training.epochs", "at least 1"]),
        (["digits-mlp", "--resume"], ["--run-dir"]),
        (["digits-mlp", "--resume", "--run-dir", "none"], ["nothing to resume"]),
        (["--resume", "--run-dir", "none"], ["recipe.toml", "does not exist"]),
        (["digits-mlp", "--run-dir", "a-file"], ["a-file", "is a file"]),
        (["digits-mlp", "--run-dir", "a-run"], ["a-run holds a run already", "--resume"]),
        (["digits-mlp", "--folds", "1"], ["--folds 1", "from 2"]),
        (["digits-mlp", "--repeats", "2"], ["--repeats", "--folds"]),
        (["digits-mlp", "--folds", "3", "--repeats", "0"], ["--repeats 0", "from 1"]),
        (["wine-mlp", "--folds", "100", "--run-dir", "none"], ["fold.of = 100", "smallest class has only 48"]),
        (["digits-mlp", "--set", "training.precision=fp8"], ["training.precision", "'fp8'", "bf16, fp16, fp32"]),
        (["digits-mlp", "--set", "training.l1=-1"], ["training.l1", "-1", "at least 0"]),
        (["digits-mlp", "--set", "fold.off=5"], ["fold.off", "unknown key", "'of'"]),
        (["digits-mlp", "--set", "schedule.name=plateau", "--set", "schedule.gamma=1"], ["schedule.gamma", "below 1"]),
        (["digits-mlp", "--set", "training.batch_size=5000"], ["batch_size = 5000", "training examples"]),
        (["digits-mlp", "--set", 'training.augment=["flop"]'], ["training.augment", "did you mean 'flip'"]),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(arguments, words, here, tmp_path):
    (tmp_path / "a-file").write_text("")
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "recipe.toml").write_text("")
    code, out, err = here(*arguments, "--no-probes")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    for word in words:
        assert word in line
    assert sorted(p.name for p in tmp_path.iterdir()) in (["a-file", "a-run"], ["a-file", "a-run", "runs"])


@pytest.mark.parametrize("every", ["0", "-3", "often"])
def test_a_cadence_that_cannot_be_meant(every, here):
    code, _, err = here("digits-mlp", "--every", every)
    assert code == 2 and "allowed: auto, or a whole number" in err


def test_folds_end_with_mean_and_deviation(here, tmp_path):
    """Then, from the folder alone, nothing is left to do and the same is said again."""
    code, out, err = here("wine-mlp", *FAST, "--epochs", "2", "--folds", "3", "--run-dir", "cv")
    assert (code, err) == (0, "")
    *folds, last = out.splitlines()
    scores = [float(re.search(r"accuracy ([\d.]+)", line)[1]) for line in folds]
    assert [line.split(":")[0] for line in folds] == ["fold-1", "fold-2", "fold-3"]
    mean, deviation = map(float, re.search(r"accuracy ([\d.]+) \+- ([\d.]+)", last).groups())
    assert mean == pytest.approx(statistics.mean(scores), abs=2e-4)
    assert deviation == pytest.approx(statistics.stdev(scores), abs=2e-4)
    assert "wine-mlp, 3 folds:" in last and last.endswith("runs: cv")
    code, out, err = here("--resume", "--run-dir", "cv", *FAST)
    assert (code, err) == (0, "") and out.splitlines() == [last.replace("wine-mlp", "cv")]


def test_averages_of_the_last_checkpoints_are_said(small_recipe, here):
    code, out, _ = here(small_recipe(), *FAST, "--epochs", "2", "--set", "training.average_last=3")
    weights, predictions, _ = out.splitlines()
    assert code == 0
    assert weights.startswith("average of the weights of the last 2 epochs: accuracy 0.")
    assert predictions.startswith("average of the predictions of the last 2 epochs: accuracy 0.")
