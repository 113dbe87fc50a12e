"""What is said of a run that goes on: too little evidence is no alarm, and what is ill beside it is told."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

RNG = np.random.default_rng(0)


def severities(slug, view):
    report = judge(view, [RULES[slug]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [finding.severity for finding in report.findings]


class TestACopyBeforeItIsRenewed:
    """Of a target net, or of what another optimizer trains, nothing is known after a step or two."""

    def run(self, pushed, frames=(1, 2), status="running"):
        names = ("online", "target")
        parameters = [{"name": f"{n}.weight", "module": n, "shape": [8, 8], "trainable": True} for n in names]
        described = {
            "model": {"parameters": parameters},
            "optimizers": [{"class": "Adam", "groups": [{"lr": 1e-3, "parameters": ["online.weight"]}]}],
        }
        back = np.full((len(frames), 2), 0.5)
        layers = {
            "weight_norm": ([p["name"] for p in parameters], frames, np.ones((len(frames), 2))),
            "activation_grad_norm": (names if pushed else names[:1], frames, back if pushed else back[:, :1]),
        }
        return RunView.of_arrays({}, layers, manifest=described, status=status)

    @pytest.mark.parametrize("frames", [(0, 1), (0, 1, 2), (1, 2)])
    def test_before_three_frames_and_ten_steps_it_is_information(self, frames):
        assert severities("parameters-not-updated", self.run(pushed=False, frames=frames)) == ["info"]
        assert severities("parameters-not-updated", self.run(pushed=True, frames=frames)) == ["info"]

    @pytest.mark.parametrize("frames", [(0, 1, 2, 5), (0, 1, 10)])
    def test_from_then_on_what_a_gradient_comes_back_to_was_forgotten(self, frames):
        assert severities("parameters-not-updated", self.run(pushed=False, frames=frames)) == ["info"]
        assert severities("parameters-not-updated", self.run(pushed=True, frames=frames)) == ["warning"]

    def test_two_frames_of_a_run_that_is_over_are_too_few_to_take_it_for_a_copy(self):
        assert severities("parameters-not-updated", self.run(pushed=False, status="finished")) == ["warning"]


class TestAPlateauThatIsBeingLeft:
    """A net of sigmoids near its saddle: the loss rests, and what tells the examples apart grows."""

    FRAMES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

    def run(self, growth, status="running", first=0.005):
        steps = np.arange(1, 1201)
        loss = 2.31 + 0.04 * RNG.standard_normal(len(steps))
        modules = [
            {"name": n, "type": t, "activation": a, "output_shape": [64, 10]}
            for n, t, a in (("0", "Linear", None), ("1", "Sigmoid", "sigmoid"), ("2", "Linear", None))
        ]
        described = {"model": {"parameters": [], "modules": modules}}
        hidden = first * growth ** np.arange(len(self.FRAMES))
        layers = {
            "batch_variation": (["1", "2"], self.FRAMES, np.column_stack((hidden, np.full_like(hidden, 1e-3)))),
            "saturated_fraction": (["1"], self.FRAMES, np.full((len(self.FRAMES), 1), 0.9)),
        }
        return RunView.of_arrays({"train/loss": (steps, loss)}, layers, manifest=described, status=status)

    @pytest.mark.parametrize("slug", ["loss-not-decreasing", "saturated-activations"])
    def test_growth_within_the_net_is_waited_for_while_the_run_goes_on(self, slug):
        assert severities(slug, self.run(growth=1.2)) == ["info"]
        assert severities(slug, self.run(growth=1.2, status="finished")) != ["info"]

    def test_a_net_that_tells_its_examples_apart_already_waits_for_nothing(self):
        assert severities("loss-not-decreasing", self.run(growth=1.1, first=0.4)) == ["warning"]

    @pytest.mark.parametrize("growth", [1.0, 0.9, 1.01])
    def test_a_net_in_which_nothing_grows_is_told(self, growth):
        assert severities("loss-not-decreasing", self.run(growth)) == ["warning"]
        assert severities("saturated-activations", self.run(growth)) == ["critical"]


class TestAFallThatIsGrowingFaster:
    """Small embeddings in large steps: the loss falls slowly at first, but it falls, and ever faster."""

    def run(self, loss):
        frames = np.array([1, 2, 5, 10, 20, 50, 100])
        layers = {
            "update_norm": (["user.weight"], frames, np.full((7, 1), 0.033)),
            "weight_norm": (["user.weight"], np.concatenate(([0], frames)), np.ones((8, 1))),
        }
        parameters = [{"name": "user.weight", "module": "user", "shape": [150, 8], "trainable": True}]
        return RunView.of_arrays(
            {"train/bpr": (np.arange(1, 111), loss)},
            layers,
            manifest={"model": {"parameters": parameters}},
            status="running",
        )

    def test_a_fall_that_is_certain_over_the_whole_run_is_progress(self):
        noise = 0.0025 * RNG.standard_normal(110)
        falls = 0.693 - 0.009 * (np.arange(110) / 110) ** 1.5 + noise
        assert severities("learning-rate-too-high", self.run(falls)) == []
        assert severities("learning-rate-too-high", self.run(0.693 + noise)) == ["warning"]

    def test_a_fall_that_has_stopped_is_none(self):
        noise = 0.0025 * RNG.standard_normal(110)
        stopped = 0.693 - 0.009 * np.minimum(np.arange(110) / 30, 1.0) + noise
        assert severities("learning-rate-too-high", self.run(stopped)) == ["warning"]


class TestADensityThatNarrows:
    """A Gaussian likelihood that began near zero falls faster and faster, until it is as wide as the noise."""

    def run(self, loss):
        return RunView.of_arrays({"train/nll": (np.arange(1, len(loss) + 1), loss)}, {}, status="running")

    @pytest.mark.parametrize("seen", [60, 80, 100, 200])
    def test_some_nats_below_zero_are_no_abyss(self, seen):
        at = np.arange(1, 401)
        narrows = 0.25 - 2.75 / (1.0 + np.exp(-(at - 75) / 12)) + 0.05 * RNG.standard_normal(400)
        assert severities("loss-output-mismatch", self.run(narrows[:seen])) == []

    @pytest.mark.parametrize("seen", [60, 80, 100])
    def test_a_loss_without_a_bottom_goes_below_at_once(self, seen):
        at = np.arange(1, seen + 1)
        falls = 0.7 - 0.004 * at**2 + 0.05 * RNG.standard_normal(seen)
        assert severities("loss-output-mismatch", self.run(falls)) == ["warning"]


class TestALossThatHasJustBecomeRough:
    """Of rare classes most batches hold none: once these are learned, each batch with one stands out."""

    def run(self, spikes):
        loss = np.concatenate((0.68 + 0.1 * RNG.standard_normal(90), 0.3 + 0.01 * RNG.standard_normal(60)))
        loss[spikes] = 1.4
        modules = [{"name": "0", "type": "Linear", "activation": None, "output_shape": [64, 2]}]
        curves = {
            "train/loss": (np.arange(1, 151), loss),
            "train/accuracy": (np.arange(1, 151), np.full(150, 0.9)),
        }
        return RunView.of_arrays(curves, {}, manifest={"model": {"modules": modules}}, status="running")

    def test_spikes_that_are_not_rare_since_the_first_are_the_usual_noise_by_now(self):
        assert severities("loss-spikes", self.run([134, 138, 142, 146])) == []

    def test_rare_ones_are_told(self):
        assert severities("loss-spikes", self.run([96, 112, 130, 148])) == ["warning"]
