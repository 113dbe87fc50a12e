"""The documentation pages of the checks, made from their docstrings.

python -m probes.checks.pages docs/checks        writes them
"""

from __future__ import annotations

import sys
from pathlib import Path

from probes.checks.registry import Check, all_checks

HEAD = """# Sanity checks

What `babysit check TARGET` and `probes.check(model, loss_fn, data, optimizer=...)` run, in this order. Each check
passes, warns (it trains, but probably not well), fails (it will not train, or trains something else than is meant),
or is skipped with the reason. Nothing of yours is changed: parameters, gradients, optimizer and random state are the
same to the bit afterwards.

How often they are right is measured in [results.md](results.md).

- **Data.** A DataLoader, an iterable of `(inputs, targets)`, or one such pair; `unpack=` turns anything else into that.
  The checks work with 8 batches at most (`max_batches=`); an iterator is advanced by these, everything else keeps its
  position. Data with a length is looked through beyond them for NaN and labels, for a twentieth of the budget.
  Sequences that go time first are found out where the shapes leave no other reading, else pass `batch_dim=1`.
  `forward=` says how the model is called.
- **Losses.** Cross-entropy, NLL, BCE, MSE, L1, Huber, KL, Poisson, focal and margin losses are recognised, also inside
  a function of yours. Of any other loss what needs its closed form is skipped and says what to pass (`expected_loss=`,
  the loss of a model that knows nothing); the rest is checked all the same.
- **Your code raises.** The first check that meets it fails and names the module; those that need the same are skipped
  and point there. Data or arguments that cannot be used at all raise one `BabysitError`. A check that breaks by itself
  is skipped with the reason: it says nothing about the model.
- **Time.** `budget=60` seconds are shared out over the checks; what was cut short says so.
- **In code, before every training**: `probes.watch(..., check_first=(loss_fn, data))`. A check that fails raises
  `SanityCheckError` before the first step, and the run is recorded as "crashed" with the report beside it; a warning is
  logged; a run that is continued is not checked again. A dict (`{"data": loader, "budget": 20}`) passes arguments on.
  With DDP rank 0 checks and the others wait for its verdict.
- **Exit code** of `babysit check`: 0 nothing found, 1 a warning or failure, 2 nothing could be judged.
- **Saved** as `checks.json` in the run directory (`run_dir=`, `--run-dir`). `evidence` holds what the pictures are made
  of: `overfit-small-batch` (`curves`: loss and accuracy per learning rate), `learning-rate-range` (`rates`, `losses`,
  `smoothed`, `suggested`, `configured`), `initialization` (`layers`: output scale through depth; `gradients`),
  `input-normalization` (`inputs`: histogram and channel statistics; `images`: uint8 [n, c, h, w] as the net sees them),
  `label-sanity` (`counts`), `input-dependence` (`curves`), `parameters-change` (`update_ratios`).

| check | question |
|---|---|
"""


def page(chosen: Check) -> str:
    """One check's page, in Markdown."""
    _, _, body = chosen.doc.strip().partition("\n")
    return f"# {chosen.slug}\n\n*{chosen.title}*\n\n{body.strip()}\n"


def index() -> str:
    """The list of all checks, in Markdown."""
    return HEAD + "".join(f"| [{c.slug}]({c.slug}.md) | {c.title} |\n" for c in all_checks())


def pages() -> dict[str, str]:
    """File name -> content of every generated page."""
    return {"index.md": index(), **{f"{chosen.slug}.md": page(chosen) for chosen in all_checks()}}


def main() -> None:
    """Write the pages into the directory given on the command line."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/checks")
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in pages().items():
        (directory / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
