"""The command line as a user meets it: a real process, its exit code and what it prints."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probes.cli.registry import COMMANDS


def babysit(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "probes", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_one_line_error(done: subprocess.CompletedProcess[str], *mentions: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for mention in mentions:
        assert mention in done.stderr


def test_every_registered_command_has_what_the_parser_needs() -> None:
    for command in COMMANDS:
        command.load()
        module = importlib.import_module(command.module)
        assert callable(module.add_arguments), command.name
        assert callable(module.run), command.name


def test_no_arguments_prints_the_commands(tmp_path: Path) -> None:
    done = babysit(cwd=tmp_path)
    assert done.returncode == 2
    for command in COMMANDS:
        assert command.name in done.stderr


def test_unknown_command_is_one_line(tmp_path: Path) -> None:
    assert_one_line_error(babysit("trian", cwd=tmp_path), "trian", "train")


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (("diagnose", "nowhere"), ("nowhere",)),
        (("diagnose",), ("RUN_DIR",)),
        (("explain", "vanishing-gradient"), ("vanishing-gradient", "vanishing-gradients")),
        (("train", "digits-cn"), ("digits-cn", "digits-cnn")),
        (("check", "digits-cn"), ("digits-cn", "digits-cnn")),
        (("check", "no_such_file.py:make"), ("no_such_file.py",)),
        (("demo", "--runs", "a_file"), ("a_file", "directory")),
        (("dashboard", "a_file"), ("a_file", "directory")),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], mentions: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "a_file").write_text("not a run")
    assert_one_line_error(babysit(*arguments, cwd=tmp_path), *mentions)


def test_commands_work_beside_a_project_with_its_own_app_and_trainer(tmp_path: Path) -> None:
    for name in ("app", "trainer"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("raise RuntimeError('the wrong package was imported')")
    done = babysit("train", "--list", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "digits-cnn" in done.stdout
    done = babysit("dashboard", "--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("torch", ["check", "m.py:make"], "train"),
        ("torch", ["explain", "gradient-check"], "train"),
        ("streamlit", ["dashboard", "."], "dashboard"),
        ("tqdm", ["train", "--list"], "train"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    missing: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    (tmp_path / "m.py").write_text("def make(): ...")
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom probes.cli import main\nsys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert_one_line_error(done, missing, f"babysit[{extra}]")
