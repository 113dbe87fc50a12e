"""Two real processes started by torchrun against one, interrupted and resumed; shares and refusals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import probes
from trainer import assembly, commands
from trainer.__main__ import main
from trainer.batches import Batches
from trainer.distributed import Processes
from trainer.errors import RecipeError
from trainer.loop import train
from trainer.recipe import load_recipe
from trainer.tasks import Examples

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def torchrun(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *arguments],
        cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def done(process: subprocess.Popen[str], returncode: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=400)
    assert process.returncode == returncode, errors[-4000:]
    return output, errors


def saved(run_dir: Path) -> dict:
    return torch.load(run_dir / "checkpoint.pt", weights_only=True)


def test_two_processes_reach_the_result_of_one(small_recipe, tmp_path):
    """The same losses at every step, validation, weights; one run directory that both wrote to."""
    settings = ["model.dropout=0.0", "training.clip_norm=1.0", "training.l1=0.0001", "training.average_last=2"]
    alone = train(load_recipe(small_recipe(), settings), tmp_path / "alone", every=10)
    options = [word for setting in settings for word in ("--set", setting)]
    process = torchrun("trainer", small_recipe(), *options, "--every", "10", "--run-dir", "together", cwd=tmp_path)
    output, errors = done(process)
    first, second, last = output.splitlines()  # once, not twice
    for line, what in ((first, "weights"), (second, "predictions")):
        loss, score = alone.averages[what]
        assert line == f"average of the {what} of the last 2 epochs: accuracy {score:.4f}, loss {loss:.4f}"
    assert f"validation accuracy {alone.score:.4f}, loss {alone.loss:.4f} after 3 epochs (66 steps)" in last
    assert "babysit" not in errors and "Traceback" not in errors

    one, two = probes.open_run(tmp_path / "alone"), probes.open_run(tmp_path / "together")
    assert (two.status, two.ranks, two.problems) == ("finished", [0, 1], [])
    for name in ("train/loss", "train/accuracy", "train/l1_penalty", "val/loss", "val/accuracy", "optimizer/lr"):
        np.testing.assert_array_equal(two.series(name).steps, one.series(name).steps)
        np.testing.assert_allclose(two.series(name).values, one.series(name).values, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(two.series("train/loss", rank=1).values, two.series("train/loss").values)
    norms = one.layer_series("grad_norm")
    assert two.layer_series("grad_norm").layers == norms.layers
    np.testing.assert_allclose(two.layer_series("grad_norm").values, norms.values, rtol=1e-3, atol=1e-6)
    for name, value in saved(tmp_path / "alone")["model"].items():
        torch.testing.assert_close(saved(tmp_path / "together")["model"][name], value, rtol=1e-4, atol=1e-5)
    rest = train(load_recipe(small_recipe(), [*settings, "training.epochs=4"]), tmp_path / "together", resume=True)
    assert rest.steps == 88  # one process goes on with what two began


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(small_recipe, tmp_path):
    """Dropout on: each process has random numbers of its own, and gets them back."""
    options = [small_recipe(), "--no-probes", "--set", "schedule.name=constant"]
    process = torchrun("probes", "train", *options, "--epochs", "5000", "--run-dir", "parts", cwd=tmp_path)
    deadline = time.monotonic() + 400
    while not (tmp_path / "parts" / "checkpoint.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=400)
    assert output.count("interrupted, continue with: babysit train --resume --run-dir parts") == 1
    stopped = saved(tmp_path / "parts")
    assert 0 < stopped["progress"]["step"] < 5000 * 22
    assert len(stopped["rng"]) == 2 and not stopped["rng"][0].equal(stopped["rng"][1])

    epochs = str(stopped["progress"]["epoch"] + 2)
    done(torchrun("trainer", "--resume", "--run-dir", "parts", "--no-probes", "--epochs", epochs, cwd=tmp_path))
    done(torchrun("trainer", *options, "--run-dir", "whole", "--epochs", epochs, cwd=tmp_path))
    ours, theirs = saved(tmp_path / "parts"), saved(tmp_path / "whole")
    assert ours["progress"] == theirs["progress"]
    assert all(value.equal(ours["model"][name]) for name, value in theirs["model"].items())
    assert all(a.equal(b) for a, b in zip(ours["rng"], theirs["rng"], strict=True))


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("problem", ["optimizer.lr=x", "training.batch_size=33"])
def test_an_error_is_said_once(rank, problem, tmp_path, monkeypatch, capsys):
    @contextlib.contextmanager
    def joined() -> Iterator[Processes]:
        yield processes()

    def processes() -> Processes:
        return Alone(rank, 2)

    class Alone(Processes):  # what needs the other process answers for it
        def first(self, action):
            return action()

    monkeypatch.setattr(commands.train, "joined", joined)
    monkeypatch.setattr(assembly, "processes", processes)
    monkeypatch.setattr(sys, "argv", ["-m trainer", "digits-mlp", "--run-dir", str(tmp_path / "run"), "--set", problem])
    assert main() == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.count("\n") == (1 if rank == 0 else 0)
    assert not (tmp_path / "run").exists()


def test_the_shares_make_up_the_batch_of_one_process():
    examples = Examples(torch.randn(60, 1, 4, 4), torch.arange(60))
    options = {"seed": 3, "augmentations": ["flip", "noise"]}
    whole = Batches(examples, 12, **options)
    shares = [Batches(examples, 12, **options, processes=Processes(rank, 3)) for rank in range(3)]
    for (inputs, targets), *parts in zip(whole.epoch(1), *(s.epoch(1) for s in shares), strict=True):
        assert torch.cat([part[0] for part in parts]).equal(inputs)
        assert torch.cat([part[1] for part in parts]).equal(targets)
        assert {len(part[1]) for part in parts} == {4}


@pytest.mark.parametrize(
    ("count", "batch_size", "drop_last", "words"),
    [
        (60, 10, True, ["training.batch_size = 10", "multiple of 4"]),
        (62, 12, False, ["last batch", "2 examples", "drop_last"]),
        (10, 12, False, ["last batch", "10 examples"]),
    ],
)
def test_batches_without_equal_shares_are_refused(count, batch_size, drop_last, words):
    examples = Examples(torch.zeros(count, 1), torch.zeros(count))
    with pytest.raises(RecipeError) as error:
        Batches(examples, batch_size, drop_last=drop_last, processes=Processes(0, 4))
    assert all(word in str(error.value) for word in words)
    Batches(examples, batch_size, drop_last=drop_last)  # alone it is fine
