"""The recorded runs that come with the project, and the command that records them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import probes
from probes.diagnosis.finding import rank
from probes.errors import BabysitError
from probes.runlog.discovery import list_runs
from trainer.corpus.samples import gallery, main, read_index, recipe_of
from trainer.recipe import load_recipe

FOLDER = Path(__file__).parents[3] / "sample_runs"
SAMPLES = read_index(FOLDER)
BUDGET = 15_000_000  # bytes, all together
BLOCK = 4096  # what a disk gives a file at least


def size(folder: Path) -> int:
    """On a disk."""
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in (folder, *folder.rglob("*")))


def test_there_are_enough_and_they_are_small():
    assert len(SAMPLES) >= 24
    assert sum(not sample.findings for sample in SAMPLES) >= 6
    assert size(FOLDER) <= BUDGET


def test_the_gallery_finds_all_of_them_and_nothing_else():
    assert {path.name for path in list_runs(FOLDER)} == {sample.name for sample in SAMPLES}
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {sample.name for sample in SAMPLES}
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == gallery(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_has_its_recipe_and_says_what_to_see(sample):
    folder = FOLDER / sample.name
    recipe = load_recipe(str(folder / "recipe.toml"))
    wanted = recipe_of(sample)
    for section in ("task", "model", "loss", "optimizer", "schedule", "training", "faults", "expect"):
        assert getattr(recipe, section) == getattr(wanted, section), section
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert sample.see in page and all(f"`{slug}`" in page for slug in sample.findings)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_is_a_whole_run_that_names_no_machine(sample):
    folder = FOLDER / sample.name
    run = probes.open_run(folder)
    assert run.status == "finished"
    assert len(run.series("val/" + next(n for n in run.series_names if n.startswith("val/")).split("/")[1]).steps) > 1
    assert len(run.layer_series("grad_norm").steps) >= 10
    environment = json.loads((folder / "run.json").read_text(encoding="utf-8"))["environment"]
    assert set(environment) == {"python", "torch", "device", "threads", "argv"}
    assert environment["argv"] == sample.command
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b"/tmp/" not in content and b"/home/" not in content, path


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_the_diagnosis_says_what_is_expected(sample):
    """Exactly these causes, in this order; whatever else it says is a symptom of one of them, or a note."""
    report = probes.diagnose(FOLDER / sample.name)
    assert [cause.rule for cause in report.root_causes if rank(cause.severity) >= 1] == list(sample.findings)
    explained = {finding.rule for finding in report.findings if finding.caused_by is not None}
    loud = {finding.rule for finding in report.findings if rank(finding.severity) >= 1}
    assert loud <= explained | set(sample.findings)


def test_recording(tmp_path):
    (tmp_path / "samples.toml").write_text(
        '[small]\nrecipe = "wine-mlp"\nset = ["training.epochs=2"]\nfault = "shuffled-labels"\nseed = 3\nevery = 2\n'
        'findings = ["no-generalization"]\nsee = "Nothing."\n'
    )
    for _ in range(2):  # the second time in place of the first
        assert main([str(tmp_path)]) == 0
    (run,) = list_runs(tmp_path)
    assert probes.open_run(run).status == "finished"
    assert sorted(path.name for path in run.iterdir() if path.suffix not in (".arrows",)) == [
        "README.md",
        "recipe.toml",
        "run.json",
    ]
    kept = tomllib.loads((run / "recipe.toml").read_text())
    assert kept["faults"]["names"] == ["shuffled-labels"] and kept["training"]["seed"] == 3
    assert kept["expect"]["findings"] == ["no-generalization"] and kept["expect"]["note"] == "Nothing."
    typed = "babysit train wine-mlp --set training.epochs=2 --fault shuffled-labels --seed 3 --every 2"
    assert json.loads((run / "run.json").read_text())["environment"]["argv"] == typed.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[a]\nrecipe = "wine-mlp"\n', "a: a table with at least recipe and see"),
        ('[a]\nrecipe = "wine-mlp"\nsee = "x"\nepochs = 3\n', "a.epochs: found 3, allowed keys: recipe, set"),
        ('[a]\nrecipe = "wine-mlp"\nsee = 3\n', "a.see: found 3"),
        ("[a\n", "not valid TOML"),
    ],
)
def test_a_wrong_index_is_one_line(text, words, tmp_path, capsys):
    (tmp_path / "samples.toml").write_text(text)
    with pytest.raises(BabysitError):
        read_index(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
