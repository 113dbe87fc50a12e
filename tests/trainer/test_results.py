"""What the recipes promise is what they were measured to reach, and the measurements are of the recipes as they are."""

from __future__ import annotations

import json

import pytest

from probes.errors import UnknownNameError
from trainer import catalogue, results
from trainer.errors import RecipeError
from trainer.recipe import load_recipe, recipe_names
from trainer.results import Measurement

MEASURED = results.load()


def test_every_recipe_was_measured_as_it_is_now():
    stale = results.stale(MEASURED)
    assert not stale, f"run: python -m trainer.catalogue docs/trainer.md --train {' '.join(stale)}"
    assert set(MEASURED) == set(recipe_names())


@pytest.mark.parametrize("name", MEASURED)
def test_every_promise_was_kept_by_every_seed(name):
    """By three of them, or one where a training takes longer than fifteen seconds."""
    assert len(MEASURED[name].scores) >= (3 if MEASURED[name].seconds < 15 else 1)
    promised = load_recipe(name).expect.at_least
    assert promised is not None and min(MEASURED[name].scores) >= promised


def test_the_digest_is_of_what_the_training_depends_on(tmp_path):
    text = '[task]\nname = "blobs"\n[model]\nname = "mlp"\n[optimizer]\nname = "sgd"\n'
    other = {
        "same": f'title = "another"\n{text}[expect]\nat_least = 0.3\n',
        "spaced": text.replace(" = ", "="),
        "changed": text + "lr = 0.2\n",
    }
    digests = {}
    for name, content in {"first": text, **other}.items():
        (tmp_path / f"{name}.toml").write_text(content)
        digests[name] = results.digest(str(tmp_path / f"{name}.toml"))
    assert digests["first"] == digests["same"] == digests["spaced"] != digests["changed"]


def test_measuring_is_training(tmp_path):
    file = tmp_path / "results.json"
    results.measure_all(["blobs-softmax"], 2, file)
    found = results.load(file)
    assert found["blobs-softmax"].metric == "accuracy" and len(found["blobs-softmax"].scores) == 2
    assert min(found["blobs-softmax"].scores) >= load_recipe("blobs-softmax").expect.at_least
    assert "blobs-softmax" not in results.stale(found) and "digits-mlp" in results.stale(found)


def test_a_row_says_what_was_found():
    shown = results.table({"blobs-softmax": Measurement("x", "accuracy", (0.9, 0.95, 0.99), 1.5)})
    row = next(line for line in shown.splitlines() if "`blobs-softmax`" in line)
    assert row.endswith("| 98.0% | 95.0% (accuracy) | 90.0%, 99.0% | 3 | 1.5 |")
    assert shown.count("not measured") == len(recipe_names()) - 1


def test_a_name_that_is_no_recipe_costs_no_training(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "measure", lambda *_: pytest.fail("trained"))
    with pytest.raises(UnknownNameError, match="did you mean 'digits-mlp'"):
        results.measure_all(["blobs-softmax", "digits-mpl"], 1, tmp_path / "results.json")


def test_a_damaged_file_of_results_is_named(tmp_path):
    file = tmp_path / "results.json"
    for content in ("{", "[1]", json.dumps({"demo": {"scores": [1]}}), json.dumps({"demo": 3})):
        file.write_text(content)
        with pytest.raises(RecipeError, match=r"results\.json: not a file of results"):
            results.load(file)


def test_the_command_writes_both_tables_between_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "top\n<!-- results -->before<!-- end of results -->\nmiddle\n<!-- catalogue --><!-- end of catalogue -->\nend\n"
    )
    catalogue.main([str(page)])
    text = page.read_text()
    assert text.startswith("top\n<!-- results -->\n| recipe |") and text.endswith("<!-- end of catalogue -->\nend\n")
    assert "before<!" not in text and "\nmiddle\n" in text and "| `alexnet` |" in text
    catalogue.main([str(page)])
    assert page.read_text() == text


def test_the_twins_differ_in_their_shortcuts_alone():
    residual, plain = load_recipe("digits-resnet"), load_recipe("digits-plain-twin")
    assert residual.model.options["shortcuts"] and not plain.model.options["shortcuts"]
    without = [{k: v for k, v in r.model.options.items() if k != "shortcuts"} for r in (residual, plain)]
    assert without[0] == without[1]
    for section in ("task", "loss", "optimizer", "schedule", "training"):
        assert getattr(residual, section) == getattr(plain, section)
