"""Two real processes started by torchrun: one judges, both end at the same step, the run is judged like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import probes

SCRIPT = str(Path(__file__).parent / "distributed_live.py")


def launch(folder: Path, ill_rank: int, steps: int) -> list[dict[str, object]]:
    """What each process saw."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run(
        [*start, SCRIPT, str(folder / "run"), str(folder / "seen"), str(ill_rank), str(steps)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(2)]


def test_both_processes_end_at_the_same_step_also_for_trouble_in_the_one_that_does_not_judge(tmp_path):
    first, second = launch(tmp_path, 1, 100_000)
    assert first["step"] == second["step"] < 100_000
    assert first["stopped"] == second["stopped"]
    assert "nonfinite-values" in first["stopped"]
    assert first["threads"] == ["babysit-diagnosis", "babysit-writer"]
    assert second["threads"] == ["babysit-stop", "babysit-writer"]
    assert (first["told"], second["told"]) == (["nonfinite-values"], [])
    assert first["left"] == second["left"] == []
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == ("finished", first["stopped"])
    assert run.ranks == [0, 1]
    (finding,) = probes.diagnose(run).findings
    assert finding.rule == "nonfinite-values"
    # The gradients are averaged: the weights of both are lost at the step at which either had the trouble.
    assert 30 <= finding.first_step <= 35
    assert run.findings()["findings"][0]["first_step"] == finding.first_step


def test_a_healthy_run_of_two_processes_is_judged_healthy(tmp_path):
    first, second = launch(tmp_path, -1, 200)
    assert (first["step"], second["step"]) == (200, 200)
    assert first["stopped"] is second["stopped"] is None
    assert probes.open_run(tmp_path / "run").checks()["ok"] is True
    report = probes.diagnose(tmp_path / "run")
    assert report.ok and report.step == 200
    assert {"nonfinite-values", "exploding-gradients", "parameters-not-updated"} <= set(report.clear)
    assert not [reason for _, reason in report.not_judged if "failed" in reason]
