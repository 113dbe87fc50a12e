"""kill -9 at any moment: all up to the last flush stays readable, and the run is recognised as crashed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from probes.runlog import RunWriter, open_run

KILLS = int(os.environ.get("BABYSIT_TEST_KILLS", "20"))


def test_killed_at_random_moments(tmp_path: Path, spawn_writer: Callable) -> None:
    """One run, killed and resumed again and again: each session's steps stand."""
    random_moment = random.Random(20)
    run_dir = tmp_path / "run"
    announced = 0
    for kill in range(KILLS):
        writer = spawn_writer(run_dir, random_moment.choice([0.0, 0.0002]))
        line = writer.stdout.readline()
        assert line, writer.communicate()[1]  # it ended by itself: why?
        first = int(line)
        assert first > announced
        time.sleep(random_moment.uniform(0, 0.1))  # the random moment itself; nothing is awaited by it
        writer.kill()
        lines = [first, *(int(line) for line in writer.communicate()[0].split("\n")[:-1])]
        announced = lines[-1]
        run = open_run(run_dir)
        assert run.status == "crashed"
        loss = run.series("train/loss")
        assert loss.steps[-1] >= announced
        np.testing.assert_array_equal(loss.steps, np.arange(1, len(loss) + 1))
        np.testing.assert_array_equal(loss.values, loss.steps * 0.5)
        layers = run.layer_series("grad_norm")
        assert layers.steps[-1] >= announced
        np.testing.assert_array_equal(layers.values, np.stack([layers.steps, 2 * layers.steps], axis=1))
        assert len(run.events) == kill
        torn = [problem for problem in run.problems if "unfinished" not in problem]
        assert torn == []
        assert RunWriter.last_step(run_dir) == run.last_step == loss.steps[-1]


def test_killed_before_anything_was_recorded(tmp_path: Path, spawn: Callable) -> None:
    program = """
import os, sys
from probes.runlog import RunWriter
writer = RunWriter(sys.argv[1], {})
os.kill(os.getpid(), 9)
"""
    spawn(program, tmp_path / "run").communicate()
    run = open_run(tmp_path / "run")
    assert (run.status, run.series_names, run.last_step, run.problems) == ("crashed", [], None, [])
    RunWriter(tmp_path / "run", {}).close()
    run.refresh()
    assert run.status == "finished"
    assert [session["status"] for session in run.manifest["sessions"]] == ["crashed", "finished"]
