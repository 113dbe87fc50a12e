"""A loss that rises because harder examples came: on its way down again by small steps, it is no disaster."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200])
CHANGE, NOW = 250, 400


def log(
    *,
    size: float = 0.001,
    status: str = "running",
    falls: bool = True,
    height: float = 1.0,
    later: float | None = None,
    slowly: float = 1.0,
) -> RunView:
    """An easy task that is learned to nothing; at step 250 the loss is ``height`` at once, and falls, or does not.

    Steps are of ``size``, and ``later`` at a frame after the change.
    """
    frames = FRAMES if later is None else np.r_[FRAMES, 300]
    sizes = np.array([size] * len(FRAMES) + [later] * (len(frames) - len(FRAMES)), dtype=float)[:, None]
    random, steps = np.random.default_rng(0), np.arange(1, NOW + 1)
    easy = 0.5 * np.exp(-steps / 10.0)
    hard = (
        height
        * np.exp(-(steps - CHANGE) / (slowly * (400.0 if falls else -400.0)))
        * np.exp(0.2 * random.standard_normal(NOW))
    )
    norms = np.full((len(frames), 1), 8.0)
    tables = {
        "weight_norm": (["a.weight"], frames, norms),
        "update_norm": (["a.weight"], frames, sizes * norms),
    }
    parameters = [{"name": "a.weight", "module": "a", "shape": (64, 64)}]
    manifest = {
        "model": {"parameters": parameters, "modules": [{"name": "a", "type": "Linear"}]},
        "optimizers": [{"class": "Adam", "groups": [{"lr": 0.001, "parameters": ["a.weight"]}]}],
    }
    loss = np.where(steps < CHANGE, easy, hard)
    return RunView.of_arrays({"train/loss": (steps, loss)}, tables, manifest=manifest, status=status)


def diverges(view: RunView) -> bool:
    return bool(judge(view, [RULES["loss-diverging"]]).findings)


def test_a_curriculum_that_became_harder_is_no_divergence_while_it_is_learned():
    assert not diverges(log())


def test_the_steps_before_a_rise_made_it_not_those_that_follow():
    assert not diverges(log(later=0.008, slowly=3.0))
    assert diverges(log(size=0.008, later=0.001, slowly=3.0))
    assert diverges(log(later=0.04, slowly=3.0))


@pytest.mark.parametrize(
    "ill",
    [
        {"falls": False},
        {"size": 0.04},  # steps that may have done it themselves
        {"status": "finished"},  # it never came back
        {"height": 40.0},  # a disaster, however it goes on
    ],
)
def test_a_rise_that_goes_on_or_was_made_by_large_steps_or_is_the_end_is_one(ill):
    assert diverges(log(**ill))


def explodes(after: float) -> bool:
    """The gradient of the hard task is a thousand times that of the easy one; its loss goes on ``after`` step 250."""
    random, steps, frames = np.random.default_rng(1), np.arange(1, 501), np.r_[FRAMES[:-1], np.arange(120, 501, 20)]
    loss = np.where(steps < CHANGE, 0.5 * np.exp(-steps / 10.0), np.exp(after * (steps - CHANGE) / 400.0))
    loss = loss * np.exp(0.1 * random.standard_normal(500))
    gradient = np.where(frames < CHANGE, 0.01, 10.0)[:, None]
    norms = np.full((len(frames), 1), 8.0)
    tables = {"weight_norm": norms, "update_norm": 0.001 * norms, "grad_norm": gradient}
    manifest = {
        "model": {"parameters": [{"name": "a.weight", "module": "a", "shape": (64, 64)}]},
        "optimizers": [{"class": "Adam", "groups": [{"lr": 0.001, "parameters": ["a.weight"]}]}],
    }
    view = RunView.of_arrays(
        {"train/loss": (steps, loss)},
        {kind: (["a.weight"], frames, values) for kind, values in tables.items()},
        manifest=manifest,
        status="running",
    )
    return bool(judge(view, [RULES["exploding-gradients"]]).findings)


def test_gradients_of_harder_examples_have_not_exploded_while_their_loss_falls():
    assert not explodes(-1.0)
    assert explodes(+1.0)
