"""Run directories that are short, broken, resumed, rolled back, huge or of a newer format: a sound report, or one
clear error.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.cli import main
from probes.diagnosis import RULES, diagnose
from probes.errors import RunDirectoryError
from probes.runlog import LayerFrame, RunWriter

PARAMETER_KINDS = ("weight_norm", "grad_norm", "update_norm", "update_ratio", "weight_nonfinite", "grad_nonfinite")
MODULE_KINDS = ("activation_mean", "activation_std", "dead_fraction", "zero_fraction", "activation_grad_std")


def assert_sound(report):
    assert not [reason for _, reason in report.not_judged if "failed" in reason]
    judged = set(report.clear) | {finding.rule for finding in report.findings}
    assert judged | {rule for rule, _ in report.not_judged} == set(RULES)
    json.dumps(report.to_dict(), allow_nan=False)
    for finding in report.findings:
        assert 0 <= finding.first_step <= finding.last_step <= report.step
        assert finding.message and finding.suggestions


def write(run_dir, steps, loss=lambda step: 2.3 / np.sqrt(step + 1), layers=3, every=5, start=None, status="finished",
          value=lambda kind, step, layers: np.full(layers, 1e-3 if kind.startswith("update") else 0.5)):  # fmt: skip
    """A run of ordinary numbers in which only what is given differs."""
    parameters, modules = [f"net.{i}.weight" for i in range(layers)], [f"net.{i}" for i in range(layers)]
    described = zip(parameters, modules, strict=True)
    manifest = {
        "model": {
            "parameters": [{"name": p, "module": m, "shape": [8, 8], "trainable": True} for p, m in described],
            "modules": [{"name": m, "type": "Linear", "activation": "relu", "output_shape": [8]} for m in modules],
        },
        "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": parameters}]}],
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
    }
    writer = RunWriter(run_dir, manifest, start_step=start)
    for step in steps:
        writer.scalars(step, float(step), {"train/loss": float(loss(step)), "optimizer/lr": 0.1})
        if every and step % every == 0:
            values = {
                kind: (axis, value(kind, step, layers).astype(np.float32))
                for axis, kinds in (("parameter", PARAMETER_KINDS), ("module", MODULE_KINDS))
                for kind in kinds
            }
            for kind in ("weight_nonfinite", "grad_nonfinite", "dead_fraction"):
                values[kind] = values[kind][0], 0 * values[kind][1]
            writer.put(LayerFrame(step, float(step), {"parameter": parameters, "module": modules}, values))
    writer.close(status)
    return run_dir


def rules_of(report):
    return [finding.rule for finding in report.findings]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_training_that_hardly_began(tmp_path, steps):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters())
    with probes.watch(model, optimizer, tmp_path / "run", loss_fn=nn.CrossEntropyLoss(), every=1) as probe:
        for _ in range(steps):
            loss = probe.loss_fn(model(torch.randn(8, 4)), torch.randint(0, 2, (8,)))
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert report.ok and report.step == steps
    assert len(report.not_judged) > len(RULES) / 2


def test_nothing_but_a_loss(tmp_path):
    writer = RunWriter(tmp_path / "run", {})
    for step in range(1, 301):
        writer.scalars(step, float(step), {"train/loss": 2.3 / np.sqrt(step)})
    writer.close()
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert report.ok and "loss-not-decreasing" in report.clear
    assert "dead-units" in dict(report.not_judged)


def test_nan_everywhere(tmp_path):
    report = diagnose(write(tmp_path / "run", range(1, 101), lambda step: np.nan,
                            value=lambda kind, step, layers: np.full(layers, np.nan)))  # fmt: skip
    assert_sound(report)
    assert rules_of(report)[0] == "nonfinite-values"
    assert (report.findings[0].severity, report.findings[0].first_step) == ("critical", 1)


def test_two_thousand_layers(tmp_path):
    report = diagnose(write(tmp_path / "run", range(1, 101), layers=2000))
    assert_sound(report)
    assert report.ok


def test_gaps_of_thousands_of_steps_and_layers_that_come_and_go(tmp_path):
    write(tmp_path / "run", [1, 2, 3, 5, 40, 45, 9_000, 9_005, 9_006, 70_000], layers=2)
    write(tmp_path / "run", [70_005, 99_990], layers=5)
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert report.step == 99_990


def test_steps_that_were_rolled_back_accuse_nobody(tmp_path):
    write(tmp_path / "run", range(1, 101), lambda step: np.nan if step > 60 else 1 / step)
    broken = diagnose(tmp_path / "run")
    assert rules_of(broken) == ["nonfinite-values"]
    assert broken.findings[0].first_step == 61
    write(tmp_path / "run", range(51, 121), lambda step: 1 / step, start=50)
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert (report.ok, report.step) == (True, 120)


def test_trouble_after_a_resume_begins_at_its_own_step(tmp_path):
    write(tmp_path / "run", range(1, 101), status="crashed")
    write(tmp_path / "run", range(81, 161), lambda step: np.inf if step >= 130 else 2.3 / np.sqrt(step), start=80)
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert [(f.rule, f.first_step) for f in report.findings] == [("nonfinite-values", 130)]
    earlier = diagnose(tmp_path / "run", at_step=129)
    assert_sound(earlier)
    assert earlier.ok


@pytest.mark.parametrize("stream", ["scalars", "layers", "events"])
@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
def test_a_truncated_log_is_judged_by_what_is_left(tmp_path, stream, keep):
    write(tmp_path / "run", range(1, 101))
    write(tmp_path / "run", range(101, 201))
    for path in (tmp_path / "run").glob(f"{stream}-*"):
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert_sound(diagnose(tmp_path / "run"))


def test_a_log_with_whole_streams_missing(tmp_path):
    write(tmp_path / "run", range(1, 101))
    for path in (tmp_path / "run").glob("layers-*"):
        path.unlink()
    report = diagnose(tmp_path / "run")
    assert_sound(report)
    assert "vanishing-gradients" in dict(report.not_judged)
    for path in (tmp_path / "run").glob("scalars-*"):
        path.unlink()
    assert {rule for rule, _ in diagnose(tmp_path / "run").not_judged} >= {"loss-not-decreasing", "nonfinite-values"}


def test_a_newer_format_is_one_clear_error(tmp_path, capsys):
    write(tmp_path / "run", range(1, 31))
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(RunDirectoryError, match="99"):
        diagnose(tmp_path / "run")
    assert main(["diagnose", str(tmp_path / "run")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and "99" in said.err


def test_findings_are_saved_when_asked_for_and_replace_the_old_ones_whole(tmp_path, capsys):
    write(tmp_path / "run", range(1, 101), lambda step: np.nan if step > 60 else 1 / step)
    assert main(["diagnose", str(tmp_path / "run"), "--save"]) == 1
    run = probes.open_run(tmp_path / "run")
    report = json.loads(json.dumps(diagnose(run).to_dict()))
    assert {key: run.findings()[key] for key in report} == report
    write(tmp_path / "run", range(51, 121), lambda step: 1 / step, start=50)
    assert main(["diagnose", str(tmp_path / "run"), "--save", "--json"]) == 0
    assert run.findings()["ok"] is True
    assert not list((tmp_path / "run").glob("*.partial"))
    shutil.rmtree(tmp_path / "run")
    assert main(["diagnose", str(tmp_path / "run"), "--save"]) == 2
