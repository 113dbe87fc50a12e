"""Rates that are taken away by equal factors, warm-ups without end, and steps that are all weight decay."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.driven import driven_sizes
from probes.diagnosis.signs.endless import endless_warmup
from probes.diagnosis.view import RunView

SLUG = "learning-rate-too-low"
CLASSIFIER = {"loss": {"class": "CrossEntropyLoss", "reduction": "mean"}, "data": {"classes": 10}}
WEIGHT = {"parameters": [{"name": "0.weight", "module": "0", "shape": [10, 64], "trainable": True}]}


def loud(view):
    report = judge(view, [RULES[SLUG]])
    assert not [r for r in report.not_judged if "failed" in r.reason]
    return [finding for finding in report.findings if finding.severity != "info"]


class TestDividedFromTheStart:
    """660 steps in 15 epochs, with a tenth of the rate after each."""

    steps = np.arange(1, 661)
    tenth_an_epoch = 0.1 ** ((steps - 1) // 44)

    def run(self, fall, rates=tenth_an_epoch, accuracy=None, at_step=None):
        """``fall``: (loss that learning could take away, steps at the full rate in which it takes most of that)."""
        gone, pace = fall
        loss = 2.3 - gone * (1 - np.exp(-np.cumsum(rates) / pace))
        loss += 0.02 * np.random.default_rng(0).standard_normal(660)
        series = {"train/loss": (self.steps, loss), "optimizer/lr": (self.steps, 0.1 * rates)}
        if accuracy is not None:
            series["val/accuracy"] = (self.steps[43::44], np.full(15, accuracy))
        status = "finished" if at_step is None else "running"
        return loud(RunView.of_arrays(series, manifest=CLASSIFIER, at_step=at_step, status=status))

    def test_a_loss_that_was_on_its_way(self):
        (finding,) = self.run((2.2, 40))
        assert "count as 48.9 at the full rate" in finding.message
        assert " only" not in finding.message, "two thirds of the loss are gone"

    def test_a_loss_at_rest_or_a_high_accuracy_or_nothing_left(self):
        assert not self.run((1.5, 8), 0.3 ** ((self.steps - 1) // 44)), "it rested before the rate was nothing"
        assert not self.run((2.2, 40), accuracy=0.95)
        assert not self.run((2.25, 10))

    def test_weights_that_cannot_move_for_half_of_the_run(self):
        assert self.tenth_an_epoch[330] < 1e-6
        (finding,) = self.run((1.5, 8))
        assert finding.first_step == 1, "the schedule was wrong from the start"
        assert not self.run((1.5, 8), accuracy=0.95)

    def test_a_rate_that_waited_for_the_loss(self):
        plateau = np.where(self.steps <= 200, 1.0, 0.1 ** ((self.steps - 190) // 11))
        assert plateau[-1] < 1e-9
        assert not self.run((2.2, 160), plateau)

    def test_a_decay_over_the_whole_run(self):
        assert not self.run((2.2, 160), 0.99**self.steps)
        assert not self.run((2.2, 300), 0.5 * (1 + np.cos(np.pi * self.steps / 660)))

    def test_few_steps_at_the_full_rate_need_no_proof(self):
        by_half = 0.5 ** ((self.steps - 1) // 10)
        (finding,) = self.run((2.2, 10), by_half)
        assert "count as 20" in finding.message

    def test_on_the_way_it_is_told_when_nothing_more_can_come(self):
        slow = (2.2, 120)
        assert not self.run(slow, at_step=170)
        (finding,) = self.run(slow, at_step=240)
        assert "Since step 177 of 240" in finding.message
        assert not self.run((0.5, 8), at_step=240), "at rest, though half is left"


class TestStoppedHalfway:
    """A regression of 1600 steps at a rate that a cosine takes to zero, which moves the weights by 2% in all."""

    steps = np.arange(1, 1601)
    rates = 0.5 * (1 + np.cos(np.pi * steps / 1600))

    def run(self, left=0.1, pace=1200, travel=0.02, status="finished", spread=1.0, **more):
        frames = self.steps[::100]
        sizes = self.rates[::100, None] * 2 * travel / 1600
        layers = {
            "update_norm": (["0.weight"], frames, sizes),
            "weight_norm": (["0.weight"], frames, np.ones((16, 1))),
        }
        loss = left + (1.0 - left) * np.exp(-np.cumsum(self.rates) / pace)
        series = {"train/loss": (self.steps, loss + 0.05 * np.random.default_rng(0).standard_normal(1600))}
        series |= {"optimizer/lr": (self.steps, 2e-5 * self.rates), "data/target_std": (frames, np.full(16, spread))}
        group = {"lr": 2e-5, "momentum": 0.9, "parameters": ["0.weight"]}
        manifest = {"loss": {"class": "MSELoss", "reduction": "mean"}, "model": WEIGHT}
        manifest |= {"optimizers": [{"class": "torch.optim.SGD", "groups": [group]}]}
        return loud(RunView.of_arrays(series | more, layers, manifest=manifest, status=status))

    def test_half_of_the_variance_is_left_and_the_loss_was_on_its_way(self):
        (finding,) = self.run()
        assert "moved by at most 2% of their size" in finding.message

    def test_not_where_the_loss_had_come_to_rest(self):
        assert not self.run(left=0.5, pace=100)

    def test_nor_where_the_weights_moved_or_the_run_goes_on(self):
        assert not self.run(travel=0.2)
        assert not self.run(status="running")

    def test_nor_from_a_net_that_knew_most_of_it(self):
        assert not self.run(spread=1.5)

    def test_nor_at_right_answers(self):
        assert not self.run(**{"val/accuracy": (self.steps[::400], np.full(4, 0.9))})


class TestWarmUpWithoutEnd:
    steps = np.arange(1, 201)

    def view(self, length, target=0.1, curve=1.0, at_step=60):
        rates = 0.1 * (self.steps / length) ** curve
        sizes = (["0.weight"], self.steps[::5], 1e-5 * np.ones((40, 1)))
        group = {"lr": 0.1 / length, "initial_lr": target, "parameters": ["0.weight"]}
        manifest = CLASSIFIER | {"model": WEIGHT, "optimizers": [{"class": "torch.optim.Adam", "groups": [group]}]}
        series = {"train/loss": (self.steps, np.full(200, 2.3)), "optimizer/lr": (self.steps, rates)}
        layers = {"update_norm": sizes, "weight_norm": (["0.weight"], self.steps[::5], np.ones((40, 1)))}
        return RunView.of_arrays(series, layers, manifest=manifest, status="running", at_step=at_step)

    def test_the_end_is_that_of_the_straight_line(self):
        assert endless_warmup(self.view(400_000)) == pytest.approx(400_000, rel=1e-6)
        (finding,) = loud(self.view(400_000))
        assert "ends at step 400,000" in finding.suggestions[0]

    def test_a_long_warm_up_a_target_not_known_and_another_curve_are_none(self):
        assert endless_warmup(self.view(32_000)) is None
        assert not loud(self.view(32_000))
        assert not loud(self.view(400_000, target=None))
        assert not loud(self.view(400, curve=3.0))

    def test_a_rate_that_rises_above_the_first_is_no_warm_up_to_it(self):
        """As in a cycle, whose `initial_lr` is the lowest rate."""
        assert endless_warmup(self.view(400_000, target=0.1 / 400_000)) is None


class TestStepsThatAreAllDecay:
    """Gradients clipped to 1e-4 at a rate of 0.1 with momentum 0.9: at most 1e-4 a step. The decay takes more."""

    steps = np.arange(1, 241, 4)

    def view(self, clip=1e-4, decay=0.01, weights=2.0):
        ones = np.ones((len(self.steps), 1))
        column = ["0.weight"]
        group = {"lr": 0.1, "momentum": 0.9, "weight_decay": decay, "parameters": column}
        manifest = CLASSIFIER | {"model": WEIGHT, "optimizers": [{"class": "torch.optim.SGD", "groups": [group]}]}
        layers = {
            "grad_norm": (column, self.steps, clip * ones),
            "weight_norm": (column, self.steps, weights * ones),
            "update_norm": (column, self.steps, (clip + weights * decay / 10) * ones),
        }
        loss = 2.31 - 1e-4 * np.arange(1, 241)
        series = {"train/loss": (np.arange(1, 241), loss), "optimizer/lr": (np.arange(1, 241), np.full(240, 0.1))}
        return RunView.of_arrays(series, layers, manifest=manifest)

    def test_the_size_is_what_the_gradient_accounts_for(self):
        sizes = driven_sizes(self.view()).values
        assert sizes == pytest.approx(np.full(60, 0.1 * 1e-4 / 0.1 / 2.0))
        measured = driven_sizes(self.view(decay=0.0)).values
        assert measured == pytest.approx(np.full(60, 1e-4 / 2.0)), "without decay: as it was measured"

    def test_a_tiny_clip_is_told_though_decay_moves_the_weights(self):
        (finding,) = loud(self.view())
        assert "clip the gradient norm at 1, not at 1.0e-04" in finding.suggestions[0]
        assert not loud(self.view(clip=1e-2))


class TestNearTheInitialWeights:
    """A linear classifier of five classes whose weights begin at 0.01: small steps are large against these."""

    steps = np.arange(1, 401)

    def run(self, *, gone=0.01, bend=1.0, accuracy=0.4, deviation=0.01, status="finished"):
        """``gone``: part of the loss that falls; ``bend``: power of the rate summed up along which it does."""
        rates = 0.5 * (1 + np.cos(np.pi * (self.steps - 1) / 400))
        along = np.cumsum(rates) / rates.sum()
        loss = np.log(5) * (1 - gone * along**bend) + 0.005 * np.random.default_rng(0).standard_normal(400)
        frames = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400])
        norms = np.full((len(frames), 1), 0.25)
        tables = {"weight_norm": norms, "weight_std": norms * deviation / 0.25, "update_norm": 0.004 * norms}
        view = RunView.of_arrays(
            {
                "train/loss": (self.steps, loss),
                "optimizer/lr": (self.steps, 1e-3 * rates),
                "val/accuracy": (self.steps[39::40], np.full(10, accuracy)),
            },
            {kind: (["0.weight"], frames, values) for kind, values in tables.items()},
            manifest={"loss": CLASSIFIER["loss"], "data": {"classes": 5}, "model": WEIGHT},
            status=status,
        )
        return loud(view)

    def test_a_loss_that_falls_in_proportion_to_the_rate_summed_up_is_at_its_beginning(self):
        (finding,) = self.run()
        assert "in proportion to the learning rate" in finding.message
        assert finding.suggestions[0].startswith("raise the learning rate from 0.001 at its highest to about 0.01")

    @pytest.mark.parametrize(
        "other",
        [
            {"gone": 0.5},  # it learned
            {"bend": 0.2},  # it came to rest: this is all there is to learn
            {"bend": 5.0},  # a plateau that is being left
            {"accuracy": 0.2},  # nothing it learned is right elsewhere
            {"deviation": 0.1},  # weights of a usual size tell by their own steps
            {"status": "running"},
            {"gone": 0.0},
        ],
    )
    def test_what_learned_rests_or_was_never_right_is_not_told_by_it(self, other):
        assert self.run(**other) == []
