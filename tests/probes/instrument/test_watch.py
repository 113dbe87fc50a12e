"""Arguments of `watch`, what `log` accepts, steps, and how runs end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.errors import InvalidArgumentError, MetricError, RunInUseError


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda m: {"model": "net"}, "model must be a torch.nn.Module, not a str"),
        (lambda m: {"model": nn.ReLU()}, "model ReLU has no parameters"),
        (lambda m: {"model": m, "optimizer": sgd(small())}, "holds none of the model's parameters"),
        (lambda m: {"model": m, "optimizer": []}, "optimizer is empty"),
        (lambda m: {"model": m, "optimizer": 0.1}, "must be a torch optimizer or several, not a float"),
        (
            lambda m: {"model": m, "optimizer": [sgd(m), "adam"]},
            "optimizer 1 must be a torch.optim.Optimizer",
        ),
        (lambda m: {"model": m, "every": 0}, "every must be"),
        (lambda m: {"model": m, "every": "often"}, "every must be"),
        (lambda m: {"model": m, "every": 2.5}, "every must be"),
        (lambda m: {"model": m, "budget": 0}, "budget must be a share"),
        (lambda m: {"model": m, "budget": 2.0}, "budget must be a share"),
        (lambda m: {"model": m, "budget": float("nan")}, "budget must be a share"),
        (lambda m: {"model": m, "loss_fn": 3}, "loss_fn must be a function or a module, not a int"),
        (lambda m: {"model": m, "config": ["lr"]}, "config must be a mapping"),
        (lambda m: {"model": m, "step": -1}, "step must be a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_touched(
    arguments: Callable[[nn.Module], dict[str, object]], message: str, tmp_path: Path
):
    model = small()
    with pytest.raises(InvalidArgumentError) as caught:
        probes.watch(**{"run_dir": tmp_path / "run", **arguments(model)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert not model._forward_pre_hooks


def test_one_run_directory_is_not_written_twice(tmp_path: Path):
    model = small()
    with probes.watch(model, sgd(model), tmp_path / "run"), pytest.raises(RunInUseError):
        probes.watch(model, sgd(model), tmp_path / "run")
    assert not model._forward_pre_hooks


def test_a_run_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model = small()
    with probes.watch(model, sgd(model)) as first, probes.watch(model, sgd(model)) as second:
        assert first.run_dir != second.run_dir
        assert first.run_dir.parent.name == "runs"
        assert first.run_dir.name.split("-", 2)[2] == "Sequential"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0), (0.5, 0.5), (True, 1.0), (np.float32(0.25), 0.25), (np.int64(3), 3.0), (np.array(2.0), 2.0),
        (np.array([7]), 7.0), (torch.tensor(1.5), 1.5), (torch.tensor([4]), 4.0), (torch.tensor(True), 1.0),
        (torch.tensor(2.5, requires_grad=True), 2.5), (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (float("inf"), float("inf")), (torch.tensor(float("-inf")), float("-inf")),
        (float("nan"), float("nan")),
    ],
)  # fmt: skip
def test_metrics_of_every_kind_of_number(value: object, expected: float, tmp_path: Path):
    model = small()
    with probes.watch(model, sgd(model), tmp_path / "run") as probe:
        probe.log("train", metric=value)
    np.testing.assert_array_equal(probes.open_run(tmp_path / "run").series("train/metric").values, [expected])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0.5", "the string '0.5'"), (None, "not None"),
        (torch.zeros(2, 3), "a float32 tensor of shape [2, 3]"),
        (torch.zeros(1, 1), "tensor of shape [1, 1]"), (np.zeros(3), "a float64 array of shape [3]"),
        ([1.0], "a list"), (1j, "a complex"), (torch.tensor(1j), "a complex64 tensor"), ({"a": 1}, "a dict"),
        (torch.zeros((), device="meta"), "a float32 tensor of shape []"),
        (np.array(["x"]), "array of shape [1]"),
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_refused_by_name(value: object, found: str, tmp_path: Path):
    model = small()
    with probes.watch(model, sgd(model), tmp_path / "run") as probe:
        with pytest.raises(MetricError) as caught:
            probe.log("train", loss=1.0, accuracy=value)
        assert "'train/accuracy'" in str(caught.value)
        assert found in str(caught.value)
        assert "\n" not in str(caught.value)
        probe.log("train", accuracy=0.5)
    assert probes.open_run(tmp_path / "run").series_names == ["train/accuracy"]


@pytest.mark.parametrize(
    ("split", "metric"),
    [("", "a"), ("a/b", "a"), (" train", "a"), (3, "a"), ("system", "a"), ("optimizer", "lr"), ("data", "x"),
     ("train", "a/b"), ("train", ""), ("train", "tab\t"), ("train", "x" * 201)],
)  # fmt: skip
def test_names_that_cannot_be_used(split: object, metric: str, tmp_path: Path):
    model = small()
    with probes.watch(model, sgd(model), tmp_path / "run") as probe, pytest.raises(MetricError):
        probe.log(split, **{metric: 1.0})


def test_steps_are_those_of_the_optimizer_and_log_uses_the_present_one(tmp_path: Path):
    model = small()
    optimizer = sgd(model)
    with probes.watch(model, optimizer, tmp_path / "run") as probe:
        probe.log("val", loss=9.0)
        for step in range(1, 4):
            train(model, optimizer, 1)
            assert probe.step == step
            probe.log("train", loss=step)
    run = probes.open_run(tmp_path / "run")
    assert run.series("val/loss").steps.tolist() == [0]
    assert run.series("train/loss").steps.tolist() == [1, 2, 3]
    assert run.series("train/loss").values.tolist() == [1, 2, 3]


def test_resuming_from_a_checkpoint_supersedes_what_came_after_it(tmp_path: Path):
    for start, label in ((0, 1.0), (6, 2.0)):
        model = small()
        optimizer = sgd(model)
        with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
            if start:
                assert probe.step == 10
                probe.step = start
            for _ in range(10 - start):
                train(model, optimizer, 1)
                probe.log("train", session=label)
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.series("train/session").steps.tolist() == list(range(1, 11))
    assert run.series("train/session").values.tolist() == [1.0] * 6 + [2.0] * 4
    steps = run.layer_series("grad_norm").steps
    assert steps.tolist() == list(range(1, 11))


def test_watch_can_be_told_the_step_it_goes_on_from(tmp_path: Path):
    model = small()
    optimizer = sgd(model)
    with probes.watch(model, optimizer, tmp_path / "run", step=500) as probe:
        train(model, optimizer, 2)
        assert probe.step == 502
    assert probes.open_run(tmp_path / "run").series("optimizer/lr").steps.tolist() == [501, 502]


def test_the_probe_says_how_the_run_ended(tmp_path: Path):
    model = small()
    with (
        pytest.raises(ZeroDivisionError, match="in the loop"),
        probes.watch(model, sgd(model), tmp_path / "run"),
    ):
        raise ZeroDivisionError("in the loop")
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == ("crashed", "ZeroDivisionError: in the loop")
    probe = probes.watch(model, sgd(model), tmp_path / "other")
    probe.close("crashed", "out of patience")
    probe.close()
    assert probes.open_run(tmp_path / "other").manifest["reason"] == "out of patience"
    for code, status, reason in ((0, "finished", None), (7, "crashed", "exit code 7"), ("x", "crashed", "exit code 1")):
        with pytest.raises(SystemExit), probes.watch(model, sgd(model), tmp_path / f"exit-{code}"):
            sys.exit(code)
        left = probes.open_run(tmp_path / f"exit-{code}")
        assert (left.status, left.manifest["reason"]) == (status, reason)
    with (
        probes.watch(model, sgd(model), tmp_path / "third") as probe,
        pytest.raises(InvalidArgumentError, match="status"),
    ):
        probe.close("done")


def test_nothing_is_left_behind(tmp_path: Path):
    model = small()
    optimizer = sgd(model)
    loss_fn = nn.MSELoss()
    model_state, optimizer_state = vars(model).keys(), dict(vars(optimizer))
    hooks = sys.excepthook, threading.excepthook, sys.exit
    handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    scaler_step = torch.amp.GradScaler.step
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    probe = probes.watch(model, optimizer, tmp_path / "run", every=1, loss_fn=loss_fn)
    discovering = probes.watch(model, run_dir=tmp_path / "discovering", every=1)
    train(model, optimizer)
    model(torch.randn(2, 4))  # hooks for the next frame are in place
    assert torch.amp.GradScaler.step is not scaler_step
    probe.close()
    discovering.close()
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    assert not _global_optimizer_pre_hooks
    assert not _global_optimizer_post_hooks
    for module in [*model.modules(), loss_fn]:
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert vars(model).keys() == model_state
    assert vars(optimizer).keys() == optimizer_state.keys()
    assert (sys.excepthook, threading.excepthook, sys.exit) == hooks
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert torch.amp.GradScaler.step is scaler_step
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= files
    reference, engine, net = weakref.ref(probe), weakref.ref(probe._engine), weakref.ref(model)
    del probe, discovering, model, optimizer, module
    gc.collect()
    assert reference() is None
    assert engine() is None
    assert net() is None


def test_a_forked_child_leaves_the_run_alone(tmp_path: Path):
    model = small()
    optimizer = sgd(model)

    class Data(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> torch.Tensor:
            model(torch.randn(5, 4)).sum().backward()  # a worker that uses the watched model
            sgd(model).step()
            optimizer.step()
            probe.log("train", loss=1e9)
            return torch.randn(4)

    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for batch in torch.utils.data.DataLoader(Data(), batch_size=4, num_workers=2, multiprocessing_context="fork"):
            optimizer.zero_grad()
            model(batch).sum().backward()
            optimizer.step()
            probe.log("train", loss=1.0)
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.series("train/loss").values.tolist() == [1.0, 1.0]
