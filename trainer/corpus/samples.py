"""`python -m trainer.corpus.samples FOLDER`: record anew the runs that a folder's samples.toml lists."""

from __future__ import annotations

import argparse
import fnmatch
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from probes.errors import BabysitError
from trainer.errors import RecipeError
from trainer.recipe import KEPT, load_recipe, read_toml
from trainer.sections import Expect, Recipe

INDEX = "samples.toml"
MANIFEST = "run.json"
LEFT_OUT = ("checkpoint.pt", "writer.lock")  # of use to a training that goes on, not to a reader


@dataclass(frozen=True)
class Sample:
    """One run to record.

    Attributes:
        name: of its directory.
        recipe, settings, fault, seed: what is trained; ``settings`` are the overrides, ``fault`` may be empty.
        every: steps between two frames.
        findings: slugs of the root causes that the diagnosis names, worst first; empty for a healthy run.
        see: what a person should see.
    """

    name: str
    recipe: str
    settings: tuple[str, ...]
    fault: str
    seed: int
    every: int
    findings: tuple[str, ...]
    see: str

    @property
    def command(self) -> list[str]:
        """As one would type it."""
        words = ["babysit", "train", self.recipe]
        for setting in self.settings:
            words += ["--set", setting]
        if self.fault:
            words += ["--fault", self.fault]
        return [*words, "--seed", str(self.seed), "--every", str(self.every)]


def read_index(folder: Path) -> list[Sample]:
    """The samples that ``folder``/samples.toml lists. Raises `RecipeError` for what is not understood."""
    path = folder / INDEX
    return [_sample(name, table, path) for name, table in read_toml(path).items()]


def recipe_of(sample: Sample) -> Recipe:
    """The recipe with everything set, its expectation that of the sample."""
    faults = [f"faults.names={json.dumps([sample.fault])}"] if sample.fault else []
    recipe = load_recipe(
        sample.recipe, [*sample.settings, f"training.seed={sample.seed}", "training.threads=1", *faults]
    )
    at_least = None if sample.findings or sample.settings else recipe.expect.at_least
    return replace(recipe, expect=Expect(at_least, sample.findings, sample.see))


def record(sample: Sample, folder: Path) -> None:
    """Trains it and puts the run into ``folder``/NAME, in place of the one that was there."""
    from trainer.loop import train  # torch is not needed to read the index

    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / sample.name
        outcome = train(recipe_of(sample), made, every=sample.every)
        for name in LEFT_OUT:
            (made / name).unlink(missing_ok=True)
        manifest = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
        (made / MANIFEST).write_text(json.dumps(anonymous(manifest, sample), indent=1), encoding="utf-8")
        reached = f"{outcome.metric} {outcome.score:.3f} on validation after {outcome.steps} steps"
        (made / "README.md").write_text(page(sample, reached), encoding="utf-8")
        shutil.rmtree(folder / sample.name, ignore_errors=True)
        shutil.copytree(made, folder / sample.name)


def anonymous(manifest: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """The manifest without host, process, paths and commit: what stays is what the run can be repeated with."""
    kept = {key: manifest["environment"].get(key) for key in ("python", "torch", "device", "threads")}
    return {**manifest, "environment": {**kept, "argv": sample.command}}


def page(sample: Sample, reached: str) -> str:
    """The README of one sample."""
    expected = ", ".join(f"`{slug}`" for slug in sample.findings) or "none: this run is healthy"
    return (
        f"# {sample.name}\n\n{sample.see}\n\n"
        f"- findings expected: {expected}\n"
        f"- reached: {reached}\n"
        f"- made by: `{' '.join(sample.command)}`\n"
        f"- its recipe, with all defaults: [{KEPT}]({KEPT})\n"
    )


def gallery(samples: Sequence[Sample]) -> str:
    """The README of the folder: one row a sample."""
    lines = [
        "# Recorded runs",
        "",
        "Short trainings, healthy and ill, recorded with `babysit train`. Open all of them with "
        "`babysit dashboard sample_runs`, or ask about one: `babysit diagnose sample_runs/rate-too-high`. Each "
        "directory holds the recipe that made it and says what to look for; `make samples` records them anew.",
        "",
        "| run | findings expected | what to see |",
        "|---|---|---|",
    ]
    for sample in samples:
        expected = ", ".join(f"`{slug}`" for slug in sample.findings) or "none"
        lines.append(f"| [{sample.name}]({sample.name}) | {expected} | {sample.see} |")
    return "\n".join(lines) + "\n"


def _sample(name: str, table: Any, path: Path) -> Sample:
    known = {"recipe": str, "set": list, "fault": str, "seed": int, "every": int, "findings": list, "see": str}
    if not isinstance(table, dict) or "recipe" not in table or "see" not in table:
        raise RecipeError(f"{path}: {name}: a table with at least recipe and see is needed")
    for key, value in table.items():
        if key not in known or not isinstance(value, known[key]):
            raise RecipeError(f"{path}: {name}.{key}: found {value!r}, allowed keys: {', '.join(known)}")
    return Sample(
        name,
        table["recipe"],
        tuple(table.get("set", ())),
        table.get("fault", ""),
        table.get("seed", 0),
        table.get("every", 10),
        tuple(table.get("findings", ())),
        table["see"],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer.corpus.samples", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"the folder with {INDEX}")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names to record, such as 'healthy-*'")
    args = parser.parse_args(arguments)
    try:
        samples = [sample for sample in read_index(args.folder) if fnmatch.fnmatch(sample.name, args.only)]
        for number, sample in enumerate(samples, 1):
            print(f"{number}/{len(samples)} {sample.name}", flush=True)
            record(sample, args.folder)
        (args.folder / "README.md").write_text(gallery(read_index(args.folder)), encoding="utf-8")
    except BabysitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
