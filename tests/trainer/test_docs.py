"""The page about the trainer says what the code does."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from trainer.catalogue import with_catalogue
from trainer.recipe import parse_recipe
from trainer.sections import Fold, Training

PAGE = (Path(__file__).parents[2] / "docs" / "trainer.md").read_text(encoding="utf-8")


def test_the_tables_of_parts_are_those_of_the_code():
    assert with_catalogue(PAGE) == PAGE, "run: python -m trainer.catalogue docs/trainer.md"


def test_the_recipe_on_the_page_is_a_recipe():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
    assert parse_recipe(tomllib.loads(text), "docs", "docs").model.options["widths"] == (128, 64)


@pytest.mark.parametrize(("section", "kind"), [("training", Training), ("fold", Fold)])
def test_every_key_is_described_with_its_default(section, kind):
    text = PAGE.partition(f"### `[{section}]`")[2].partition("\n#")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, flags=re.M))
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    assert rows.keys() == defaults.keys()
    for key, shown in rows.items():
        value = tomllib.loads(f"x = {shown}")["x"]
        assert (tuple(value) if isinstance(value, list) else value) == defaults[key], key
