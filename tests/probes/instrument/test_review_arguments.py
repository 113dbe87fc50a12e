"""Arguments that a real program gives and nobody thought of first."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.errors import InvalidArgumentError, MetricError, RunInUseError
from probes.instrument.manifest import describe_model, plain
from probes.instrument.modules import find_modules
from probes.instrument.parameters import list_parameters


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()


def manifest_of(run_dir: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    return manifest


# ---- log ----


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**10_000, Fraction(10**400)], ids=["a", "b", "c", "d"])
def test_a_number_no_float_holds_is_one_line(tmp_path: Path, value: object) -> None:
    with (
        probes.watch(small(), run_dir=tmp_path / "run") as probe,
        pytest.raises(MetricError, match=r"^metric 'train/x' is a (int of \d+ bits|Fraction): beyond .*1\.8e308\)$"),
    ):
        probe.log("train", x=value)


@pytest.mark.parametrize("split", [1, [1], None])
def test_a_split_that_is_no_name_is_one_line(tmp_path: Path, split: Any) -> None:
    with (
        probes.watch(small(), run_dir=tmp_path / "run") as probe,
        pytest.raises(MetricError, match=r'^the split must be a name such as "train", not '),
    ):
        probe.log(split, y=1.0)


def test_metrics_may_be_called_split_and_self(tmp_path: Path) -> None:
    with probes.watch(small(), run_dir=tmp_path / "run") as probe:
        probe.log("train", split=1, self=2)
    run = probes.open_run(tmp_path / "run")
    assert {"train/split", "train/self"} <= set(run.series_names)


# ---- config and name ----


class _Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _circle() -> dict[str, object]:
    circle: dict[str, object] = {"lr": 0.1}
    circle["me"] = [circle]
    return circle


def _deep() -> list[object]:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**70), str(-(2**70))),
        (np.int64(7), 7),
        (np.bool_(True), True),
        ("a\ud800b", "a?b"),
        ({"\ud800": 1}, {"?": 1}),
        (_Mute(), "<unprintable _Mute>"),
        ([1, _Mute()], [1, "<unprintable _Mute>"]),
        ({"m": {_Mute(): 1}, "n": 2}, {"m": "<unprintable dict>", "n": 2}),
        (_circle(), {"lr": 0.1, "me": ["<dict that contains itself>"]}),
        (Fraction(10**400), str(10**400)),
        (argparse.Namespace(a=argparse.Namespace(b=1)), {"a": {"b": 1}}),
    ],
)
def test_settings_become_what_json_holds(value: object, expected: object) -> None:
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)
    json.dumps(result).encode("utf-8")


def test_a_whole_number_too_long_to_write_out_is_described() -> None:
    assert plain(1 << 50_000) == "a whole number of 50001 bits"


def test_settings_nested_without_end_are_cut() -> None:
    assert "nested too deeply" in json.dumps(plain(_deep()))


def test_the_same_value_twice_is_no_circle() -> None:
    shared = [1, 2]
    assert plain({"a": shared, "b": shared}) == {"a": [1, 2], "b": [1, 2]}


@dataclasses.dataclass
class _Settings:
    lr: float = 0.1
    depth: int = 3


@pytest.mark.parametrize("config", [argparse.Namespace(lr=0.1, depth=3), _Settings()])
def test_config_as_programs_have_it(tmp_path: Path, config: object) -> None:
    probes.watch(small(), run_dir=tmp_path / "run", config=config, name="n\ud800").close()
    manifest = manifest_of(tmp_path / "run")
    assert (manifest["config"], manifest["name"]) == ({"lr": 0.1, "depth": 3}, "n?")


# ---- watch ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run_dir": 5}, "^run_dir must be a path, not a int$"),
        ({"run_dir": b"a"}, "^run_dir must be a path, not a bytes$"),
        ({"run_dir": ""}, "^run_dir is empty: give a directory"),
        ({"run_dir": "a\0b"}, r"^run_dir 'a\\x00b' cannot be a path"),
        ({"run_dir": "a\ud800b"}, r"^run_dir 'a\\ud800b' cannot be a path"),
        ({"name": 5}, "^name must be a text, not a int$"),
        ({"config": _Settings}, "^config must be a mapping"),
        ({"loss_fn": nn.MSELoss}, r"^loss_fn is the class MSELoss: give an instance: nn\.MSELoss\(\)$"),
        ({"every": np.bool_(True)}, "^every must be"),
        ({"step": True}, "^step must be"),
    ],
)
def test_arguments_that_cannot_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match=message):
        probes.watch(small(), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    every, step, budget = np.int64(5), np.int64(3), np.float32(0.5)
    with probes.watch(small(), run_dir=tmp_path / "run", every=every, step=step, budget=budget) as probe:  # type: ignore[arg-type]
        assert probe.step == 3
        probe.step = np.int64(2)  # type: ignore[assignment]
        assert type(probe.step) is int
    manifest = manifest_of(tmp_path / "run")
    assert (manifest["every"], manifest["budget"]) == (5, 0.5)
    assert [s["start_step"] for s in manifest["sessions"]] == [3, 2]


class _Accelerated(torch.optim.Optimizer):
    """Wraps an optimizer and never initialises itself as one."""

    def __init__(self, optimizer: object) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups  # type: ignore[attr-defined]

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)  # type: ignore[attr-defined]

    def step(self, closure: Any = None) -> None:
        self.optimizer.step()  # type: ignore[attr-defined]


def test_an_optimizer_that_wraps_another_is_followed(tmp_path: Path) -> None:
    model = small()
    optimizer = _Accelerated(_Accelerated(sgd(model)))
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        train(model, optimizer)
        assert probe.step == 3
    assert manifest_of(tmp_path / "run")["optimizers"][0]["class"] == "SGD"


class _Steps:
    def step(self) -> None:
        pass


@pytest.mark.parametrize("make", [_Steps, lambda: [_Steps()], lambda: _Accelerated(_Steps())])
def test_optimizers_that_cannot_be_followed_come_with_a_remedy(tmp_path: Path, make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="give the torch optimizer inside it, or None to follow any that"):
        probes.watch(small(), make(), tmp_path / "run")


def test_a_run_held_by_the_same_process_is_said_to_be(tmp_path: Path) -> None:
    with (
        probes.watch(small(), run_dir=tmp_path / "run"),
        pytest.raises(RunInUseError, match=r"this same process.*call close\(\) on the earlier probe"),
    ):
        probes.watch(small(), run_dir=tmp_path / "run")
    probes.watch(small(), run_dir=tmp_path / "run").close()


# ---- going back to a checkpoint ----


def test_going_back_keeps_what_was_learned(tmp_path: Path) -> None:
    model, loss = small(), nn.MSELoss()
    optimizer = sgd(model)
    with probes.watch(model, None, tmp_path / "run", every=1, loss_fn=loss) as probe:
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(torch.randn(5, 4)), torch.randn(5, 2)).backward()
            optimizer.step()
        probe.step = 1
    manifest = manifest_of(tmp_path / "run")
    assert [m["name"] for m in manifest["model"]["modules"]] == ["0", "1", "2"]
    assert manifest["model"]["input_shape"] == [4]
    assert [o["class"] for o in manifest["optimizers"]] == ["SGD"]
    assert manifest["data"] != {}


def test_a_fork_that_goes_back_leaves_the_run_alone(tmp_path: Path) -> None:
    model = small()
    optimizer = sgd(model)
    with probes.watch(model, optimizer, tmp_path / "run") as probe:
        train(model, optimizer)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            same = False
            try:
                writer = probe._engine.delivery.writer
                probe.step = 1
                same = probe._engine.delivery.writer is writer and probe._engine._frames_wanted
            finally:
                os.write(write, b"same" if same else b"else")
                os._exit(0)
        os.close(write)
        answer = os.read(read, 4)
        os.close(read)
        os.waitpid(child, 0)
        assert answer == b"same"
    assert len(manifest_of(tmp_path / "run")["sessions"]) == 1


# ---- names ----


class _Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.module(x))
        return out


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel])
def test_watched_modules_have_the_names_of_their_parameters(wrap: Callable[[nn.Module], nn.Module]) -> None:
    watched, _ = find_modules(wrap(_Holder()))
    assert [one.name for one in watched] == ["module", "head"]


@pytest.mark.parametrize(
    "wrap", [lambda m: m, nn.DataParallel, torch.compile, lambda m: nn.DataParallel(torch.compile(m))]
)
def test_an_attribute_called_module_keeps_its_name(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = wrap(_Holder())
    watchlist = list_parameters(model)
    assert watchlist.names == ["module.weight", "module.bias", "head.weight", "head.bias"]
    described: Any = describe_model(model, watchlist, [], {}, [])
    assert described["class"] == "_Holder"
    assert [p["module"] for p in described["parameters"]] == ["module", "module", "head", "head"]
