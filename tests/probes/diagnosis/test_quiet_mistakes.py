"""Mistakes that a falling loss hides, on made series, each beside a healthy twin that looks alike."""

from __future__ import annotations

import numpy as np

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::40]
RNG = np.random.default_rng(0)


def report(slug, series, layers=None, manifest=None, **more):
    found = judge(RunView.of_arrays(series, layers, manifest=manifest, **more), [RULES[slug]])
    assert not [r for r in found.not_judged if "failed" in r.reason], found.not_judged
    return found


def parameters(*shapes):
    return [{"name": f"w{i}", "module": f"m{i}", "shape": s, "trainable": True} for i, s in enumerate(shapes)]


class TestWeightsThatAreGone:
    """Tables decayed to nothing under a bias that learns the mean: the loss falls by four fifths all the same."""

    def run(self, end):
        names = ["w0"]
        sizes = np.geomspace(30.0, end, len(FRAMES))[:, None]
        group = {"lr": 0.01, "weight_decay": 0.1, "parameters": names}
        manifest = {
            "model": {"parameters": parameters([150, 6])},
            "optimizers": [{"class": "Adam", "groups": [group]}],
        }
        layers = {"weight_norm": (names, FRAMES, sizes), "grad_norm": (names, FRAMES, 0.05 * sizes)}
        loss = 3.0 + 14.0 * np.exp(-STEPS / 40) + 0.1 * RNG.standard_normal(len(STEPS))
        return report("weight-decay-too-strong", {"train/loss": (STEPS, loss)}, layers, manifest).findings

    def test_no_fall_of_the_loss_excuses_it(self):
        (finding,) = self.run(0.01)
        assert finding.severity == "warning"

    def test_weights_that_were_made_smaller_are_not_gone(self):
        assert self.run(6.0) == []


class TestCosinesWithoutAFactor:
    """Ten classes: the loss of always being right with scores of -1 to 1, or of a net that is unsure with reason."""

    def run(self, end, high=0.93, frames=10):
        steps = STEPS[:: len(STEPS) // frames]
        wobble = 0.02 * RNG.standard_normal(len(steps))
        series = {
            "train/loss": (STEPS, end + 0.8 * np.exp(-STEPS / 30) + 0.02 * RNG.standard_normal(len(STEPS))),
            "data/output_max": (steps, high + wobble),
            "data/output_min": (steps, -0.6 + wobble),
            "data/output_mean": (steps, wobble),
            "data/output_std": (steps, np.full(len(steps), 0.34)),
        }
        manifest = {
            "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
            "data": {"classes": 10, "output_shape": [32, 10]},
        }
        return report("loss-output-mismatch", series, None, manifest).findings

    def test_scores_that_press_against_one_hold_the_loss_up(self):
        (finding,) = self.run(1.45)
        assert "cosines" in finding.message and finding.severity == "warning"

    def test_a_net_that_is_unsure_with_reason_is_not_one(self):
        # 1.9 is what a net costs that is right as often as scores of that spread say.
        assert self.run(1.9) == []

    def test_scores_that_go_on_growing_are_none(self):
        assert self.run(1.45, high=1.6) == []
        assert self.run(1.45, high=0.5) == []


class TestDropoutOnTheAnswers:
    """Half of the answers of a regression set to 0: their gradients are zero as often."""

    def run(self, zeros, size=30, loss=2.5, dropped=0.5):
        steps = STEPS[19::20]
        modules = [
            {"name": "m0", "type": "Linear", "activation": None, "output_shape": [size, 48]},
            {"name": "act", "type": "ReLU", "activation": "relu", "output_shape": [size, 48]},
            {"name": "m1", "type": "Linear", "activation": None, "output_shape": [size, 1]},
        ]
        drops = [{"name": "drop", "type": "Dropout", "dropped": dropped}]
        model = {"modules": modules, "parameters": parameters([48, 6], [1, 48]), "mode_dependent": drops}
        layers = {"activation_grad_zero_fraction": (["m1"], FRAMES, np.asarray(zeros)[:, None])}
        train = loss + (2.9 - loss) * np.exp(-STEPS / 30) + 0.02 * RNG.standard_normal(len(STEPS))
        series = {"train/loss": (STEPS, train), "val/loss": (steps, train[19::20] - 0.3)}
        return [f.severity for f in report("underfitting", series, layers, {"model": model}).findings]

    def test_zeros_as_often_as_a_module_drops_name_it(self):
        assert self.run(np.full(10, 0.5) + 0.05 * RNG.standard_normal(10)) == ["warning"]

    def test_dropout_of_hidden_units_leaves_none(self):
        assert self.run(np.zeros(10)) == ["info"]

    def test_zeros_of_another_share_or_of_too_few_outputs_are_no_dropout(self):
        assert self.run(np.full(10, 0.75)) == ["info"]
        assert self.run(np.full(10, 0.5), size=4) == ["info"]

    def test_a_fall_that_goes_on_is_none(self):
        assert self.run(np.full(10, 0.5), loss=0.4) == []


class TestADiscriminatorThatHasWon:
    """Goodfellow's first loss against a critic that is never wrong, beside a contest that goes on."""

    def run(self, critic, generator, status="finished", names=("gan/d_loss", "gan/g_loss"), **more):
        series = dict(zip(names, ((STEPS, critic), (STEPS, generator)), strict=True))
        return [f.severity for f in report("loss-not-decreasing", series, status=status, **more).findings]

    lost = 1.386 * 10.0 ** (-STEPS / 40)

    def test_its_loss_is_gone_and_the_generators_does_not_fall(self):
        assert self.run(self.lost, -self.lost) == ["warning"], "log(1 - D) goes to its highest value, 0"
        assert self.run(self.lost, 0.7 + STEPS / 40) == ["warning"], "-log D grows"
        names = ("train/errD", "train/errG")
        assert self.run(self.lost, 0.7 + STEPS / 40, names=names) == ["warning"]
        assert self.run(self.lost, 0.7 + STEPS / 40, status="running") == ["info"]

    def test_a_contest_that_goes_on_is_healthy(self):
        wobble = 0.1 * RNG.standard_normal(len(STEPS))
        assert self.run(1.38 + wobble, 0.7 + wobble) == []
        assert self.run(0.2 + 0.5 * np.abs(wobble), 3.0 + wobble) == [], "ahead is not beyond reach"

    def test_a_wasserstein_critic_may_go_anywhere(self):
        assert self.run(-5.0 * np.exp(-STEPS / 40), 0.1 + STEPS / 100) == []

    def test_a_lead_that_is_lost_again_is_none(self):
        back = np.where(STEPS > 320, 1.2, self.lost)
        assert self.run(back, 0.7 + STEPS / 40) == []


class TestAGeneratorThatIsPaidForBeingCaught:
    """Both losses go to nothing, which of two that play against each other cannot be."""

    gone = 1.4 * 10.0 ** (-STEPS / 60)

    def run(self, critic, generator, names=("gan/loss_D", "gan/loss_G")):
        series = dict(zip(names, ((STEPS, critic), (STEPS, generator)), strict=True))
        return [f.severity for f in report("loss-output-mismatch", series).findings]

    def test_what_one_gains_the_other_must_lose(self):
        assert self.run(self.gone, self.gone / 2) == ["warning"]
        assert self.run(self.gone, self.gone / 2, ("train/errD", "train/errG")) == ["warning"]

    def test_one_alone_is_another_matter(self):
        assert self.run(self.gone, 0.7 + STEPS / 40) == [], "-log D: loss-not-decreasing tells"
        assert self.run(self.gone, -self.gone) == [], "log(1 - D)"
        assert self.run(1.38 + 0.0 * STEPS, self.gone) == []
        assert self.run(self.gone, np.maximum(self.gone, 0.1)) == []


class TestChanceWithoutCountedClasses:
    """A drift of one in a hundred in a cross-entropy over ten classes, where the loss function was not given."""

    def run(self, right, status="finished"):
        steps = STEPS[19::20]
        series = {
            "train/loss": (STEPS, 2.315 - 0.025 * STEPS / 400 + 0.01 * RNG.standard_normal(len(STEPS))),
            "val/accuracy": (steps, np.full(len(steps), right)),
        }
        manifest = {"model": {"parameters": parameters([32, 64], [10, 32])}}
        return [f.severity for f in report("loss-not-decreasing", series, None, manifest, status=status).findings]

    def test_one_answer_in_ten_right_is_none_learned(self):
        assert self.run(0.1) == ["warning"]

    def test_a_better_accuracy_says_that_a_plateau_is_being_left(self):
        assert self.run(0.16) == []

    def test_a_run_that_goes_on_may_leave_it(self):
        assert self.run(0.1, status="running") == []


class TestRareTagsThatAreNeverSaid:
    """Forty tags, each on one example in forty: 97.5% of the answers are right when none is ever said."""

    def run(self, highest=-1.5, right=0.975, answers=40, status="finished", share=0.025):
        steps = STEPS[19::20]
        series = {
            "data/output_max": (FRAMES, np.full(10, highest)),
            "data/target_mean": (FRAMES, np.full(10, share)),
            "data/target_max": (FRAMES, np.ones(10)),
            "val/accuracy": (steps, np.full(len(steps), right)),
        }
        shape = [32, answers] if answers > 1 else [32]
        manifest = {"loss": {"class": "BCEWithLogitsLoss", "reduction": "mean"}, "data": {"output_shape": shape}}
        found = report("class-imbalance", series, None, manifest, status=status)
        return [f.severity for f in found.findings]

    def test_the_accuracy_is_that_of_saying_no(self):
        assert self.run() == ["warning"]
        assert self.run(status="running") == ["info"], "a plateau that may yet be left"

    def test_tags_that_are_said_are_none(self):
        assert self.run(highest=0.7) == []
        assert self.run(right=0.985) == [], "some are found, between the frames"

    def test_common_tags_and_single_risks_are_none(self):
        assert self.run(share=0.3, right=0.7) == []
        assert self.run(answers=1) == [], "a risk is ranked: it need not reach one half"


class TestLargeInputsThatLeaveANetSureAndWrong:
    """-9999 for "not measured": the loss falls from 90 to 1.5, and guessing between two classes costs 0.69."""

    def run(self, end=1.5, right=0.68, status="finished"):
        steps = STEPS[19::20]
        layers = {
            "input_mean": (["0", "1"], FRAMES, np.tile([-300.0, -600.0], (10, 1))),
            "input_std": (["0", "1"], FRAMES, np.tile([1800.0, 2400.0], (10, 1))),
        }
        climb = np.linspace(right - 0.15, right, len(steps))
        series = {"train/loss": (STEPS, end + 90 * np.exp(-STEPS / 20)), "val/accuracy": (steps, climb)}
        manifest = {"model": {"parameters": parameters([32, 2], [2, 32])}}
        found = report("unnormalized-inputs", series, layers, manifest, status=status)
        return [f.severity for f in found.findings]

    def test_a_fall_from_ninety_is_no_excuse(self):
        assert self.run() == ["warning"]

    def test_a_net_that_copes_or_goes_on_is_told_as_information(self):
        assert self.run(end=0.3, right=0.9) == ["info"]
        assert self.run(end=0.6, right=0.72) == ["warning"], "inputs in hundreds, and more than a fifth stays wrong"
        assert self.run(status="running") == ["info"]


class TestLossesThatFallTooFar:
    def run(self, name, values, manifest=None, **series):
        more = {f"val/{key}": (STEPS[19::20], np.full(20, value)) for key, value in series.items()}
        found = report("loss-output-mismatch", {name: (STEPS, values)} | more, None, manifest)
        return [f.severity for f in found.findings]

    wobble = 0.02 * RNG.standard_normal(len(STEPS))

    def test_what_is_pushed_apart_without_a_margin_falls_without_end(self):
        assert self.run("siamese/loss", -0.5 - 2.0 * STEPS**1.6 * (1 + self.wobble)) == ["warning"]

    def test_a_likelihood_of_densities_comes_to_rest(self):
        assert self.run("train/loss", 0.5 - 80.0 * (1 - np.exp(-STEPS / 40)) + self.wobble) == []

    def test_a_divergence_between_classes_below_zero_is_none(self):
        assert self.run("train/kl", -1.4 - 0.4 * STEPS / 400 + self.wobble, accuracy=0.7) == ["warning"]
        assert self.run("train/kl", 0.1 + np.exp(-STEPS / 40) + self.wobble, accuracy=0.7) == []
        assert self.run("train/kl", -1.4 - 0.4 * STEPS / 400 + self.wobble) == [], "known up to a constant, in a flow"

    def test_a_square_below_zero_is_none(self):
        assert self.run("train/mse", -0.2 + self.wobble) == ["warning"]
        assert self.run("train/objective", -0.2 + self.wobble) == [], "an objective may be anything"

    def test_a_million_times_what_it_was_needs_no_course(self):
        # It runs up and down by powers of ten, as the divergence of a code does whose sign is wrong.
        wild = np.where(STEPS < 40, 44.0 - STEPS, -(10.0 ** RNG.uniform(12, 22, len(STEPS))))
        assert self.run("train/loss", wild) == ["warning"]
        assert self.run("train/loss", np.where(STEPS < 40, 44.0 - STEPS, RNG.uniform(-4000, -400, len(STEPS)))) == []

    def test_a_share_lies_between_nothing_and_all(self):
        early = np.where(STEPS == 5, -1.4, np.where(STEPS == 9, 8.6, 0.9 * np.exp(-STEPS / 200)))
        assert self.run("train/dice_loss", early) == ["warning"]
        assert self.run("train/loss", early) == [], "a loss may be anything"
        assert self.run("train/dice_bce_loss", early) == [], "nor need a sum of two be a share"
        share = 0.9 * np.exp(-STEPS / 200)
        for healthy in (share, -share, 4.0 * share):  # one less a share, a share with a minus, a sum over four classes
            assert self.run("train/dice_loss", healthy) == []

    def test_a_divergence_wants_logarithms(self):
        frames = {"train/loss": (STEPS, 0.3 + self.wobble)}
        for high, expected in ((0.9, ["warning"]), (-0.1, [])):
            outputs = {"min": high - 0.9, "max": high, "mean": high - 0.8}
            series = frames | {f"data/output_{key}": (FRAMES, np.full(10, value)) for key, value in outputs.items()}
            found = report("loss-output-mismatch", series, None, {"loss": {"class": "KLDivLoss"}})
            assert [f.severity for f in found.findings] == expected


class TestRunningAverages:
    """Batch normalisation in evaluation: with the averages of the data, of the last batch, or of nothing."""

    def run(self, momentum, validation, status="finished"):
        steps = STEPS[19::20]
        series = {
            "train/loss": (STEPS, 0.3 + 2.0 * np.exp(-STEPS / 60)),
            "val/loss": (steps, np.asarray(validation)),
        }
        norm = {"name": "norm", "type": "BatchNorm1d", "dropped": None, "momentum": momentum}
        found = report("validation-anomaly", series, None, {"model": {"mode_dependent": [norm]}}, status=status)
        return [f.severity for f in found.findings]

    swinging = 0.4 * np.exp(0.5 * RNG.standard_normal(20))
    steady = 0.35 + 2.0 * np.exp(-STEPS[19::20] / 60)

    def test_the_newest_batch_alone_makes_validation_swing(self):
        assert self.run(0.99, self.swinging) == ["warning"]
        assert self.run(0.99, self.swinging, status="running") == ["info"]
        assert self.run(0.99, self.steady) == ["info"], "large batches: the last is as good as all"

    def test_usual_momenta_say_nothing(self):
        assert self.run(0.1, self.swinging) == []
        assert self.run(None, self.swinging) == []

    def test_averages_that_have_not_come(self):
        assert self.run(0.001, 2.0 * self.steady) == ["warning"]
        assert self.run(0.001, np.append(self.steady[:10], 3.0 * self.steady[10:])) == ["info"], "good at first"
        assert self.run(0.01, 2.0 * self.steady) == [], "after 400 steps 2% are left"


class TestEntropyWithTheWrongSign:
    def run(self, times, left=0.0005, **more):
        entropy = np.maximum(1.77 * np.exp(-STEPS / 20), left)
        gain = 0.3 * np.exp(-STEPS / 15) * RNG.standard_normal(len(STEPS))
        series = {"bandit/loss": (STEPS, times * entropy + gain), "bandit/entropy": (STEPS, entropy)}
        series |= {name: (STEPS, 0.6 + 0.1 * RNG.standard_normal(len(STEPS))) for name in more.get("also", ())}
        return [f.severity for f in report("loss-output-mismatch", series).findings]

    def test_a_loss_made_of_the_entropy_is_none_of_the_reward(self):
        assert self.run(0.5, also=["bandit/reward"]) == ["warning"]

    def test_a_bonus_is_subtracted(self):
        assert self.run(-0.02, also=["bandit/reward"]) == []

    def test_entropy_is_lowered_on_purpose_where_nothing_is_rewarded(self):
        assert self.run(1.0) == []

    def test_a_policy_that_explores_still_is_none(self):
        assert self.run(0.5, left=0.9, also=["bandit/reward"]) == []


class TestWeightsThatGrowWhileTheLossFalls:
    def run(self, loss):
        layers = {"weight_norm": (["w0"], FRAMES, np.geomspace(3.0, 60.0, len(FRAMES))[:, None])}
        manifest = {"model": {"parameters": parameters([3, 3])}}
        return [f.severity for f in report("weights-growing", {"train/loss": (STEPS, loss)}, layers, manifest).findings]

    def test_a_steep_fall_is_no_swing(self):
        assert self.run(0.01 + 6.0 / (1 + np.exp((STEPS - 260) / 20))) == ["info"]

    def test_what_falls_and_rises_again_is(self):
        assert self.run(2.0 + 4.0 * np.cos(STEPS / 10) ** 2) == ["warning"]
