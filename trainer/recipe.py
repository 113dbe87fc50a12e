"""Recipes: small typed TOML files that say what is trained, on what and how.

A recipe is read into frozen dataclasses. Every key is checked against the options of the part it names; an
error names the file, the key, what was found and what is allowed.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from probes.errors import UnknownNameError
from trainer.errors import RecipeError, did_you_mean, unknown_name
from trainer.losses import LOSSES
from trainer.models import MODELS
from trainer.optimizers import OPTIMIZERS
from trainer.registry import Registry
from trainer.schedules import SCHEDULES
from trainer.sections import Choice, Expect, Faults, Fold, Recipe, Training
from trainer.tasks import TASKS
from trainer.toml_writer import to_toml
from trainer.typed import coerce

FOLDER = Path(__file__).parent / "recipes"
AUTO = "auto"
KEPT = "recipe.toml"  # the recipe of a run, in its directory


# section -> (its registry, the name taken when the recipe leaves it out)
_CHOICES: dict[str, tuple[Registry, str | None]] = {
    "task": (TASKS, None),
    "model": (MODELS, None),
    "loss": (LOSSES, AUTO),
    "optimizer": (OPTIMIZERS, None),
    "schedule": (SCHEDULES, "constant"),
}
_TABLES: dict[str, type] = {"training": Training, "faults": Faults, "fold": Fold, "expect": Expect}


def recipe_names() -> list[str]:
    """Names of the recipes that come with babysit."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe by name, or from a path that ends in ``.toml``; ``overrides`` are
    ``"section.key=value"``.

    Raises `UnknownNameError` for a name or part that does not exist, `RecipeError` for everything else.
    """
    path = find_recipe(recipe)
    origin = recipe if recipe.endswith(".toml") else f"recipe '{recipe}'"
    return parse_recipe(read_toml(path), origin, path.stem, overrides)


def find_recipe(recipe: str) -> Path:
    """The file of a recipe given by name or by path."""
    if recipe.endswith(".toml"):
        path = Path(recipe)
        if not path.is_file():
            raise RecipeError(f"recipe file {recipe} does not exist; 'babysit train --list' shows the recipes by name")
        return path
    if recipe not in recipe_names():
        raise unknown_name("recipe", recipe, recipe_names())
    return FOLDER / f"{recipe}.toml"


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None


def parse_recipe(document: Mapping[str, Any], origin: str, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe out of a parsed TOML document; ``origin`` is what errors call it."""
    _known_keys(document, ("title", *_CHOICES, *_TABLES), origin)
    tables = {section: _table(document, section, origin) for section in (*_CHOICES, *_TABLES)}
    sources = {section: dict.fromkeys(table, origin) for section, table in tables.items()}
    for override in overrides:
        _override(tables, sources, override)
    parts: dict[str, Any] = {}
    for section, (registry, default) in _CHOICES.items():
        parts[section] = _choice(tables[section], section, registry, default, origin, sources[section])
    for section, kind in _TABLES.items():
        parts[section] = _dataclass(tables[section], section, kind, sources[section])
    title = document.get("title", "")
    if not isinstance(title, str):
        raise RecipeError(f"{origin}: title: found {title!r}, allowed: a string")
    return Recipe(name=name, title=title, **parts, origin=origin)


def as_document(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain tables, all defaults filled in; `parse_recipe` of it gives the recipe back."""
    document: dict[str, Any] = {"title": recipe.title}
    for section in _CHOICES:
        choice: Choice = getattr(recipe, section)
        document[section] = {"name": choice.name, **_plain(choice.options)}
    for section in _TABLES:
        document[section] = _plain(dataclasses.asdict(getattr(recipe, section)))
    return document


def keep_recipe(recipe: Recipe, run_dir: Path) -> None:
    """Writes the recipe, all defaults filled in, beside the run it made."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / KEPT).write_text(to_toml(as_document(recipe)), encoding="utf-8")
    except OSError as error:
        raise RecipeError(
            f"{run_dir / KEPT}: cannot be written: {error.strerror}; name another run directory"
        ) from None


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no null (such keys are left out) and no tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items() if v is not None}


def _known_keys(found: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise RecipeError(f"{where}: {key}: unknown key; {did_you_mean(key, known)}")


def _table(document: Mapping[str, Any], section: str, origin: str) -> dict[str, Any]:
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise RecipeError(f"{origin}: {section}: found {table!r}, allowed: a table [{section}]")
    return dict(table)


def _override(tables: dict[str, dict[str, Any]], sources: dict[str, dict[str, str]], override: str) -> None:
    target, equals, text = override.partition("=")
    section, dot, key = target.strip().partition(".")
    origin = f"--set {override}"
    if not (equals and dot and key):
        raise RecipeError(f"{origin}: allowed: --set section.key=value, such as --set optimizer.lr=0.01")
    if section not in tables:
        raise RecipeError(f"{origin}: unknown section '{section}'; {did_you_mean(section, tables)}")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word, as people type it: --set optimizer.name=adam
    if key == "name" and tables[section].get("name") != value:
        tables[section].clear()  # the options belonged to another part
        sources[section].clear()
    tables[section][key] = value
    sources[section][key] = origin


def _choice(
    table: dict[str, Any],
    section: str,
    registry: Registry,
    default: str | None,
    origin: str,
    sources: Mapping[str, str],
) -> Choice:
    name = table.pop("name", default)
    where = sources.get("name", origin)
    if name is None:
        raise RecipeError(f"{where}: {section}.name: missing; allowed: {', '.join(registry)}")
    if not isinstance(name, str):
        raise RecipeError(f"{where}: {section}.name: found {name!r}, allowed: {', '.join(registry)}")
    if name == AUTO and default == AUTO:
        _known_keys(table, (), f"{where}: {section}")
        return Choice(AUTO)
    try:
        entry = registry[name]
    except UnknownNameError as error:
        raise UnknownNameError(f"{where}: {section}.name: {error}") from None
    return Choice(name, _checked(lambda: entry.options(table, _locate(section, sources, origin))))


def _dataclass(table: dict[str, Any], section: str, kind: type, sources: Mapping[str, str]) -> Any:
    types = typing.get_type_hints(kind, include_extras=True)
    locate = _locate(section, sources, "")
    values = {}
    for key, value in table.items():
        if key not in types:
            raise RecipeError(f"{locate(key)}: unknown key; {did_you_mean(key, types)}")
        try:
            values[key] = coerce(value, types[key])
        except ValueError as error:
            raise RecipeError(f"{locate(key)}: {error}") from None
    return kind(**values)


def _locate(section: str, sources: Mapping[str, str], origin: str) -> Callable[[str], str]:
    return lambda key: f"{sources.get(key, origin)}: {section}.{key}"


def _checked(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise RecipeError(str(error)) from None
