"""Recipes: what is read, and how what cannot be meant is refused."""

from __future__ import annotations

import pytest
import torch

from probes.errors import BabysitError, UnknownNameError
from trainer.assembly import assemble
from trainer.errors import RecipeError
from trainer.recipe import as_document, load_recipe, parse_recipe, recipe_names
from trainer.toml_writer import to_toml

MINIMAL = '[task]\nname="digits"\n[model]\nname="mlp"\n[optimizer]\nname="sgd"\n'


def written(tmp_path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_minimal_recipe_gets_every_default(tmp_path):
    recipe = load_recipe(written(tmp_path, MINIMAL))
    assert recipe.name == "mine"
    assert recipe.optimizer.options == {"lr": 0.1, "weight_decay": 0.0}
    assert recipe.schedule.name == "constant"
    assert recipe.training.epochs == 20


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_writing_and_reading(name, tmp_path):
    recipe = load_recipe(name)
    path = tmp_path / f"{name}.toml"
    path.write_text(to_toml(as_document(recipe)), encoding="utf-8")
    assert load_recipe(str(path)) == recipe
    assert recipe.title and recipe.expect.note


def test_strings_survive_writing_and_reading():
    import tomllib

    document = {
        "title": 'quote " backslash \\ tab \t newline \n DEL \x7f nul \x00 smile 😀',
        "t": {"x": [1, 2.5, True]},
    }
    assert tomllib.loads(to_toml(document)) == document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[optimizer]\nlr=0.1", ["mine.toml", "task.name", "missing", "digits"]),
        (MINIMAL + "[training]\nepoch=3", ["mine.toml", "training.epoch", "did you mean 'epochs'"]),
        (MINIMAL + "[training]\nepochs='3'", ["training.epochs", "'3'", "a whole number"]),
        (MINIMAL + "[training]\nepochs=0", ["training.epochs", "found 0", "at least 1"]),
        (MINIMAL + "[training]\nshuffle=1", ["training.shuffle", "found 1", "true or false"]),
        (MINIMAL.replace('"sgd"', '"sgd"\nlr=-1'), ["optimizer.lr", "found -1", "above 0"]),
        (MINIMAL.replace('"sgd"', '"sgd"\nlr=nan'), ["optimizer.lr", "found nan"]),
        (MINIMAL.replace('"sgd"', '"sgd"\nlr=inf'), ["optimizer.lr", "found inf", "a finite number"]),
        (MINIMAL.replace('"sgd"', '"adam"\nbeta1=1'), ["optimizer.beta1", "found 1.0", "below 1"]),
        (MINIMAL + "[schedule]\nname='cosine'\nwarmup=inf", ["schedule.warmup", "found inf"]),
        (MINIMAL + f"[training]\nseed={2**63}", ["training.seed", f"found {2**63}", "63 bits"]),
        (MINIMAL.replace('"sgd"', '"sgd"\nmomentum=0.9'), ["optimizer.momentum", "unknown key", "'sgd'"]),
        (MINIMAL.replace('"sgd"', '"sdg"'), ["mine.toml", "optimizer.name", "did you mean 'sgd'"]),
        (MINIMAL.replace('"sgd"', "3"), ["optimizer.name", "found 3"]),
        (MINIMAL.replace('"mlp"', '"mlp"\nwidths=[8, "x"]'), ["model.widths", "'x'"]),
        (MINIMAL.replace('"mlp"', '"mlp"\nactivation="rellu"'), ["model.activation", "did you mean 'relu'"]),
        (MINIMAL + "[scheduel]\nname='step'", ["scheduel", "did you mean 'schedule'"]),
        (MINIMAL + "[loss]\nsmoothing=0.1", ["loss", "smoothing", "unknown key"]),
        ("task = 3\n", ["task", "found 3", "[task]"]),
        ("title = 3\n" + MINIMAL, ["title", "found 3"]),
        ("[task\n", ["mine.toml", "not valid TOML", "line 1"]),
    ],
)
def test_an_error_names_file_key_found_and_allowed(tmp_path, text, words):
    with pytest.raises(BabysitError) as error:
        load_recipe(written(tmp_path, text))
    message = str(error.value)
    assert "\n" not in message
    for word in [*words, "mine.toml"]:
        assert word in message


def test_overrides_are_typed(tmp_path):
    path = written(tmp_path, MINIMAL)
    recipe = load_recipe(
        path,
        [
            "optimizer.lr=1",
            "model.widths=[4, 5]",
            "training.shuffle=false",
            "model.activation=tanh",
            "schedule.name=step",
        ],
    )
    assert recipe.optimizer.options["lr"] == 1.0 and isinstance(recipe.optimizer.options["lr"], float)
    assert recipe.model.options["widths"] == (4, 5)
    assert recipe.training.shuffle is False
    assert recipe.model.options["activation"] == "tanh"
    assert recipe.schedule.name == "step"


def test_another_name_starts_its_section_anew(tmp_path):
    path = written(tmp_path, MINIMAL.replace('"sgd"', '"momentum"\nmomentum=0.5\nlr=0.3'))
    recipe = load_recipe(path, ["optimizer.name=adam", "optimizer.beta1=0.8"])
    assert recipe.optimizer.options == {"lr": 0.001, "beta1": 0.8, "beta2": 0.999, "weight_decay": 0.0}
    assert load_recipe(path, ["optimizer.name=momentum"]).optimizer.options["momentum"] == 0.5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.lr", ["section.key=value"]),
        ("lr=3", ["section.key=value"]),
        ("optimiser.lr=3", ["did you mean 'optimizer'"]),
        ("optimizer.lr=fast", ["optimizer.lr", "'fast'", "a number"]),
        ("training.epochs=2.5", ["training.epochs", "2.5", "a whole number"]),
        ("optimizer.name=adamm", ["optimizer.name", "did you mean 'adam'"]),
    ],
)
def test_a_bad_override_is_named(tmp_path, override, words):
    with pytest.raises(BabysitError) as error:
        load_recipe(written(tmp_path, MINIMAL), [override])
    for word in [*words, f"--set {override}"]:
        assert word in str(error.value)


def test_recipes_that_do_not_exist():
    with pytest.raises(UnknownNameError, match="did you mean 'digits-mlp'"):
        load_recipe("digits-mpl")
    with pytest.raises(RecipeError, match=r"nowhere\.toml does not exist"):
        load_recipe("nowhere.toml")


def test_parsing_leaves_the_document_alone():
    import copy
    import tomllib

    document = tomllib.loads(MINIMAL)
    before = copy.deepcopy(document)
    parse_recipe(document, "x", "x", ["optimizer.name=adam"])
    assert document == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL + "[training]\nbatch_size=5000", ["training.batch_size = 5000", "only 1438", "lower it"]),
        (MINIMAL + "[loss]\nname='huber'", ["loss.name = 'huber'", "multi-class", "cross-entropy, hinge"]),
        (MINIMAL + "[training]\ndevice='cuda'", ["training.device = 'cuda'", "use 'cpu'"]),
        (MINIMAL.replace('"digits"', '"npz"\npath="none.npz"'), ["task.path = 'none.npz'", "does not exist"]),
        (MINIMAL.replace('"mlp"', '"mlp"\nwidths=[1000000000000]'), ["model 'mlp'", "too large for the memory"]),
        (MINIMAL.replace('"digits"', f'"blobs"\nexamples={2**62}'), ["task 'blobs'", "too large for the memory"]),
        (MINIMAL + "[training]\naugment=['noise']\n", None),
        (
            MINIMAL.replace('"digits"', '"recall"').replace('"mlp"', '"gru"') + "[training]\naugment=['noise']\n",
            ["training.augment", "'noise'", "symbols"],
        ),
        (MINIMAL.replace('"digits"', '"wine"') + "[training]\naugment=['flip']\n", ["training.augment", "'flip'"]),
        (
            MINIMAL.replace('"mlp"', '"mlp"\nnorm="batch"') + "[training]\nbatch_size=1",
            ["training.batch_size", "batch normalisation", "model.norm = layer"],
        ),
        (MINIMAL.replace('"mlp"', '"resnet"') + "[training]\nbatch_size=1", None),  # many pixels: a variance
    ],
)
def test_what_does_not_fit_together_names_the_file_too(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = load_recipe(written(tmp_path, text))
    if words is None:
        assemble(recipe)
        return
    with pytest.raises(BabysitError) as error:
        assemble(recipe)
    message = str(error.value)
    assert "\n" not in message and message.startswith(recipe.origin) and "mine.toml" in recipe.origin
    for word in words:
        assert word in message
