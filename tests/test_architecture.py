"""The shape of the house: who may import whom, and what reading a run may cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["open_run", "Run", "diagnose", "Report"])
def test_reading_and_diagnosing_import_neither_torch_nor_streamlit(name: str) -> None:
    code = (
        f"import sys, probes; probes.{name}; "
        "print(sorted({'torch', 'streamlit', 'plotly', 'app', 'trainer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch_or_streamlit() -> None:
    code = (
        "import sys\nfrom probes.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'streamlit', 'plotly', 'app', 'trainer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
