"""The README is executed: its snippets in order in an empty directory, and its commands against the registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import probes
from probes.cli.registry import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run_in_order(blocks: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "snippets.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    return subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_readme_snippets_run_and_record_a_run(tmp_path: Path) -> None:
    blocks = python_blocks(README)
    assert len(blocks) >= 2
    done = run_in_order(blocks, tmp_path)
    assert done.returncode == 0, done.stderr
    run = probes.open_run(tmp_path / "runs" / "mine-1")
    assert run.status == "finished"
    assert len(run.series("train/loss").steps) == 5 * 8


def test_the_api_snippets_run(tmp_path: Path) -> None:
    done = run_in_order(python_blocks(API), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_commands_the_readme_names_exist() -> None:
    named = set(re.findall(r"^babysit ([a-z]+)", README, flags=re.MULTILINE))
    assert named <= {command.name for command in COMMANDS}
    assert "check" in named


def test_every_public_name_is_documented() -> None:
    for name in probes.__all__:
        if not name.startswith("_"):
            assert f"`{name}" in API or f"`probes.{name}" in API, name


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert targets
    for target in targets:
        assert (ROOT / target.partition("#")[0]).exists(), target
