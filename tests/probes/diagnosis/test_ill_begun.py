"""Weights that begin beyond any scheme in use, or hidden by normalisation, and inputs in hundreds: on made series."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.broken import broken_loss
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 400])
VALIDATIONS = np.arange(0, 401, 20)
RNG = np.random.default_rng(0)
NAMES = ["a.weight", "a.bias", "n.weight", "n.bias", "b.weight", "b.bias"]
SHAPES = [[64, 64], [64], [64], [64], [10, 64], [10]]


def view(
    gain=8.0, first=9.0, end=0.3, right=0.85, steps=2e-3, biases=0.0, norm="BatchNorm1d", status="finished", **more
):
    """A classifier of ten classes whose loss falls from ``first`` to ``end``, and its validation accuracy to ``right``.

    Args:
        gain: standard deviation of the weights times root of the fan-in; He: 1.4.
        steps: size of the updates over that of the weights.
        biases: largest of the biases before the first update.
        more: ``loss`` and ``manifest`` to use in place of those, size of the ``inputs``, deviation of the ``targets``
            and of the ``outputs`` of the first layer.
    """
    loss = end + (first - end) * np.exp(-STEPS / 25.0) + 0.02 * RNG.standard_normal(400)
    series = {
        "train/loss": (STEPS, more.get("loss", loss)),
        "val/accuracy": (VALIDATIONS, right * (1 - np.exp(-VALIDATIONS / 40))),
    }
    if "targets" in more:  # a regression: no accuracy, but targets of this standard deviation
        series = {"train/loss": series["train/loss"], "data/target_std": (STEPS, np.full(400, more["targets"]))}
    parameters = [
        {"name": n, "module": n[0], "shape": s, "trainable": True} for n, s in zip(NAMES, SHAPES, strict=True)
    ]
    types = {"a": "Linear", "n": norm, "b": "Linear"}
    modules = [{"name": n, "type": t, "output_shape": [32, 10 if n == "b" else 64]} for n, t in types.items()]
    manifest = {
        "model": {"parameters": parameters, "modules": modules},
        "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
        "data": {"classes": 10, "label_counts": [30] * 10},
    } | more.get("manifest", {})
    low = np.tile([-gain / 8, -biases, 1.0, 0.0, -gain / 8, -biases], (10, 1))
    high = np.tile([gain / 8, biases, 1.0, 0.0, gain / 8, biases], (10, 1))
    inputs = more.get("inputs", 1.0)
    outputs = more.get("outputs", gain * inputs)
    layers = {
        "weight_std": (NAMES, FRAMES, np.tile([gain / 8, 0.0, 0.0, 0.0, gain / 8, 0.0], (10, 1))),
        "weight_min": (NAMES, FRAMES, low),
        "weight_max": (NAMES, FRAMES, high),
        "weight_norm": (NAMES, FRAMES, np.ones((10, 6))),
        "update_norm": (NAMES, FRAMES[1:], np.zeros((9, 6)) + steps),
        "activation_mean": (["a", "n", "b"], FRAMES[1:], np.zeros((9, 3))),
        "activation_std": (["a", "n", "b"], FRAMES[1:], np.tile([outputs, 1.0, gain / 2], (9, 1))),
        "input_mean": (["all"], FRAMES[1:], np.full(9, inputs)),
        "input_std": (["all"], FRAMES[1:], np.full(9, inputs / 2)),
    }
    return RunView.of_arrays(series, layers, manifest=manifest, status=status)


def said(slug, *arguments, **options):
    report = judge(view(*arguments, **options), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [(finding.severity, finding.message) for finding in report.findings]


class TestFarTooLarge:
    def said(self, **options):
        return said("poor-initialization", **options)

    def test_a_tenth_that_stays_wrong_is_enough(self):
        ((severity, message),) = self.said()
        assert severity == "warning"
        assert "far too large" in message
        assert "8" in message

    @pytest.mark.parametrize(
        "healthy",
        [
            {"right": 0.97},  # it did no harm
            {"gain": 1.4},  # He
            {"gain": 2.5},  # large, but in use
            {"biases": 0.5},  # trained before: on other labels a first loss is high as well
            {"first": 2.3},  # nothing shows
            {"status": "running"},  # it may get better yet
        ],
    )
    def test_the_same_in_a_run_that_is_none(self, healthy):
        assert self.said(**healthy) == []

    def test_steps_that_are_small_beside_the_weights_show_it_too(self):
        assert [severity for severity, _ in self.said(first=2.3, steps=3e-4)] == ["warning"]
        assert self.said(first=2.3, steps=3e-4, gain=1.4) == []
        assert self.said(first=2.3, steps=3e-4, norm="Identity") == [], "without normalisation steps are no measure"

    def test_a_loss_that_breaks_is_harm(self):
        broken = np.where(STEPS < 3, 9.0, np.nan)
        ((severity, message),) = self.said(loss=broken)
        assert severity == "warning"
        assert "is no number from step 3 on" in message
        assert self.said(loss=broken, gain=1.4) == []
        assert self.said(loss=broken, biases=0.5) == []

    def test_a_regression_is_measured_by_the_variance_of_its_targets(self):
        own = {"loss": {"class": "MSELoss", "reduction": "mean"}, "data": {}}
        run = view(first=120.0, end=40.0, manifest=own, gain=4.4, targets=0.9)
        (finding,) = judge(run, [RULES["poor-initialization"]]).findings
        assert "far too large" in finding.message
        a_fifth = view(first=120.0, end=0.2, manifest=own, gain=4.4, targets=0.9)
        assert [f.severity for f in judge(a_fifth, [RULES["poor-initialization"]]).findings] == ["warning"]
        trained_before = view(first=120.0, end=0.2, manifest=own, gain=4.4, targets=0.9, biases=0.5)
        assert judge(trained_before, [RULES["poor-initialization"]]).findings == []
        learns = view(first=120.0, end=0.04, manifest=own, gain=4.4, targets=0.9)
        assert judge(learns, [RULES["poor-initialization"]]).findings == []
        usual = view(first=120.0, end=40.0, manifest=own, gain=1.4, targets=0.9)
        assert judge(usual, [RULES["poor-initialization"]]).findings == []


class TestSmallBehindNormalisation:
    def said(self, **options):
        return said("poor-initialization", **({"gain": 0.08, "first": 2.3, "end": 1.3, "right": 0.5} | options))

    def test_steps_that_turn_small_weights_too_fast(self):
        ((severity, message),) = self.said(steps=0.04)
        assert severity == "warning"
        assert "Normalisation hides it" in message

    def test_the_median_is_over_the_steps_and_not_over_the_frames_which_are_dense_at_first(self):
        slow_at_first = np.where(FRAMES[1:] < 100, 2e-3, 0.04)[:, None]
        assert [severity for severity, _ in self.said(steps=slow_at_first)] == ["warning"]
        assert self.said(steps=np.where(FRAMES[1:] < 100, 0.04, 2e-3)[:, None]) == []

    @pytest.mark.parametrize(
        "healthy",
        [
            {"steps": 2e-3},
            {"steps": 0.04, "end": 0.4, "right": 0.9},
            {"steps": 0.04, "gain": 0.6},
            {"steps": 0.04, "norm": "LayerNorm"},  # in front of the weights of a transformer: their scale counts
        ],
    )
    def test_usual_steps_and_weights_and_a_net_that_learns(self, healthy):
        assert self.said(**healthy) == []


class TestOutputsNextToNothing:
    def said(self, plateau=0, gain=0.01, right=0.97, tiny=1e-4, end=0.3):
        loss = end + (2.3 - end) * np.exp(-np.maximum(STEPS - plateau, 0) / 25.0) + 0.02 * RNG.standard_normal(400)
        run = view(gain=gain, loss=loss, right=right, norm="Identity")
        read = run._read_layers
        outputs = view(gain=tiny)._read_layers("activation_std")
        run._read_layers = lambda kind: outputs if kind == "activation_std" else read(kind)
        return [finding.severity for finding in judge(run, [RULES["poor-initialization"]]).findings]

    def test_a_quarter_of_the_run_lost_on_a_plateau_or_answers_that_are_not_good(self):
        assert self.said(plateau=140) == ["warning"]
        assert self.said(plateau=40) == []
        assert self.said(right=0.7) == ["warning"]
        assert self.said(plateau=140, gain=0.6, right=0.7) == [], "usual weights"

    def test_outputs_that_are_somewhat_more_where_weights_are_tiny_and_nothing_is_learned(self):
        assert self.said(tiny=8e-3, end=2.2) == ["warning"]
        assert self.said(tiny=8e-3, right=0.7) == [], "the net learns"
        assert self.said(tiny=8e-3, end=2.2, gain=0.2) == [], "weights that are only small"
        assert self.said(tiny=0.1, end=2.2) == [], "outputs that differ"


class TestInputsInHundreds:
    def said(self, **options):
        options = {"gain": 1.4, "inputs": 128.0, "norm": "Identity", "right": 0.75} | options
        return [severity for severity, _ in said("unnormalized-inputs", **options)]

    def test_answers_that_are_not_good(self):
        assert self.said() == ["warning"]
        assert self.said(right=0.95) == ["info"]
        assert self.said(status="running") == ["info"], "it may get better yet"
        assert self.said(norm="BatchNorm1d") == ["info"], "the scale is taken out again"
        assert self.said(inputs=10.0) == ["info"], "large, but not by so much"
        assert self.said(inputs=1.0) == []

    def test_a_loss_that_breaks(self):
        assert self.said(loss=np.where(STEPS < 3, 9.0, np.nan)) == ["warning"]
        assert self.said(loss=np.where(STEPS < 3, 9.0, np.nan), inputs=1.0) == []

    def regressed(self, left, known=True, **options):
        """A regression that comes down from a huge first loss; its targets have a variance of 1."""
        own = {"loss": {"class": "MSELoss", "reduction": "mean"} if known else None, "data": {}}
        loss = left + 300.0 * np.exp(-STEPS / 10)
        return self.said(loss=loss, targets=1.0, manifest=own, **options)

    def test_a_regression_is_measured_by_its_targets(self):
        assert self.regressed(0.5) == ["warning"]
        assert self.regressed(0.1) == ["info"], "it does well"
        assert self.regressed(0.5, status="running") == ["info"], "it may get better yet"
        assert self.regressed(0.5, outputs=1.4) == ["info"], "the first layer takes the scale out"

    def test_where_nothing_is_known_of_guessing_the_scale_must_be_seen_to_go_on(self):
        assert self.regressed(0.5, known=False) == ["warning"]
        assert self.regressed(0.5, known=False, outputs=1.4) == ["info"]
        assert self.regressed(0.5, known=False, inputs=10.0) == ["info"]


def test_a_loss_is_broken_when_it_stays_so():
    run = view(loss=np.where(np.isin(STEPS, (7, 9)), np.inf, 1.0))
    assert broken_loss(run) is None
    broken = broken_loss(view(loss=np.where(STEPS >= 390, np.nan, 1.0)))
    assert broken is not None
    assert broken.step == 390
    assert broken_loss(view(loss=np.where(STEPS >= 399, np.nan, 1.0))) is None, "two may be batches that were skipped"


@pytest.mark.parametrize(("biases", "drawn"), [(0.0, True), (0.12, True), (0.13, False), (2.0, False)])
def test_biases_within_the_bound_that_they_are_drawn_within(biases, drawn):
    assert begins_as_drawn(view(biases=biases)) is drawn  # 1 / sqrt(64) = 0.125


class TestSignalThatFades:
    def said(self, passed=0.001, end=1.4, right=0.7, status="finished"):
        """Four dense layers whose signal has faded to ``passed`` by the last hidden one."""
        names = ["a", "b", "c", "d"]
        parameters = [{"name": f"{n}.weight", "module": n, "shape": [64, 64], "trainable": True} for n in names]
        manifest = {
            "model": {"parameters": parameters, "modules": [{"name": n, "type": "Linear"} for n in names]},
            "loss": {"class": "MultiLabelSoftMarginLoss", "reduction": "mean"},
            "data": {},
        }
        stds = np.tile([1.0, 0.1, passed, passed / 20], (9, 1))
        layers = {
            "weight_std": ([p["name"] for p in parameters], FRAMES, np.full((10, 4), 0.125)),
            "activation_std": (names, FRAMES[1:], stds),
        }
        loss = end + (2.3 - end) * np.exp(-STEPS / 25.0) + 0.02 * RNG.standard_normal(400)
        series = {"train/loss": (STEPS, loss), "val/accuracy": (VALIDATIONS, np.full(len(VALIDATIONS), right))}
        run = RunView.of_arrays(series, layers, manifest=manifest, status=status)
        return [finding.severity for finding in judge(run, [RULES["poor-initialization"]]).findings]

    def test_half_of_the_loss_left_and_answers_that_are_not_good_are_harm(self):
        assert self.said() == ["warning"]
        assert self.said(right=0.9) == [], "good answers"
        assert self.said(end=0.6) == [], "most of the loss is gone"
        assert self.said(passed=0.5) == [], "nothing fades"
        assert self.said(status="running") == [], "it may get better yet"


class TestFarTooLargeWithoutAMeasure:
    """A regression whose targets were not seen: what is left to judge by is whether it was done when it ended."""

    def said(self, pace=300.0, **options):
        loss = 40.0 + 2000.0 * np.exp(-STEPS / 20.0) + 200.0 * np.exp(-STEPS / pace)
        noise = 1.0 + 0.01 * RNG.standard_normal(400)
        own = {"loss": {}, "data": {}}
        run = view(loss=loss * noise - 39.0, manifest=own, targets=1.0, norm="Identity", **options)
        return [finding.severity for finding in judge(run, [RULES["poor-initialization"]]).findings]

    def test_a_loss_that_still_falls_as_fast_when_the_run_ends(self):
        assert self.said(gain=30.0) == ["warning"]
        assert self.said(gain=30.0, pace=40.0) == [], "at rest"
        assert self.said(gain=1.4) == [], "usual weights"
        assert self.said(gain=30.0, status="running") == []

    def test_a_loss_that_comes_down_and_leaps_to_the_end(self):
        def told(share, gain=30.0, height=6.0):
            loss = 8.0 + 1e6 * np.exp(-STEPS / 10.0)
            loss[np.random.default_rng(1).random(400) < share] *= height
            own = {"loss": {}, "data": {}}
            run = view(loss=loss, manifest=own, targets=1.0, norm="Identity", gain=gain)
            return [finding.severity for finding in judge(run, [RULES["poor-initialization"]]).findings]

        assert told(0.15) == ["warning"]
        assert told(0.01) == [], "now and then"
        assert told(0.15, height=1.5) == [], "the noise of batches"
        assert told(0.15, gain=1.4) == [], "usual weights"


def small(bent=0.94, end=0.4, gain=0.08, activation="tanh", status="finished"):
    """A regression that begins with next to nothing, and whose activations give back ``bent`` of what they read."""
    parameters = [{"name": f"{n}.weight", "module": n, "shape": s} for n, s in (("a", [64, 64]), ("b", [1, 64]))]
    kinds = (("a", "Linear", None, 64), ("t", "Act", activation, 64), ("b", "Linear", None, 1))
    modules = [{"name": n, "type": t, "activation": a, "output_shape": [32, w]} for n, t, a, w in kinds]
    manifest = {
        "model": {"parameters": parameters, "modules": modules},
        "loss": {"class": "MSELoss", "reduction": "mean"},
    }
    names = [p["name"] for p in parameters]
    passed = np.array([gain, gain * bent, 1e-4])
    grown = np.outer(np.geomspace(1.0, 5.0, 9), passed)
    grown[0, 2] = 1e-4
    layers = {
        "weight_std": (names, FRAMES, np.full((10, 2), gain / 8)),
        "activation_std": (["a", "t", "b"], FRAMES[1:], grown),
    }
    loss = end + (1.0 - end) * np.exp(-STEPS / 25.0) + 0.02 * RNG.standard_normal(400)
    series = {"train/loss": (STEPS, loss), "data/target_std": (STEPS, np.ones(400))}
    run = RunView.of_arrays(series, layers, manifest=manifest, status=status)
    return [f.severity for f in judge(run, [RULES["poor-initialization"]]).findings]


def test_a_regression_from_small_weights_whose_activations_never_bend_anything():
    assert small() == ["warning"]


@pytest.mark.parametrize(
    "healthy",
    [
        {"bent": 0.7},  # they do
        {"end": 0.1},  # a linear map is enough
        {"gain": 0.6},  # the default
        {"activation": "relu"},  # it bends whatever it reads
        {"status": "running"},
    ],
)
def test_small_weights_of_a_regression_may_have_grown(healthy):
    assert small(**healthy) == []
