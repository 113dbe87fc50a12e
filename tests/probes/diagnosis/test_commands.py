"""`babysit diagnose`, `rules` and `explain` as a user types them, on runs that the probes recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from models import mlp
from torch import nn
from trainings import digits

import probes
from probes.diagnosis import RULES
from probes.errors import RunDirectoryError, UnknownNameError


def babysit(*arguments):
    """(exit code, stdout, stderr) of the command in a process of its own, in which torch and streamlit are
    barred.
    """
    code = (
        "import sys\n"
        "for name in ('torch', 'streamlit', 'plotly'): sys.modules[name] = None\n"
        "from probes.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def recorded(run_dir, model, lr, steps, targets=None, loss_fn=None):
    """A run recorded by the real probes."""
    inputs, labels = digits()
    targets = labels if targets is None else targets
    loss_fn = loss_fn or nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    with probes.watch(model, optimizer, run_dir=run_dir, every=2) as probe:
        for _ in range(steps):
            rows = torch.randint(0, len(inputs), (64,), generator=generator)
            loss = loss_fn(model(inputs[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)
    return run_dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    numbers = digits()[1].float()[:, None]
    return {
        "fine": recorded(folder / "fine", mlp(5, norm="batch"), 0.1, 60),
        "sigmoid": recorded(folder / "sigmoid", mlp(8, 32, "sigmoid"), 0.1, 60),
        "boom": recorded(folder / "boom", mlp(3, outputs=1), 0.5, 40, numbers, nn.MSELoss()),
    }


def test_a_healthy_run(runs):
    code, out, err = babysit("diagnose", runs["fine"])
    assert (code, err) == (0, "")
    assert "No problem found" in out.splitlines()[0]


def test_an_ill_run_tells_verdict_cause_evidence_and_remedy(runs):
    code, out, err = babysit("diagnose", runs["boom"])
    assert (code, err) == (1, "")
    first = " ".join(out.split("\n\n")[0].split())
    assert first.startswith("boom: Critical: the learning rate is too high → gradients explode → values are NaN")
    assert "caused by exploding-gradients" in out
    assert out.index("Evidence") < out.index("Try")
    assert "lower the learning rate from 0.5 to about" in out
    assert "Could not be judged:" in out


def test_json_is_one_document_equal_to_the_report(runs):
    code, out, _ = babysit("diagnose", runs["sigmoid"], "--json")
    assert code == 1
    assert json.loads(out) == json.loads(json.dumps(probes.diagnose(runs["sigmoid"]).to_dict()))
    assert json.loads(out)["findings"][0]["rule"] == "vanishing-gradients"


def test_replay_at_an_earlier_step_with_another_threshold_and_fewer_rules(runs):
    code, out, _ = babysit("diagnose", runs["boom"], "--at-step", 1, "--json")
    assert (code, json.loads(out)["step"], json.loads(out)["status"]) == (0, 1, "running")
    setting = ("--set", "vanishing-gradients.decades=30", "--rules", "vanishing-gradients,overfitting")
    code, out, _ = babysit("diagnose", runs["sigmoid"], *setting, "--json")
    assert code == 0
    assert json.loads(out)["clear"] == ["vanishing-gradients"]
    assert [r["rule"] for r in json.loads(out)["not_judged"]] == ["overfitting"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("diagnose", "/no/such/run"), "/no/such/run"),
        (("diagnose", "RUN", "--rules", "overfiting"), "did you mean 'overfitting'?"),
        (("diagnose", "RUN", "--set", "overfitting.rise"), "overfitting.rise"),
        (("diagnose", "RUN", "--set", "overfitting.rise=high"), "'high' is not a number"),
        (("diagnose", "RUN", "--at-step", "-3"), "at_step"),
        (("diagnose", "RUN", "--at-step", "soon"), "soon"),
        (("explain", "vanishing"), "did you mean 'vanishing-gradients'?"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(runs, arguments, words):
    code, out, err = babysit(*(runs["fine"] if a == "RUN" else a for a in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_rules_lists_the_catalogue():
    code, out, _ = babysit("rules")
    assert code == 0
    assert all(slug in out and rule.summary in out for slug, rule in RULES.items())
    code, out, _ = babysit("rules", "--json")
    assert [entry["rule"] for entry in json.loads(out)] == list(RULES)


def test_explain_prints_the_documentation():
    code, out, _ = babysit("explain", "overfitting")
    assert code == 0
    assert "early stopping" in out
    assert "overfitting.rise = 0.15" in out


def test_diagnose_takes_a_run_or_a_path(runs):
    run = probes.open_run(runs["sigmoid"])
    assert probes.diagnose(run).to_dict() == probes.diagnose(str(runs["sigmoid"])).to_dict()
    with pytest.raises(RunDirectoryError):
        probes.diagnose(runs["sigmoid"] / "nowhere")
    with pytest.raises(UnknownNameError):
        probes.diagnose(run, rules=["overfiting"])
