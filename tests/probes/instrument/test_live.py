"""Findings while a real training goes on: told, saved, ending the run when asked to, and never disturbing it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.live import watcher
from probes.diagnosis.live.pace import Pace
from probes.errors import InvalidArgumentError, MetricError, StopTraining, UnknownNameError

ILL_FROM = 40


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Looks as often as there is something new."""
    monkeypatch.setattr(watcher, "Pace", lambda share, soonest, now: Pace(1.0, 0.02, now))


def train(run_dir, steps=10**6, until=lambda: False, ill=True, pause=0.002, **options):
    """Trains a small net; from step `ILL_FROM` on its inputs are NaN. Returns (probe, losses, model)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    deadline = time.monotonic() + 60
    with probes.watch(model, optimizer, run_dir, every=5, **options) as probe:
        for step in range(1, steps + 1):
            inputs = torch.randn(16, 6)
            targets = (inputs[:, 0] > 0).long()
            if ill and step >= ILL_FROM:
                inputs[0] = torch.nan
            loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            probe.log("train", loss=loss)
            time.sleep(pause)
            if until():
                break
            assert time.monotonic() < deadline, "did not happen in time"
    return probe, losses, model


def test_a_finding_is_told_once_while_the_training_goes_on_and_the_report_is_saved(tmp_path):
    told, saved = [], []

    def on_finding(finding):
        told.append((finding, threading.current_thread().name))

    def until():
        if told and not saved:
            saved.append((probes.open_run(tmp_path / "run").findings(), probe_steps[0]))
        probe_steps[0] += 1
        return bool(saved) and probe_steps[0] > saved[0][1] + 200

    probe_steps = [0]
    probe, losses, _ = train(tmp_path / "run", until=until, on_finding=on_finding)
    assert [(f.rule, f.severity, f.first_step, f.active) for f, _ in told] == [
        ("nonfinite-values", "critical", ILL_FROM, True)
    ]
    assert {name for _, name in told} == {"babysit-diagnosis"}
    ((live, _),) = saved
    assert (live["format"], live["version"], live["status"], live["ok"]) == ("babysit-findings", 1, "running", False)
    assert ILL_FROM <= live["step"] < probe.step
    run = probes.open_run(tmp_path / "run")
    after = run.findings()
    assert (after["status"], after["step"], after["rules"]) == ("finished", len(losses), live["rules"])
    report = json.loads(json.dumps(probes.diagnose(run).to_dict()))
    assert {key: after[key] for key in report} == report
    assert run.problems == []
    assert not [t for t in threading.enumerate() if t.name.startswith("babysit")]


def test_a_finding_of_the_last_moment_is_told_when_the_run_is_closed(tmp_path):
    told = []
    train(tmp_path / "run", steps=ILL_FROM + 5, pause=0, on_finding=told.append)
    assert [f.rule for f in told] == ["nonfinite-values"]


def test_a_healthy_training_is_told_nothing_and_its_report_is_saved_all_the_same(tmp_path):
    told = []
    train(tmp_path / "run", steps=300, ill=False, on_finding=told.append)
    assert told == []
    assert probes.open_run(tmp_path / "run").findings()["ok"] is True


def test_without_any_of_it_no_thread_judges_and_nothing_is_saved(tmp_path):
    names = []
    train(tmp_path / "run", steps=60, until=lambda: names.extend(t.name for t in threading.enumerate()))
    assert "babysit-diagnosis" not in names
    assert probes.open_run(tmp_path / "run").findings() is None


def test_the_training_is_the_same_to_the_bit(tmp_path):
    def outcome(folder, **options):
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002  the state that everybody shares is the one to leave alone
        _, losses, model = train(tmp_path / folder, steps=400, **options)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        return losses, [p.detach().numpy().tobytes() for p in model.parameters()], states

    told = []
    bare, watched = outcome("bare"), outcome("watched", on_finding=told.append, stop_on=["overfitting"])
    assert [f.rule for f in told] == ["nonfinite-values"]
    np.testing.assert_array_equal(bare[0], watched[0])
    assert bare[1:] == watched[1:]


def test_a_callback_that_fails_is_reported_once_and_goes_on_being_called(tmp_path, caplog, expects_complaints):
    told = []

    def on_finding(finding):
        told.append(finding)
        sys.exit("no printer") if len(told) % 2 else 1 / 0

    findings = [["overfitting", "dead-units"], ["overfitting", "dead-units", "loss-spikes"]]
    made = iter(findings)

    def judged(view, rules):
        rules = next(made, findings[-1])
        found = [probes.Finding(r, "warning", r, 1, view.last_step, True, "seen") for r in rules]
        return probes.Report(view.name, view.status, view.last_step, found, [], [])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "judge", judged)
        _, losses, _ = train(tmp_path / "run", until=lambda: len(told) >= 3, on_finding=on_finding)
    assert [f.rule for f in told] == ["overfitting", "dead-units", "loss-spikes"]
    complaints = [r.getMessage() for r in caplog.records if r.name == "babysit"]
    assert complaints == [
        "babysit: on_finding failed: SystemExit: no printer; the training goes on",
        "babysit: on_finding failed: ZeroDivisionError: division by zero; the training goes on",
    ]
    run = probes.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert len(run.series("train/loss")) == len(losses)
    assert any("on_finding failed" in event.message for event in run.events)


def test_a_callback_that_never_returns_holds_up_neither_the_steps_nor_the_end(
    tmp_path, monkeypatch, caplog, expects_complaints
):
    called, release = threading.Event(), threading.Event()

    def on_finding(finding):
        called.set()
        release.wait(60)

    monkeypatch.setattr(watcher.LiveDiagnosis.finish, "__defaults__", (0.2,))
    steps_meanwhile = []
    train(
        tmp_path / "run",
        on_finding=on_finding,
        until=lambda: called.is_set() and (steps_meanwhile.append(1) or len(steps_meanwhile) > 50),
    )
    assert len(steps_meanwhile) > 50
    assert probes.open_run(tmp_path / "run").status == "finished"
    assert "takes too long" in caplog.text
    release.set()
    for thread in threading.enumerate():
        if thread.name == "babysit-diagnosis":
            thread.join(10)
            assert not thread.is_alive()


def test_a_run_ends_itself_under_with_and_the_program_goes_on_behind_it(tmp_path):
    told = []
    probe, losses, _ = train(tmp_path / "run", on_finding=told.append, stop_on=("nonfinite-values",))
    assert probe.step == len(losses) + 1  # ended at the end of a step: what the loop does after it, it did not do
    assert probe.step > ILL_FROM
    reason = f"ended itself at step {probe.step} (stop_on): nonfinite-values: "
    assert probe.stopped.startswith(reason)
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == ("finished", probe.stopped)
    assert run.last_step == probe.step
    assert [f.rule for f in told] == ["nonfinite-values"]
    assert not [t for t in threading.enumerate() if t.name.startswith("babysit")]


def test_another_finding_ends_nothing(tmp_path):
    told = []
    probe, losses, _ = train(
        tmp_path / "run", until=lambda: bool(told), on_finding=told.append, stop_on=("overfitting", "dead-units")
    )
    assert probe.stopped is None and probe.step == len(losses)
    assert probes.open_run(tmp_path / "run").manifest["reason"] is None


def test_without_with_the_exception_is_the_loops_to_catch_and_comes_again_until_it_ends(tmp_path):
    model = nn.Linear(3, 1)
    optimizers = [torch.optim.Adam([model.weight]), torch.optim.SGD([model.bias], lr=0.1)]
    probe = probes.watch(model, optimizers, tmp_path / "run", every=1, stop_on=("nonfinite-values",))
    deadline = time.monotonic() + 60
    caught = []
    while len(caught) < 3:
        assert time.monotonic() < deadline
        loss = (model(torch.full((4, 3), torch.nan)) ** 2).mean()
        loss.backward()
        try:
            for optimizer in optimizers:
                optimizer.step()
        except StopTraining as error:
            caught.append(str(error))
        probe.log("train", loss=loss)
        time.sleep(0.002)
    assert len(set(caught)) == 1 and caught[0] == probe.stopped
    with pytest.raises(StopTraining), probes.watch(model, optimizers, tmp_path / "other") as other:
        raise StopTraining("of somebody else")
    assert probes.open_run(other.run_dir).status == "crashed"
    probe.close()
    run = probes.open_run(tmp_path / "run")
    assert (run.status, run.manifest["reason"]) == ("finished", caught[0])
    for optimizer in optimizers:  # nothing is left that could raise
        optimizer.step()


def test_a_rollback_to_before_the_trouble_takes_the_finding_back(tmp_path):
    told = []

    def on_finding(finding):
        if finding.rule == "nonfinite-values":
            told.append(finding)

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1, on_finding=on_finding, cool_down=0) as probe:

        def run(value, enough):
            deadline = time.monotonic() + 60
            while not enough():
                assert time.monotonic() < deadline
                loss = (model(torch.randn(4, 3) * value) ** 2).mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                probe.log("train", loss=loss)
                time.sleep(0.002)

        def saved():
            report = probes.open_run(tmp_path / "run").findings()
            return report is not None and report["step"] > 30 and report["ok"]

        run(1.0, saved)
        good = {name: value.clone() for name, value in model.state_dict().items()}
        checkpoint = probe.step
        run(torch.nan, lambda: len(told) == 1)
        model.load_state_dict(good)
        probe.step = checkpoint
        run(1.0, saved)
        assert len(told) == 1
        run(torch.nan, lambda: len(told) == 2)
    assert all(f.first_step > checkpoint for f in told)


def test_looking_costs_its_share_of_the_time_and_is_part_of_what_the_probes_report(tmp_path, monkeypatch):
    looks = []

    def slow(view, rules):
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass
        looks.append(time.monotonic())
        return probes.Report(view.name, view.status, view.last_step, [], [], [])

    monkeypatch.setattr(watcher, "judge", slow)
    monkeypatch.setattr(watcher, "Pace", lambda share, soonest, now: Pace(10 * share, 0.02, now))
    train(tmp_path / "run", until=lambda: len(looks) >= 3, ill=False, on_finding=print, budget=0.3)
    # 0.1 s of work at a tenth of the time: looks are at least a second apart. The last one, at the end, is not held up.
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(looks[:3]))
    assert probes.open_run(tmp_path / "run").series("system/probe_time").values.sum() >= 0.2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_judges_nothing_tells_nothing_and_ends_nothing(tmp_path):
    told, children = [], []

    def until():
        if not children:
            child = os.fork()
            if child == 0:
                until.probe.close()
                os._exit(0 if threading.active_count() == 1 and not told else 1)
            children.append(os.waitpid(child, 0)[1])
        return bool(told)

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    deadline = time.monotonic() + 60
    with probes.watch(model, optimizer, tmp_path / "run", every=1, on_finding=told.append) as until.probe:
        while not until():
            assert time.monotonic() < deadline
            loss = (model(torch.full((4, 3), torch.nan)) ** 2).mean()
            loss.backward()
            optimizer.step()
            until.probe.log("train", loss=loss)
            time.sleep(0.005)
    assert children == [0]
    assert [f.rule for f in told] == ["nonfinite-values"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"stop_on": ["nan"]}, UnknownNameError),
        ({"on_finding": 5}, InvalidArgumentError),
        ({"alerts": ["nonsense"]}, InvalidArgumentError),
        ({"cool_down": -1, "on_finding": print}, InvalidArgumentError),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_begins(tmp_path, options, error):
    model = nn.Linear(3, 1)
    with pytest.raises(error):
        probes.watch(model, run_dir=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys, threading, time
import torch
import probes
from torch import nn

run_dir, ending = sys.argv[1:]
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
stop_on = ["nonfinite-values"] if "stops" in ending else ()
probe = probes.watch(model, optimizer, run_dir, every=1, on_finding=lambda f: print(f.rule), stop_on=stop_on)


def train():
    for step in range(10_000 if stop_on else 20):
        loss = (model(torch.full((4, 3), torch.nan)) ** 2).mean()
        loss.backward()
        optimizer.step()
        probe.log("train", loss=loss)
        time.sleep(0.002)
    if ending == "raises":
        raise KeyError("x")


if ending == "stops in a thread":
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
else:
    train()
"""


@pytest.mark.parametrize(
    ("ending", "code", "status", "reason"),
    [
        ("ends", 0, "finished", None),
        ("raises", 1, "crashed", "KeyError: 'x'"),
        ("stops", 1, "finished", "(stop_on)"),
        ("stops in a thread", 0, "finished", "(stop_on)"),
    ],
)
def test_a_program_that_never_closes_its_probe_has_its_last_look(tmp_path, ending, code, status, reason):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), ending],
        capture_output=True, text=True, env=environment, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout == "nonfinite-values\n"
    assert "babysit" not in done.stderr.replace(str(Path(probes.__file__).parent.parent), "")
    run = probes.open_run(tmp_path / "run")
    assert run.status == status == run.findings()["status"]
    assert (run.manifest["reason"] is None) if reason is None else (reason in run.manifest["reason"])


def test_what_log_refuses_is_still_said_at_once(tmp_path):
    with (
        pytest.raises(MetricError),
        probes.watch(nn.Linear(3, 1), run_dir=tmp_path / "run", on_finding=print) as probe,
    ):
        probe.log("train", loss="low")
