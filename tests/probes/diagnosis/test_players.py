"""A generator and a discriminator, on made series: what is told without a loss that has to fall, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.achieved import achieved
from probes.diagnosis.engine import judge
from probes.diagnosis.generation import generation
from probes.diagnosis.signs.critics_input import critics_input
from probes.diagnosis.view import RunView

END = 1000
EPOCHS = np.arange(0, END + 1, 50)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400, 700, 1000])
VARIANCE = 8.0
LEARNS = 40.0 * np.exp(-EPOCHS / 80) + 0.2
NEVER = np.linspace(40.0, 40.5, len(EPOCHS))
SHAPES = {
    "generator.fc": ("Linear", (64, 16), (32, 64)),
    "generator.head": ("Linear", (36, 64), (32, 36)),
    "generator.tanh": ("Tanh", None, (32, 36)),
    "discriminator.conv": ("Linear", (32, 36), (32, 32)),
    "discriminator.head": ("Linear", (1, 32), (32, 1)),
}
WEIGHTS = [f"{name}.weight" for name, (_, shape, _) in SHAPES.items() if shape]


def manifest(**group):
    parameters = [
        {"name": f"{name}.weight", "module": name, "shape": list(shape), "dtype": "float32", "trainable": True}
        for name, (_, shape, _) in SHAPES.items()
        if shape
    ]
    modules = [{"name": n, "type": t, "output_shape": list(o)} for n, (t, _, o) in SHAPES.items()]
    modules[2]["activation"] = "tanh"
    optimizers = [
        {"class": "Adam", "groups": [{"lr": 1e-3, "weight_decay": 0.0, **group, "parameters": held}]}
        for held in (WEIGHTS[2:], WEIGHTS[:2])
    ]
    return {"model": {"parameters": parameters, "modules": modules}, "optimizers": optimizers}


def table(names, of, steps=FRAMES):
    """Layers that each have the values ``of`` a name, the same in all frames where it is a number."""
    return (names, steps, np.stack([np.broadcast_to(of(name), len(steps)) for name in names], axis=1))


def view(
    distance=LEARNS,
    score=True,
    norms=lambda name: 2.0,
    ratio=1e-3,
    spreads=lambda name: 0.5,
    critic=1.0,
    rates=None,
    low=lambda name: -0.05,
    high=lambda name: 0.05,
    saturated=0.0,
    status="finished",
    at_step=None,
    name="val/frechet_distance",
    **group,
):
    """A run of two players; healthy as it is."""
    steps = np.arange(1, END + 1)
    noise = 1.0 + 0.1 * np.sin(np.arange(END))
    series = {
        "train/generator_loss": (steps, np.linspace(0.8, 1.2, END) * noise),
        "train/discriminator_loss": (steps, np.broadcast_to(critic, END) * 1.3 * noise),
        "optimizer/lr": (steps, np.full(END, 1e-3) if rates is None else rates),
    }
    if distance is not None:
        series[name] = (EPOCHS[: len(distance)], distance)
        if score:
            series["val/frechet_score"] = (EPOCHS[: len(distance)], 1.0 - np.asarray(distance) / VARIANCE)
    zero = np.append(0, FRAMES)
    layers = {
        "weight_norm": table(WEIGHTS, norms, zero),
        "update_norm": table(WEIGHTS, lambda n: ratio * np.broadcast_to(norms(n), 12)[1:]),
        "grad_norm": table(WEIGHTS, lambda n: 0.5),
        "activation_std": table(list(SHAPES), spreads),
        "activation_mean": table(list(SHAPES), lambda n: 0.0),
        "batch_variation": table(list(SHAPES), lambda n: 0.8),
        "saturated_fraction": table(["generator.tanh"], lambda n: saturated),
        "weight_min": table(WEIGHTS, low, zero),
        "weight_max": table(WEIGHTS, high, zero),
        "input_mean": table(["0"], lambda n: 0.0),
        "input_std": table(["0"], lambda n: 1.0),
    }
    return RunView.of_arrays(series, layers, manifest=manifest(**group), status=status, at_step=at_step)


def said(rule, **changes):
    report = judge(view(**changes), [RULES[rule]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason]
    return [finding.severity for finding in report.findings]


def loud(run):
    report = judge(run, RULES.values())
    assert not [entry for entry in report.not_judged if "failed" in entry.reason]
    return [finding.rule for finding in report.findings if finding.severity != "info"]


def test_two_players_of_whom_one_learns_to_draw_are_no_finding_at_any_moment():
    assert loud(view()) == []
    for moment in (10, 50, 100, 200, 500, 900):
        assert loud(view(at_step=moment, status="running")) == []


def test_the_progress_of_a_distance_is_measured_from_that_of_the_mean():
    learned = achieved(view(distance=np.linspace(40.0, 4.0, len(EPOCHS))))
    assert learned is not None
    assert learned.share == pytest.approx(1.0 - 4.9 / VARIANCE)  # 5.8 and 4 are the last tenth
    without = achieved(view(distance=np.linspace(40.0, 4.0, len(EPOCHS)), score=False))
    assert without is not None
    assert without.variance is None
    assert without.share == pytest.approx(1.0 - 4.9 / 40.0)


@pytest.mark.parametrize("name", ["val/fid", "eval/FID", "gan/kid", "mmd/val"])
def test_distances_go_by_many_names(name):
    assert generation(view(name=name, score=False)) is not None


@pytest.mark.parametrize("name", ["val/frechet_score", "val/fid_loss", "val/best_fid", "val/accuracy", "val/fidelity"])
def test_other_series_are_no_distance(name):
    assert generation(view(name=name, score=False)) is None


def test_a_distance_that_was_not_measured_before_the_first_epoch_tells_no_progress():
    late = RunView.of_arrays({"val/fid": (EPOCHS[1:], LEARNS[1:]), "train/d_loss": (EPOCHS[1:], LEARNS[1:])})
    assert generation(late) is None
    both = RunView.of_arrays({"val/fid": (EPOCHS, LEARNS), "test/fid": (EPOCHS, LEARNS)})
    assert generation(both) is None


def test_steps_that_lead_nowhere_are_too_small():
    assert said("learning-rate-too-low", distance=NEVER, ratio=1e-6) == ["warning"]
    assert said("learning-rate-too-low", ratio=1e-6) == []  # it learned all the same
    assert said("learning-rate-too-low", distance=NEVER) == []
    assert said("learning-rate-too-low", distance=None, ratio=1e-6) == []


def test_a_schedule_takes_the_rate_away():
    gone = 1e-3 * 0.7 ** np.arange(END)
    stays = 30.0 + 10.0 * np.exp(-EPOCHS / 20)
    assert said("learning-rate-too-low", distance=stays, rates=gone) == ["warning"]
    assert said("learning-rate-too-low", distance=stays) == []


def test_equal_weights_do_harm_where_nothing_is_learned():
    same = {"low": lambda name: 0.1, "high": lambda name: 0.1}
    assert said("symmetric-initialization", distance=NEVER, **same) == ["critical"]
    assert said("symmetric-initialization", **same) == []
    assert said("symmetric-initialization", distance=NEVER) == []


def test_decay_that_takes_the_weights_away():
    fading = np.append(2.0, 2.0 * np.exp(-FRAMES / 100))
    shrinks = {"norms": lambda name: fading, "weight_decay": 20.0}
    assert said("weight-decay-too-strong", distance=NEVER, **shrinks) == ["critical"]
    assert said("weight-decay-too-strong", distance=NEVER, weight_decay=1e-4) == []


def test_weights_that_grow_while_nothing_is_learned():
    growing = np.append(2.0, 2.0 + FRAMES / 5.0)
    assert said("weights-growing", distance=NEVER, norms=lambda name: growing) == ["warning"]
    assert said("weights-growing", norms=lambda name: growing) == ["info"]


def test_weights_that_are_blown_up_at_once():
    blown = np.append(2.0, np.minimum(2.0 + FRAMES / 5.0, 40.0))
    assert said("learning-rate-too-high", distance=NEVER, norms=lambda name: blown) == ["warning"]
    assert said("learning-rate-too-high", norms=lambda name: blown) == []
    assert said("learning-rate-too-high", distance=NEVER, norms=lambda name: blown, status="running") == []
    assert said("learning-rate-too-high", distance=NEVER) == []


def test_a_saturated_end_of_the_generator_is_told_when_the_run_is_over():
    assert said("saturated-activations", distance=NEVER, saturated=0.9) == ["critical"]
    assert said("saturated-activations", distance=NEVER, saturated=0.9, status="running") == []
    assert said("saturated-activations", saturated=0.9) == []
    some = 10.0 - 4.0 * np.linspace(0.0, 1.0, len(NEVER))  # poor, but learning: the pictures may be black and white
    assert said("saturated-activations", distance=some, saturated=0.9) == []


def test_a_distance_that_training_makes_larger_diverges():
    worse = np.linspace(40.0, 130.0, len(EPOCHS))
    assert said("loss-diverging", distance=worse) == ["warning"]
    assert said("loss-diverging", distance=worse, status="running") == []
    back = np.where(EPOCHS < 500, worse, LEARNS)
    assert said("loss-diverging", distance=back) == []
    assert said("loss-diverging", distance=NEVER) == []


def test_a_generator_that_comes_nearer_to_the_end_was_trained_for_too_short_a_time():
    on_its_way = np.linspace(40.0, 28.0, len(EPOCHS))
    assert said("training-too-short", distance=on_its_way) == ["warning"]
    assert said("training-too-short", distance=on_its_way, status="running") == []
    at_rest = 28.0 + 12.0 * np.exp(-EPOCHS / 60)
    assert said("training-too-short", distance=at_rest) == []
    assert said("training-too-short", distance=np.linspace(40.0, 2.0, len(EPOCHS))) == []  # near already
    assert said("training-too-short") == []


def test_a_run_that_ends_within_its_warm_up_was_too_short():
    raised = np.linspace(1e-6, 1e-3, END)
    nearer = np.linspace(40.0, 13.0, len(EPOCHS))
    assert said("training-too-short", distance=nearer, rates=raised) == ["warning"]
    lost = np.where(EPOCHS < 500, nearer, 35.0)  # it was nearer before: the rate was raised too far
    assert said("training-too-short", distance=lost, rates=raised) == []
    assert said("training-too-short", rates=raised) == []


def test_the_first_layer_of_a_discriminator_tells_how_large_its_inputs_are():
    # Outputs of 6 by weights of norm 2 from 36 inputs to 32 units: 6 * sqrt(32 / 36) / 2 = 2.83 at least.
    bytes_in = {"spreads": lambda name: 60.0 if name == "discriminator.conv" else 0.5}
    found = critics_input(view(**bytes_in))
    assert found is not None
    assert found.least == pytest.approx(60.0 * np.sqrt(32 / 36) / 2.0)
    assert said("unnormalized-inputs", distance=NEVER, **bytes_in) == ["warning"]
    assert said("unnormalized-inputs", **bytes_in) == ["info"]
    won = np.where(np.arange(END) < 100, 1.0, 1e-4)
    assert said("unnormalized-inputs", distance=None, critic=won, **bytes_in) == ["warning"]
    assert said("unnormalized-inputs", distance=NEVER) == []


def test_the_bound_on_the_inputs_holds_for_any_weights():
    generator = np.random.default_rng(0)
    for _ in range(20):
        weights = generator.normal(size=(32, 36)) * generator.uniform(0.1, 3.0, size=(32, 1))
        inputs = generator.normal(size=(64, 36)) * 3.0 + generator.normal(size=36)
        outputs = inputs @ weights.T
        spreads = {"discriminator.conv": float(np.sqrt(np.mean(outputs**2)))}
        found = critics_input(
            view(
                spreads=lambda name, s=spreads: s.get(name, 0.5),
                norms=lambda name, w=weights: float(np.linalg.norm(w)),
            )
        )
        assert found is not None
        assert found.least <= float(np.sqrt(np.mean(inputs**2)))


def test_a_generator_that_makes_one_grey_image_has_collapsed():
    fades = np.where(FRAMES < 150, 0.5, 0.001)
    grey = {"spreads": lambda name: fades if name == "generator.tanh" else 0.5}
    assert said("collapsed-activations", **grey) == ["warning"]
    calm = {"spreads": lambda name: fades if name == "discriminator.head" else 0.5}
    assert said("collapsed-activations", **calm) == []  # a discriminator in doubt says the same of all
    faint = {"spreads": lambda name: np.where(FRAMES < 150, 0.5, 0.1) if name == "generator.tanh" else 0.5}
    assert said("collapsed-activations", **faint) == []


def test_a_distance_that_nothing_changes_is_to_other_examples():
    grows = {"spreads": lambda name: np.linspace(0.1, 0.5, len(FRAMES)) if name == "generator.tanh" else 0.5}
    far = np.linspace(58_000.0, 58_100.0, len(EPOCHS))
    assert said("validation-anomaly", distance=far, score=False, **grows) == ["warning"]
    won = np.where(np.arange(END) < 100, 1.0, 1e-3)
    assert said("validation-anomaly", distance=far, score=False, critic=won, **grows) == []
    assert said("validation-anomaly", distance=far, score=False) == []  # what is generated is as at first
    assert said("validation-anomaly", **grows) == []


def test_scores_of_a_discriminator_are_not_taken_for_squashed():
    steps = np.array([1, 2, 5, 10, 15, 20])
    given = np.array([0.15, 0.14, 0.1, 0.08, 0.06, 0.05])
    series = {
        "train/generator_loss": (steps, np.full(6, 0.7)),
        "train/discriminator_loss": (steps, np.full(6, 1.3)),
        "data/output_mean": (steps, np.full(6, -0.1)),
        "data/output_std": (steps, given),
        "data/output_min": (steps, np.full(6, -0.6)),
        "data/output_max": (steps, np.full(6, 0.4)),
    }
    layers = {
        "activation_std": table(["discriminator.head"], lambda n: np.linspace(0.15, 1.0, 6), steps),
        "activation_max_abs": table(["discriminator.head"], lambda n: np.linspace(0.5, 3.0, 6), steps),
    }
    told = manifest() | {"loss": {"class": "BCEWithLogitsLoss", "reduction": "mean"}, "data": {"output_shape": [32, 1]}}
    rule = [RULES["loss-output-mismatch"]]
    assert judge(RunView.of_arrays(series, layers, manifest=told, status="running"), rule).findings == []
    alone = {name: curve for name, curve in series.items() if "generator" not in name}
    found = judge(RunView.of_arrays(alone, layers, manifest=told, status="running"), rule).findings
    assert [finding.rule for finding in found] == ["loss-output-mismatch"]


def test_a_player_of_two_units_that_stays_far_is_too_small():
    def narrow(module, **changes):
        run = view(**changes)
        run.manifest["model"]["modules"][module]["output_shape"] = [32, 2]
        report = judge(run, [RULES["underfitting"]])
        assert not [entry for entry in report.not_judged if "failed" in entry.reason]
        return [(finding.severity, finding.layers) for finding in report.findings]

    rests = 5.0 + 35.0 * np.exp(-EPOCHS / 60)
    assert narrow(0, distance=rests) == [("warning", ("generator.fc",))]
    assert narrow(3, distance=rests) == [("warning", ("discriminator.conv",))]
    assert narrow(4, distance=rests) == []  # the last layer of either may be as narrow as it likes
    assert narrow(0) == []  # it came near all the same
    assert narrow(0, distance=rests, status="running") == []
    assert said("underfitting", distance=rests) == []
