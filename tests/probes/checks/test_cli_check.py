"""`babysit check` as a process: exit codes, stdout with --json, and errors in the user's file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from probes.cli import main

START = "import sys; from probes.cli import main; sys.exit(main())"

USER_FILE = """
import os
import torch
from torch import nn

print("importing")

def good():
    print("noise on stdout")
    os.write(1, b"noise below Python\\n")
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    return model, nn.CrossEntropyLoss(), (x, x[:, :3].argmax(1))

def as_dict():
    model, loss_fn, data = good()
    return {"model": model, "loss_fn": loss_fn, "data": data, "seed": 3}

def bad():
    model, loss_fn, data = good()
    with torch.no_grad():
        model[2].weight.mul_(1000)
    return model, loss_fn, data

def custom():
    model, _, data = good()
    return model, (lambda o, t: (o ** 4).mean()), data

def two():
    return 1, 2

def nothing():
    pass

def raises():
    return inner()

def inner():
    raise RuntimeError("the disk is upside down")

def needs(arguments):
    return good()

def unknown():
    return {**as_dict(), "bugdet": 3}

def partial():
    return {"model": good()[0]}

value = 3
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(USER_FILE)
    return path


def babysit(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )


@pytest.fixture
def here(user_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """here(*arguments) -> (exit code, stdout, stderr) of the command in this process: quicker, for errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["check", *arguments])
        except SystemExit as exit:
            code = int(exit.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


CHEAP = ("--checks", "initial-loss")


def test_a_good_file_passes_and_saves(here: Any, tmp_path: Path) -> None:
    code, out, err = here("mine.py:good", *CHEAP, "--run-dir", str(tmp_path / "run"))
    assert code == 0, err
    assert out.startswith("PASS  initial-loss") and "1 passed" in out
    assert json.loads((tmp_path / "run" / "checks.json").read_text())["ok"] is True


def test_json_is_the_only_thing_on_stdout(user_file: Path, tmp_path: Path) -> None:
    done = babysit("check", "mine.py:good", "--json", *CHEAP, cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"] is True and report["target"] == "mine.py:good"
    assert "noise on stdout" in done.stderr and "noise below Python" in done.stderr


def test_a_module_and_a_dict(here: Any) -> None:
    code, out, err = here("mine:as_dict", "--json", *CHEAP)
    assert code == 0, err
    assert json.loads(out)["subject"]["seed"] == 3
    assert json.loads(here("mine:as_dict", "--json", *CHEAP, "--seed", "5")[1])["subject"]["seed"] == 5


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mine.py", ["mine.py:FUNCTION"]),
        ("nowhere.py:f", ["no file nowhere.py"]),
        ("no_module_x:f", ["no module no_module_x"]),
        ("mine.py:absent", ["no function 'absent'", "good"]),
        ("mine.py:value", ["value", "int"]),
        ("mine.py:two", ["two() in mine.py", "2 things", "(model, loss_fn, data)"]),
        ("mine.py:nothing", ["nothing() in mine.py", "None"]),
        ("mine.py:needs", ["needs()", "without arguments"]),
        ("mine.py:unknown", ["bugdet", "budget"]),
        ("mine.py:partial", ["loss_fn, data"]),
        ("mine.py:raises", ["RuntimeError", "the disk is upside down"]),
        ("no-such-recipe", ["no-such-recipe"]),
        ("a b:c d", ["not a target"]),
    ],
)
def test_errors_are_one_line_and_exit_with_2(here: Any, target: str, words: list[str]) -> None:
    code, out, err = here(target)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("babysit check: error: ")
    assert all(word in last for word in words), last


def test_an_exception_of_the_user_shows_his_own_lines_only(here: Any) -> None:
    code, _, err = here("mine.py:raises")
    assert code == 2
    assert "in inner" in err and "mine.py" in err and "check_target" not in err


@pytest.mark.parametrize(
    "options", [("--checks", "nonsense"), ("--checks", ","), ("--budget", "-1"), ("--budget", "x")]
)
def test_bad_options(here: Any, options: tuple[str, ...]) -> None:
    code, _, err = here("mine.py:good", *options)
    assert code == 2 and "error" in err.splitlines()[-1]


def test_findings_exit_with_1(here: Any) -> None:
    code, out, _ = here("mine.py:bad", *CHEAP)
    assert code == 1
    assert out.startswith("FAIL") and "→" in out


def test_nothing_judged_exits_with_2(here: Any) -> None:
    code, out, _ = here("mine.py:custom", *CHEAP)
    assert code == 2 and "SKIP" in out


def test_a_recipe_by_name(here: Any) -> None:
    code, out, err = here("digits-mlp", "--checks", "initial-loss,gradient-check", "--json")
    assert code == 0, err
    assert [result["status"] for result in json.loads(out)["results"]] == ["pass", "pass"]


def test_a_recipe_with_a_fault_and_overrides(here: Any) -> None:
    """The same fault as in `babysit train --fault`, on a model that --set made smaller: 64*8+8 + 8*10+10 parameters."""
    options = ("--fault", "optimizer-misses-the-head", "--set", "model.widths=[8]", "--set", "model.norm=none")
    code, out, err = here("digits-mlp", *options, "--checks", "optimizer-covers-parameters", "--json")
    assert code == 1, err
    report = json.loads(out)
    assert report["subject"]["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert report["results"][0]["status"] == "fail" and "head.weight" in report["results"][0]["message"]
    assert here("digits-mlp", "--checks", "optimizer-covers-parameters")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("digits-mlp", "--fault", "nope"), ["faults.names", "'nope'", "dead-relu"]),
        (("digits-mlp", "--set", "model.nope=1"), ["model.nope=1", "widths"]),
        (("digits-mlp", "--fault", "exploding-rnn"), ["exploding-rnn", "recurrent"]),
        (("mine.py:good", "--fault", "dead-relu"), ["--fault", "mine.py:good", "recipe"]),
        (("mine.py:good", "--set", "optimizer.lr=1"), ["--set", "mine.py:good", "recipe"]),
        (("nowhere.toml",), ["nowhere.toml", "does not exist"]),
    ],
)
def test_bad_overrides_are_one_line_and_exit_with_2(here: Any, arguments: tuple[str, ...], words: list[str]) -> None:
    code, out, err = here(*arguments)
    assert (code, out) == (2, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("babysit check: error: ") and all(word in last for word in words), last
