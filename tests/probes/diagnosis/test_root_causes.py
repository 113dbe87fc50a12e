"""What tells the root cause from what follows, and healthy oddities from faults: on made series with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.causes import link, order
from probes.diagnosis.engine import judge
from probes.diagnosis.finding import Finding
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 601)
TIMES = STEPS[29::30]
RNG = np.random.default_rng(0)
TEN_CLASSES = {
    "loss": {"class": "CrossEntropyLoss", "reduction": "mean"},
    "data": {"classes": 10, "label_counts": [30] * 10},
}


def found(slug, series, layers=None, manifest=None, status="finished"):
    view = RunView.of_arrays(series, layers, manifest=TEN_CLASSES if manifest is None else manifest, status=status)
    report = judge(view, [RULES[slug]])
    assert not [entry for entry in report.not_judged if "failed" in entry.reason]
    return [finding.severity for finding in report.findings]


def made(slug, severity="warning", first=1, last=600):
    return Finding(slug, severity, slug, first, last, True, slug)


def linked(*findings):
    return {f.rule: (f.caused_by, f.severity) for f in link(findings, np.array([1, 2, 5, 10, 20, 50, 100, 200, 500]))}


class TestCauses:
    def test_a_short_training_explains_only_what_nothing_else_does(self):
        assert linked(made("training-too-short", first=360))["training-too-short"] == (None, "warning")
        both = linked(made("training-too-short", first=360), made("overfitting", first=100))
        assert both["training-too-short"] == ("overfitting", "info")

    def test_what_is_said_of_a_whole_run_may_have_a_cause_that_shows_a_little_later(self):
        early = linked(made("learning-rate-too-low"), made("vanishing-gradients", first=50))
        assert early["learning-rate-too-low"][0] == "vanishing-gradients"
        late = linked(made("learning-rate-too-low"), made("vanishing-gradients", first=200))
        assert late["learning-rate-too-low"][0] is None

    def test_what_is_dated_from_its_best_may_be_spoilt_later(self):
        found = linked(made("overfitting", first=84), made("weights-growing", first=290))
        assert found["overfitting"][0] == "weights-growing"
        assert linked(made("dead-units", first=84), made("weight-decay-too-strong", first=290))["dead-units"][0] is None

    def test_labels_by_which_no_rule_is_found_come_before_the_loss_that_hardly_falls(self):
        pair = (made("loss-not-decreasing"), made("no-generalization", first=20))
        assert [f.rule for f in order(link(pair, np.array([1])))] == ["no-generalization", "loss-not-decreasing"]
        broken = linked(*pair, made("vanishing-gradients"))
        assert broken["loss-not-decreasing"][0] == "vanishing-gradients"

    def test_inputs_in_hundreds_and_wrong_targets_come_before_what_cannot_be_learned_from_them(self):
        assert linked(made("unnormalized-inputs"), made("no-generalization"))["no-generalization"][0] == (
            "unnormalized-inputs"
        )
        assert linked(made("validation-anomaly"), made("loss-not-decreasing"))["loss-not-decreasing"][0] == (
            "validation-anomaly"
        )

    def test_of_two_that_explain_each_other_and_begin_together_the_worse_is_the_root(self):
        pair = (made("learning-rate-too-high"), made("weight-decay-too-strong", "critical"))
        assert order(link(pair, np.array([1])))[0].rule == "weight-decay-too-strong"

    def test_dropout_that_blew_a_training_up_comes_before_the_rate_and_a_narrow_layer_does_not(self):
        blown = [made("learning-rate-too-high", "critical", 20), made("nonfinite-values", "critical", 30)]
        dropout = order(link([*blown, made("underfitting", "critical", 0)], np.array([1, 20, 50])))
        assert [f.rule for f in dropout] == ["underfitting", "learning-rate-too-high", "nonfinite-values"]
        narrow = order(link([*blown, made("underfitting", "warning", 0)], np.array([1, 20, 50])))
        assert narrow[0].rule == "learning-rate-too-high"

    def test_scores_that_pass_a_softmax_twice_explain_small_steps(self):
        pair = [made("learning-rate-too-low"), made("loss-output-mismatch")]
        assert order(link(pair, np.array([1])))[0].rule == "loss-output-mismatch"

    def test_a_decay_that_wins_for_want_of_a_gradient_comes_after_the_weights_that_leave_none(self):
        pair = [made("weight-decay-too-strong", "critical"), made("poor-initialization")]
        assert order(link(pair, np.array([1])))[0].rule == "poor-initialization"

    def test_a_loss_in_waves_explains_units_that_die_later_and_not_those_that_died_before(self):
        assert (
            linked(made("oscillating-loss"), made("dead-units", "critical", 200))["dead-units"][0] == "oscillating-loss"
        )
        assert linked(made("oscillating-loss", first=200), made("dead-units", "critical"))["dead-units"][0] is None

    def test_outputs_far_too_large_at_first_explain_one_answer_for_all(self):
        late = [made("collapsed-activations", first=5), made("learning-rate-too-high", first=10)]
        first = [made("constant-predictions"), made("unexpected-initial-loss", last=1)]
        causes = {f.rule: f.caused_by for f in link([*first, *late], np.array([1, 2, 5]))}
        assert causes["constant-predictions"] == causes["collapsed-activations"] == "unexpected-initial-loss"
        assert causes["learning-rate-too-high"] is None, "a rate is no effect of a first loss"
        calm = link([first[0], made("unexpected-initial-loss", "info", last=1)], np.array([1]))
        assert order(calm)[0].rule == "constant-predictions"


class TestTrainingLeftBehind:
    slug = "validation-anomaly"

    def run(self, train, validation=0.85, noise=0.05):
        series = {
            "train/accuracy": (STEPS, np.full(600, train) + noise * RNG.standard_normal(600)),
            "val/accuracy": (TIMES, np.full(len(TIMES), validation)),
        }
        losses = {"train/loss": (STEPS, 2.3 - 0.001 * STEPS), "val/loss": (TIMES, 2.3 - 0.001 * TIMES)}
        return found(self.slug, series | losses)

    def test_many_wrong_targets_show_as_a_training_accuracy_far_below(self):
        assert self.run(0.4) == ["warning"]

    def test_with_few_classes_there_is_less_room_to_fall_behind(self):
        """Six targets in ten wrong, of three classes: 42% right in training, and 61% in validation."""
        right, rng = 0.42, np.random.default_rng(0)
        cost = -right * np.log(right) - 0.58 * np.log(0.58) + 0.58 * np.log(2)
        series = {
            "train/accuracy": (STEPS, right + 0.05 * rng.standard_normal(600)),
            "val/accuracy": (TIMES, np.full(len(TIMES), 0.61)),
            "train/loss": (STEPS, cost + 0.01 * rng.standard_normal(600)),
            "val/loss": (TIMES, np.full(len(TIMES), 0.98)),
        }
        three = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 3}}
        assert found(self.slug, series, manifest=three) == ["warning"]
        assert found(self.slug, series, manifest=three | {"data": {"classes": 10}}) == []

    @pytest.mark.parametrize(("part", "told"), [(0.67, ["warning"]), (0.25, [])])
    def test_a_net_on_its_way_shows_in_training_a_part_of_what_it_knows(self, part, told):
        """Ten classes, right about 0.2 to 0.33 of validation: never far ahead, but always by the same part."""
        held, rng = np.linspace(0.2, 0.33, len(TIMES)), np.random.default_rng(0)
        right = np.interp(STEPS, TIMES, held) * (1 - part) + 0.1 * part
        cost = -right * np.log(right) - (1 - right) * np.log(1 - right) + (1 - right) * np.log(9)
        series = {
            "train/accuracy": (STEPS, right + 0.05 * rng.standard_normal(600)),
            "val/accuracy": (TIMES, held),
            "train/loss": (STEPS, cost + 0.02 * rng.standard_normal(600)),
            "val/loss": (TIMES, np.linspace(2.25, 2.0, len(TIMES))),
        }
        assert found(self.slug, series) == told
        easier = series | {"train/loss": (STEPS, 0.8 * series["train/loss"][1])}
        assert found(self.slug, easier) == [], "hard examples cost less than wrong targets"
        sorted_by_class = series | {"data/largest_label_share": (STEPS[::50], np.ones(12))}
        assert found(self.slug, sorted_by_class) == [], "of sorted examples a net knows the last ones"

    def test_a_little_augmentation_and_a_good_training_accuracy_are_fine(self):
        assert self.run(0.75) == []
        assert self.run(0.6, validation=0.68) == []

    def test_shares_in_one_split_and_percent_in_the_other_are_compared_alike(self):
        series = {"train/accuracy": (STEPS, np.full(600, 0.9)), "val/accuracy": (TIMES, np.full(len(TIMES), 92.0))}
        losses = {"train/loss": (STEPS, 2.3 - 0.001 * STEPS), "val/loss": (TIMES, 2.3 - 0.001 * TIMES)}
        assert found(self.slug, series | losses) == []

    def test_single_noisy_batches_do_not_count(self):
        """A validation after every step, against batches of four examples: three in a row are often wrong by chance."""
        single = RNG.binomial(4, 0.65, 600) / 4
        series = {"train/accuracy": (STEPS, single), "val/accuracy": (STEPS, np.full(600, 0.7))}
        losses = {"train/loss": (STEPS, 2.3 - 0.001 * STEPS), "val/loss": (STEPS, 2.3 - 0.001 * STEPS)}
        assert found(self.slug, series | losses) == []


class TestBriefSchedule:
    slug = "training-too-short"
    steps = np.arange(1, 31)

    def run(self, accuracy, rates, fell=0.9):
        weight = np.cumsum(rates) / np.sum(rates)
        loss = 2.3 - fell * weight + 0.005 * RNG.standard_normal(30)
        series = {
            "train/loss": (self.steps, loss),
            "optimizer/lr": (self.steps, rates),
            "val/accuracy": (self.steps[9::10], np.array([0.1, 0.5, 1.0]) * accuracy),
        }
        return found(self.slug, series)

    cosine = 0.01 * 0.5 * (1 + np.cos(np.pi * np.arange(30) / 30))

    def test_a_schedule_of_thirty_steps_that_ends_on_the_way_is_too_short(self):
        assert self.run(0.4, self.cosine) == ["warning"]

    def test_a_good_end_or_a_rate_that_goes_on_is_none(self):
        assert self.run(0.9, self.cosine, fell=2.0) == []
        slowing = 2.3 - 0.9 * (1 - np.exp(-self.steps / 8))
        series = {"train/loss": (self.steps, slowing), "optimizer/lr": (self.steps, np.full(30, 0.01))}
        assert found(self.slug, series) == []

    def test_as_much_again_that_would_halve_the_loss_outweighs_an_accuracy(self):
        assert self.run(0.8, self.cosine, fell=1.3) == ["warning"]
        assert self.run(0.8, self.cosine, fell=0.5) == []  # falls as fast, and would not be halved
        assert self.run(0.8, self.cosine, fell=1.6) == []  # two thirds are gone


class TestHandfulOfSteps:
    """Schedules of four to twenty steps: an epoch of one step."""

    slug = "training-too-short"

    def run(self, loss, rates):
        steps = np.arange(1, len(loss) + 1)
        return found(self.slug, {"train/loss": (steps, np.asarray(loss)), "optimizer/lr": (steps, np.asarray(rates))})

    cosine = (0.005, 0.0043, 0.0025, 0.0007)

    def test_four_steps_along_which_the_loss_falls_are_too_few(self):
        assert self.run([2.30, 2.292, 2.284, 2.278], self.cosine) == ["warning"]

    def test_a_loss_that_learned_or_wanders_and_a_rate_that_goes_on_are_none(self):
        assert self.run([2.30, 1.9, 1.3, 0.9], self.cosine) == []
        assert self.run([2.30, 2.28, 2.31, 2.29], self.cosine) == []
        assert self.run([2.30, 2.292, 2.284, 2.278], [0.005] * 4) == []

    def test_a_schedule_is_over_when_its_next_step_down_leaves_nothing(self):
        loss = [2.3037, 2.3031, 2.3017, 2.3003]
        assert self.run(loss, (0.01, 0.02, 0.015, 0.005)) == ["warning"]
        assert self.run(loss, (0.01, 0.02, 0.0195, 0.018)) == []

    @pytest.mark.parametrize(
        ("held", "right", "said"),
        [((2.30, 2.20), 0.25, ["warning"]), ((2.30, 2.29), 0.25, []), ((2.30, 1.0), 0.4, []), ((2.30, 2.20), 0.9, [])],
    )
    def test_validation_before_and_after_shows_what_the_noise_of_batches_hides(self, held, right, said):
        steps, rng = np.arange(1, 16), np.random.default_rng(0)
        series = {
            "train/loss": (steps, 2.3 + 0.07 * rng.standard_normal(15)),
            "optimizer/lr": (steps, 0.002 * 0.5 * (1 + np.cos(np.pi * (steps - 1) / 15))),
            "val/loss": ([0, 15], held),
            "val/accuracy": ([0, 15], [0.1, right]),
        }
        assert found(self.slug, series) == said
        steady = series | {"optimizer/lr": (steps, np.full(15, 0.002))}
        assert found(self.slug, steady) == [], "a trial, which may be gone on with"

    @pytest.mark.parametrize(("held", "said"), [(2.3032 - 0.0005 * np.arange(7), ["warning"]), (np.full(7, 2.30), [])])
    def test_a_validation_loss_that_falls_little_by_little_is_not_at_rest(self, held, said):
        steps = np.arange(1, 7)
        series = {
            "train/loss": (steps, 2.3035 - 0.0005 * steps),
            "optimizer/lr": (steps, (0.01, 0.02, 0.018, 0.013, 0.007, 0.002)),
            "val/loss": (np.arange(7), held),
        }
        assert found(self.slug, series) == said


@pytest.mark.parametrize(("fell", "right", "said"), [(0.2, 0.5, ["warning"]), (0.2, 0.78, []), (1.6, 0.5, [])])
def test_a_loss_hardly_begun_is_too_little_unless_most_answers_are_right(fell, right, said):
    """Nine tenths of the loss are left, which falls in a straight line to the last step."""
    series = {
        "train/loss": (STEPS, 2.3 - fell * STEPS / 600 + 0.02 * np.random.default_rng(0).standard_normal(600)),
        "train/accuracy": (STEPS, np.linspace(0.1, right, 600)),
    }
    assert found("training-too-short", series) == said
    rests = np.minimum(STEPS, 250) * fell / 250
    assert found("training-too-short", series | {"train/loss": (STEPS, 2.3 - rests)}) == []


class TestEndedWithinTheWarmUp:
    slug = "training-too-short"
    steps = np.arange(1, 45)
    warming = 0.001 * np.arange(1, 45)

    def run(self, loss, rates=warming):
        return found(self.slug, {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, rates)})

    falling = 2.3 - 1.5 * (np.arange(44) / 43) ** 2 + 0.02 * RNG.standard_normal(44)

    def test_a_loss_that_falls_while_the_rate_rises_to_the_last_step(self):
        assert self.run(self.falling) == ["warning"]

    def test_a_warm_up_that_ends_before_the_run_is_none(self):
        assert self.run(self.falling, np.minimum(self.warming, 0.02)) == []
        assert self.run(self.falling, np.minimum(self.warming, self.warming[::-1])) == []

    def test_a_rate_test_that_diverges_and_a_loss_that_is_gone_are_none(self):
        assert self.run(np.r_[self.falling[:30], 3 + np.arange(14)]) == []
        assert self.run(0.05 + 2.3 * np.exp(-self.steps / 12)) == []

    def test_a_loss_that_slows_down_while_the_rate_rises_is_none(self):
        """A transformer whose warm-up is as long as its training, and which has learned all the same."""
        assert self.run(1.0 + 1.3 * np.exp(-self.steps / 12) + 0.01 * RNG.standard_normal(44)) == []


class TestOneStepAnEpoch:
    slug = "training-too-short"

    def run(self, validations):
        steps = np.arange(1, 31)
        series = {"train/loss": (steps, 2.3 - 0.016 * steps), "val/accuracy": (steps[-3:], np.full(3, 0.5))}
        seen = np.linspace(1, 30, validations).astype(int)
        return found(self.slug, series | {"val/loss": (seen, 2.3 - 0.016 * seen)})

    def test_thirty_steps_are_a_trial_unless_each_of_them_was_an_epoch(self):
        assert self.run(30) == ["warning"]
        assert self.run(2) == []


class TestAgents:
    def test_the_loss_of_an_agent_does_not_have_to_fall(self):
        rising = {"train/loss": (STEPS, 1 + 0.1 * STEPS)}
        assert found("loss-diverging", rising, manifest={}) == ["critical"]
        assert found("loss-diverging", rising | {"train/reward": (STEPS, STEPS)}, manifest={}) == []


class TestLossWithoutABottom:
    slug = "loss-output-mismatch"

    def run(self, values, loss="BCEWithLogitsLoss"):
        return found(self.slug, {"train/loss": (STEPS, values)}, manifest={"loss": {"class": loss}, "data": {}})

    def test_a_loss_that_falls_through_zero_faster_and_faster(self):
        assert self.run(0.7 - 1e-4 * STEPS**2.0) == ["warning"]

    def test_a_likelihood_that_comes_to_rest_below_zero_is_fine(self):
        assert self.run(0.7 - 5 * (1 - np.exp(-STEPS / 100.0)), loss="GaussianNLLLoss") == []


class TestSoftmaxOverTheBatch:
    slug = "loss-output-mismatch"

    def run(self, begin):
        modules = [
            {"name": name, "type": "Linear", "output_shape": [64, size]} for name, size in (("a", 32), ("b", 10))
        ]
        manifest = {
            "loss": {"class": "nll_loss"},
            "data": {"classes": 10, "output_shape": [64, 10]},
            "model": {"modules": modules},
        }
        values = begin * np.exp(-STEPS / 300)
        return found(self.slug, {"train/loss": (STEPS, values)}, manifest=manifest)

    def test_it_begins_at_the_logarithm_of_the_batch_size(self):
        assert self.run(np.log(64)) == ["warning"]
        assert self.run(np.log(10)) == []


class TestRareClassesWithMoreWeight:
    slug = "class-imbalance"

    def run(self, predicted, validation, status="finished", train=0.97):
        frames = STEPS[::60]
        series = {
            "train/accuracy": (STEPS, np.full(600, train)),
            "val/accuracy": (TIMES, validation),
            "data/largest_prediction_share": (frames, np.full(len(frames), predicted)),
            "data/largest_label_share": (frames, np.full(len(frames), 0.91)),
        }
        two = {"data": {"classes": 2, "label_counts": [910, 90]}}
        return found(self.slug, series, manifest=two, status=status)

    def test_rare_classes_given_more_often_than_they_come_are_on_purpose(self):
        rising = np.linspace(0.74, 0.85, len(TIMES))
        assert self.run(0.75, rising) == ["info"]
        assert self.run(0.95, rising) == ["warning"]

    def test_to_be_right_less_often_than_the_frequent_class_comes_in_training_too_is_on_purpose(self):
        assert self.run(0.95, np.linspace(0.74, 0.85, len(TIMES)), train=0.82) == ["info"]

    def test_the_frequent_class_alone_is_harm_once_the_run_has_ended(self):
        assert self.run(1.0, np.full(len(TIMES), 0.92)) == ["warning"]
        assert self.run(1.0, np.full(len(TIMES), 0.92), status="running") == ["info"]


class TestOneClassIsAllThatIsEverSaid:
    """Unlabelled examples that were counted to the first of five classes: seven of ten targets."""

    slug = "class-imbalance"

    def run(self, validation, predicted=1.0, counts=(210, 23, 22, 23, 22), status="finished"):
        frames = STEPS[::60]
        series = {
            "val/accuracy": (TIMES, validation),
            "data/largest_prediction_share": (frames, np.full(len(frames), predicted)),
            "data/largest_label_share": (frames, np.full(len(frames), 0.7)),
        }
        manifest = {"data": {"classes": len(counts), "label_counts": list(counts)}}
        return found(self.slug, series, manifest=manifest, status=status)

    def test_an_accuracy_that_gets_no_further_than_the_share_of_the_one_class(self):
        assert self.run(0.72 + 0.01 * np.random.default_rng(0).uniform(-1, 1, len(TIMES))) == ["warning"]

    def test_more_than_the_share_or_on_the_way_to_it_or_other_answers_or_a_run_that_goes_on(self):
        at_share = np.full(len(TIMES), 0.72)
        assert self.run(np.linspace(0.7, 0.9, len(TIMES))) == []
        assert self.run(np.linspace(0.68, 0.74, len(TIMES))) == []
        assert self.run(at_share, predicted=0.8) == []
        assert self.run(at_share, status="running") == []
        assert self.run(np.full(len(TIMES), 0.6), counts=(180, 120)) == [], "of two classes one is often that frequent"


class TestOverfittingByAccuracy:
    slug = "overfitting"

    def run(self, train_accuracy, validation_accuracy, rise):
        low = 0.3 + np.exp(-TIMES / 40.0)
        series = {
            "train/loss": (STEPS, 2.3 * np.exp(-STEPS / 60.0)),
            "val/loss": (TIMES, low + rise * TIMES / 600),
            "train/accuracy": (STEPS, np.full(600, train_accuracy)),
            "val/accuracy": (TIMES, np.linspace(0.5, 1, len(TIMES)) * validation_accuracy),
        }
        two = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 2}}
        return found(self.slug, series, manifest=two)

    def test_overconfidence_with_the_best_accuracy_at_the_end_is_information(self):
        assert self.run(1.0, 0.94, 0.1) in ([], ["info"])

    def test_a_training_accuracy_far_ahead_is_a_warning(self):
        assert self.run(1.0, 0.55, 0.1) == ["warning"]


class TestPenaltyInTheLoss:
    slug = "weight-decay-too-strong"

    def run(self, last):
        frames = np.array([0, 1, 10, 50, 200, 600])
        norms = np.geomspace(1.0, last, 6)[:, None] * np.array([5.0, 2.0])
        parameters = [{"name": n, "module": n, "shape": [8, 8], "trainable": True} for n in "ab"]
        groups = [{"lr": 0.01, "weight_decay": 0.0, "momentum": 0.0, "parameters": ["a", "b"]}]
        manifest = {
            "model": {"parameters": parameters},
            "optimizers": [{"class": "torch.optim.SGD", "groups": groups}],
        }
        # What falls is the penalty, which is part of the loss.
        series = {"train/loss": (STEPS, 2.3 + 7 * np.exp(-STEPS / 50))}
        return found(self.slug, series, {"weight_norm": (["a", "b"], frames, norms)}, manifest)

    def test_weights_that_all_go_to_nothing_without_decay(self):
        assert self.run(0.001) == ["critical"]
        assert self.run(0.5) == []


class TestCopiesOfNets:
    slug = "parameters-not-updated"

    def run(self, norms, gradient):
        frames = np.arange(1, 9)
        parameters = [{"name": f"{m}.weight", "module": m, "shape": [8, 8], "trainable": True} for m in "ab"]
        groups = [{"lr": 0.01, "weight_decay": 0.0, "momentum": 0.0, "parameters": ["b.weight"]}]
        manifest = {
            "model": {"parameters": parameters},
            "optimizers": [{"class": "torch.optim.SGD", "groups": groups}],
        }
        names = ["a.weight", "b.weight"]
        layers = {
            "weight_norm": (names, frames, np.stack([norms, np.linspace(1, 2, 8)], axis=1)),
            "update_norm": (names, frames, np.stack([np.zeros(8), np.ones(8)], axis=1)),
            "grad_norm": (["b.weight"], frames, np.ones((8, 1))),
            "activation_grad_norm": (["a", "b"], frames, np.stack([np.full(8, gradient), np.ones(8)], axis=1)),
        }
        return found(self.slug, {"train/loss": (STEPS, np.full(600, 2.3))}, layers, manifest)

    def test_a_layer_that_the_optimizer_misses_is_told(self):
        assert self.run(np.ones(8), 1.0) == ["warning"]

    def test_a_copy_that_changes_and_one_that_no_gradient_reaches_are_let_be(self):
        assert self.run(np.repeat([1.0, 1.5], 4), 1.0) == []
        assert self.run(np.ones(8), 0.0) == ["info"]


class TestDivergenceInALongRun:
    slug = "loss-diverging"

    def test_it_is_told_within_twenty_steps_after_fifty_thousand(self):
        steps = np.arange(1, 50_021)
        values = 0.1 + 2.2 * np.exp(-steps / 2000) + 0.01 * RNG.standard_normal(len(steps))
        assert found(self.slug, {"train/loss": (steps[:-20], values[:-20])}, status="running") == []
        values[-20:] = 9.0
        assert found(self.slug, {"train/loss": (steps, values)}, status="running") != []

    def test_a_term_that_grows_early_while_another_falls_is_waited_for(self):
        steps = np.arange(1, 41)
        rising = {"train/loss": (steps, 1.8 + 0.2 * steps)}
        assert found(self.slug, rising, status="running") != []
        assert found(self.slug, rising | {"train/recon": (steps, np.exp(-steps / 20))}, status="running") == []


class TestRandomDepth:
    slug = "missing-gradients"

    def run(self, frames, ran):
        """Two blocks; the second one never ran in these frames, the first as ``ran`` says."""
        steps = np.arange(1, frames + 1)
        nan = np.full(frames, np.nan)
        parameters = [{"name": f"{m}.weight", "module": m, "shape": [4, 4], "trainable": True} for m in "ab"]
        view = RunView.of_arrays(
            {"train/loss": (steps, np.ones(frames))},
            {
                "grad_norm": (["a.weight", "b.weight"], steps, np.stack([np.where(ran, 1.0, np.nan), nan], axis=1)),
                "activation_mean": (["a", "b"], steps, np.stack([np.where(ran, 1.0, np.nan), nan], axis=1)),
            },
            manifest={"model": {"parameters": parameters}},
        )
        for kind in ("grad_norm", "activation_mean"):
            table = view.layers(kind)
            table.measured[:] = np.isfinite(table.values)
        return [f.rule for f in judge(view, [RULES[self.slug]]).findings]

    def test_a_block_that_is_left_out_by_chance_is_waited_for(self):
        assert self.run(4, np.array([True, False, True, True])) == []
        assert self.run(25, np.arange(25) % 3 > 0) == [self.slug]

    def test_a_layer_that_never_runs_beside_layers_that_always_do_is_told_soon(self):
        assert self.run(4, np.ones(4, dtype=bool)) == [self.slug]


@pytest.mark.parametrize(("name", "told"), [("train/mae", True), ("train/variance", False)])
def test_an_error_measure_is_the_loss_where_nothing_else_is_called_so(name, told):
    level = 1.0 + 0.01 * RNG.standard_normal(600)
    view = RunView.of_arrays({name: (STEPS, level)})
    report = judge(view, [RULES["loss-not-decreasing"]])
    assert bool(report.findings) is told
