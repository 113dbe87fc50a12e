"""Two real processes started by torchrun, against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import probes

SCRIPT = str(Path(__file__).parent / "distributed_training.py")


def launch(folder: Path, kind: str, run_dir: str) -> list[dict[str, object]]:
    """Trains in the way ``kind``, without probes and with; returns what each process reports."""
    out = str(folder / kind)
    start = [sys.executable]
    if kind != "single":
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run(
        [*start, SCRIPT, kind, run_dir, out],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    assert "babysit" not in result.stderr
    ranks = 1 if kind == "single" else 2
    return [json.loads(Path(f"{out}-{r}.json").read_text()) for r in range(ranks)]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> probes.Run:
    folder = tmp_path_factory.mktemp("single")
    launch(folder, "single", str(folder / "run"))
    return probes.open_run(folder / "run")


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_report_the_norms_of_one(kind: str, single: probes.Run, tmp_path: Path):
    reports = launch(tmp_path, kind, str(tmp_path / "run"))
    run = probes.open_run(tmp_path / "run")
    for statistic in ("grad_norm", "weight_norm", "update_norm", "update_ratio"):
        alone, together = single.layer_series(statistic), run.layer_series(statistic)
        assert together.layers == alone.layers
        assert together.steps.tolist() == alone.steps.tolist()
        np.testing.assert_allclose(together.values, alone.values, rtol=1e-4, atol=1e-7)
    assert run.status == "finished"
    assert run.series("train/loss").values.tolist() == pytest.approx(reports[0]["losses"])
    assert run.layer_series("activation_std").layers == ["0", "1", "2", "3", "4"]
    assert [m["name"] for m in run.model["modules"]] == ["0", "1", "2", "3", "4"]
    assert [r["bare"] for r in reports] == [r["losses"] for r in reports]
    if kind == "ddp":  # watched once more, without a run directory given: the processes agree on one
        assert reports[0]["run_dir"] == reports[1]["run_dir"]
        assert Path(reports[0]["run_dir"]).parent == (tmp_path / "runs").resolve()
        assert len(list((tmp_path / "runs").iterdir())) == 1
