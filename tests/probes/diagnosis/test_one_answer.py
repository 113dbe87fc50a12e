"""Bad ends that a fall of the loss does not excuse: one answer for all examples, a first loss never made good, and
answers for the training examples alone, where the loss function is not known; and gates that begin shut.
"""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::40]
RNG = np.random.default_rng(0)
LN_4 = float(np.log(4))


def severities(slug, series, layers=None, manifest=None, **more):
    report = judge(RunView.of_arrays(series, layers, manifest=manifest, **more), [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason], report.not_judged
    return [finding.severity for finding in report.findings]


class TestOneAnswerForAll:
    """An autoencoder that draws the mean picture: the loss falls by more than half, by a bias alone."""

    def run(self, end=0.07, falls=0.0, status="finished", variation=1e-7, right=None):
        modules = [{"name": n, "type": "Linear", "output_shape": [32, 64]} for n in ("code", "picture")]
        loss = end + (0.18 - end) * np.exp(-STEPS / 10) - falls * STEPS / 400 + 0.002 * RNG.standard_normal(400)
        series = {"train/loss": (STEPS, loss)}
        if right is not None:
            series["val/accuracy"] = (STEPS[::40], np.full(10, right))
        varied = np.tile([0.5, variation], (len(FRAMES), 1))
        layers = {"batch_variation": (["code", "picture"], FRAMES, varied)}
        return severities("collapsed-activations", series, layers, {"model": {"modules": modules}}, status=status)

    def test_a_loss_at_rest_far_from_nothing_is_no_excuse(self):
        assert self.run() == ["warning"]

    @pytest.mark.parametrize(
        "healthy",
        [
            {"falls": 0.05},  # something else than this module still learns
            {"end": 0.002},
            {"right": 0.95},
            {"status": "running"},
        ],
    )
    def test_what_is_learned_or_may_be_yet_is_information(self, healthy):
        assert self.run(**healthy) == ["info"]

    def test_outputs_that_differ_are_healthy(self):
        assert self.run(variation=0.3) == []


class TestNeverToldApart:
    """The same picture a thousand times: known after 24 steps of a run that goes on."""

    def run(self, variation, until=24, rows=5):
        steps, frames = np.arange(1, until + 1), np.array([1, 2, 5, 10, 20])[:rows]
        modules = [{"name": n, "type": "Linear", "output_shape": [32, 8]} for n in ("a", "b")]
        layers = {"batch_variation": (["a", "b"], frames, np.broadcast_to(variation, (rows, 2)))}
        series = {"train/loss": (steps, 1.4 + 0.01 * RNG.standard_normal(until))}
        manifest = {"model": {"modules": modules}}
        return severities("collapsed-activations", series, layers, manifest, status="running")

    def test_examples_that_are_alike_but_for_rounding_from_the_first_step_on(self):
        assert self.run([1e-7, 0.0]) == ["warning"]

    def test_a_plateau_a_head_that_begins_at_zero_and_the_very_first_steps_are_left_alone(self):
        assert self.run([1e-4, 1e-4]) == []
        assert self.run([0.5, 0.0]) == []
        leaves = np.array([[0.0, 0.0]] + 4 * [[1e-7, 1e-3]])
        assert self.run(leaves) == []
        assert self.run([1e-7, 0.0], until=12, rows=4) == []


class TestAFirstLossThatWasNeverMadeGood:
    """Sixty classes, a first loss of 70: it comes down to guessing, and has no steps left to learn much in."""

    def run(self, end, right=None, first=70.0):
        series = {"train/loss": (STEPS, end + (first - end) * np.exp(-(STEPS - 1) / 20))}
        if right is not None:
            series["train/accuracy"] = (STEPS, np.full(400, right))
        manifest = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 60}}
        return severities("unexpected-initial-loss", series, manifest=manifest)

    def test_a_third_of_the_loss_of_guessing_is_not_made_good(self):
        assert self.run(2.8) == ["warning"]

    def test_half_of_it_and_more_or_good_answers_are(self):
        assert self.run(1.5) == ["info"]
        assert self.run(2.8, right=0.8) == ["info"]

    @pytest.mark.parametrize(
        ("highest", "first", "severity"), [(-0.5, 4.5, ["warning"]), (3.0, 4.5, ["info"]), (-0.5, 0.7, [])]
    )
    def test_a_bias_of_the_wrong_sign_whose_scores_say_no_ever_after(self, highest, first, severity):
        series = {"train/loss": (STEPS, 0.02 + (first - 0.02) * np.exp(-(STEPS - 1) / 5))}
        for name, value in {"output_min": -90.0, "output_max": highest, "target_min": 0.0, "target_max": 1.0}.items():
            series[f"data/{name}"] = (FRAMES, np.full(len(FRAMES), value))
        manifest = {"loss": {"class": "BCEWithLogitsLoss", "reduction": "mean"}}
        assert severities("unexpected-initial-loss", series, manifest=manifest) == severity

    def test_a_first_loss_of_guessing_is_healthy(self):
        assert self.run(2.8, first=4.1) == []


class TestLearnedForNoOthers:
    """Four classes, no loss function given: training falls a little below ln 4, validation only rises."""

    def run(self, best=None, right=0.3, outputs=4, start=LN_4):
        steps = STEPS[24::25]
        val = start + 0.05 * steps / 400 if best is None else best + (start - best) * np.exp(-steps / 100)
        loss = start * (1.0 - 0.05 * STEPS / 400) + 0.005 * RNG.standard_normal(400)
        series = {"train/loss": (STEPS, loss), "val/loss": (steps, val)}
        if right is not None:
            series["val/accuracy"] = (steps, np.full(len(steps), right))
        weight = {"name": "out.weight", "module": "out", "shape": [outputs, 32], "trainable": True}
        return severities("no-generalization", series, manifest={"model": {"parameters": [weight]}})

    def test_losses_that_begin_at_the_logarithm_of_the_outputs_tell_what_guessing_is(self):
        assert self.run() == ["warning"]

    @pytest.mark.parametrize(
        "healthy", [{"best": 1.2}, {"right": 0.5}, {"right": None}, {"outputs": 10}, {"start": 1.0}]
    )
    def test_where_others_gain_or_guessing_is_not_known_nothing_is_said(self, healthy):
        assert self.run(**healthy) == []


class TestGatesThatBeginShut:
    """An LSTM of eight units whose forget gate begins at -6."""

    def run(self, forget=-6.0, inputs=0.0, end=1.35, kind="LSTM", status="finished"):
        bias = np.concatenate([np.full(8, inputs), np.full(8, forget), np.zeros(16)])
        frames = np.concatenate([[0], FRAMES])
        layers = {
            "weight_min": (["lstm.bias_ih_l0"], frames, np.full((len(frames), 1), bias.min())),
            "weight_mean": (["lstm.bias_ih_l0"], frames, np.full((len(frames), 1), bias.mean())),
        }
        parameter = {"name": "lstm.bias_ih_l0", "module": "lstm", "shape": [32], "trainable": True}
        modules = [{"name": "lstm", "type": kind, "output_shape": [32, 50, 8]}]
        loss = end + (LN_4 - end) * np.exp(-STEPS / 100) + 0.005 * RNG.standard_normal(400)
        manifest = {"model": {"parameters": [parameter], "modules": modules}}
        return severities("poor-initialization", {"train/loss": (STEPS, loss)}, layers, manifest, status=status)

    def test_a_gate_that_nothing_passes_in_a_run_that_learned_nothing(self):
        assert self.run() == ["warning"]

    @pytest.mark.parametrize(
        "healthy", [{"forget": 1.0}, {"inputs": 6.0}, {"end": 0.4}, {"kind": "Linear"}, {"status": "running"}]
    )
    def test_open_gates_long_memories_and_what_learns_are_let_be(self, healthy):
        assert self.run(**healthy) == []
