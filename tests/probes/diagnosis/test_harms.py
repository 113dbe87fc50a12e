"""What the independent programs of the benchmark taught the rules, on made series whose right answer is known."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes import buckets
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.signs.recurrent import spread
from probes.diagnosis.view import HistogramTable, RunView

STEPS = np.arange(1, 401)
FRAMES = STEPS[::40]
RNG = np.random.default_rng(0)
FALLING = 0.2 + 2.1 * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
FLAT = 2.3 + 0.02 * RNG.standard_normal(400)


def report(slug, series, layers=None, manifest=None, **more):
    found = judge(RunView.of_arrays(series, layers, manifest=manifest, **more), [RULES[slug]])
    assert not [r for r in found.not_judged if "failed" in r.reason], found.not_judged
    return found


def parameters(*shapes):
    return [{"name": f"w{i}", "module": f"m{i}", "shape": s, "trainable": True} for i, s in enumerate(shapes)]


class TestUnnormalizedInputs:
    def run(self, std):
        names = [str(c) for c in range(len(std))]
        layers = {
            "input_mean": (names, FRAMES, np.zeros((len(FRAMES), len(std)))),
            "input_std": (names, FRAMES, np.tile(std, (len(FRAMES), 1))),
        }
        return report("unnormalized-inputs", {"train/loss": (STEPS, FLAT)}, layers).findings

    def test_the_rim_of_a_picture_is_no_scale_of_its_own(self):
        assert self.run([1e-6, 1e-6, 0.01, *[0.7] * 10, 1.1]) == []

    def test_many_features_on_a_small_scale_are(self):
        (finding,) = self.run([1e-4] * 5 + [2.0] * 5)
        assert finding.severity == "warning"


class TestDeadUnits:
    def run(self, spread):
        kinds = {
            "dead_fraction": (["relu"], FRAMES, np.ones((10, 1))),
            "activation_mean": (["relu", "out"], FRAMES, np.tile([0.0, 0.5], (10, 1))),
            "activation_std": (["relu", "out"], FRAMES, np.tile([0.0, spread], (10, 1))),
            "batch_variation": (["out"], FRAMES, np.ones((10, 1))),
        }
        return report("dead-units", {"train/loss": (STEPS, FALLING)}, kinds).findings

    def test_an_output_that_is_one_number_is_harm_whatever_the_loss_gained(self):
        (finding,) = self.run(1e-8)
        assert finding.severity == "critical"

    def test_a_dead_layer_that_leaves_the_output_alive_does_none(self):
        assert self.run(0.1) == []


class TestNeverStepped:
    manifest = {  # noqa: RUF012
        "model": {"parameters": parameters([4, 4])},
        "optimizers": [{"class": "SGD", "groups": [{"lr": 0.1, "parameters": ["w0"]}]}],
    }

    def run(self, values, status="finished"):
        series = {"train/loss": (np.zeros(values), np.full(values, 2.3))}
        return report("parameters-not-updated", series, manifest=self.manifest, status=status)

    def test_losses_without_a_step_are_told(self):
        (finding,) = self.run(150).findings
        assert finding.severity == "critical"
        assert "150 times" in finding.message

    def test_a_run_that_goes_on_may_be_accumulating(self):
        (finding,) = self.run(150, "running").findings
        assert finding.severity == "warning"
        assert self.run(64, "running").findings == []

    def test_a_real_loop_without_step(self, tmp_path):
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with probes.watch(model, optimizer, tmp_path / "run") as probe:
            for _ in range(120):
                optimizer.zero_grad()
                loss = model(torch.randn(8, 3)).square().mean()
                loss.backward()
                probe.log("train", loss=loss)
        (finding, *_) = probes.diagnose(tmp_path / "run").findings
        assert finding.rule == "parameters-not-updated"
        assert "optimizer.step()" in finding.suggestions[0]


class TestRateTakenAway:
    def run(self, rates, loss=FLAT):
        return report("learning-rate-too-low", {"train/loss": (STEPS, loss), "optimizer/lr": (STEPS, rates)}).findings

    def test_a_schedule_that_ends_before_anything_is_learned(self):
        (finding,) = self.run(np.where(STEPS <= 30, 0.1, 1e-6))
        assert (finding.severity, finding.first_step) == ("warning", 31)

    @pytest.mark.parametrize(
        ("rates", "loss"),
        [
            (np.where(STEPS <= 30, 0.1, 1e-6), FALLING),  # it had learned
            (np.where(STEPS <= 300, 0.1, 1e-6), FLAT),  # the last quarter only
            (0.05 * (1 + np.cos(np.pi * STEPS / 400)), FLAT),  # cosine to zero
            (np.full(400, 1e-6), FLAT),  # low all along: told by the steps themselves
            (np.where(STEPS <= 200, 1e-6, 0.1), FLAT),  # warm-up
        ],
    )
    def test_usual_schedules_and_runs_that_learned_are_none(self, rates, loss):
        view = RunView.of_arrays({"train/loss": (STEPS, loss), "optimizer/lr": (STEPS, rates)})
        assert judge(view, [RULES["learning-rate-too-low"]]).findings == []


class TestCutGradients:
    def run(self, norms, loss, update=0.05, optimizer="SGD"):
        manifest = {
            "model": {"parameters": parameters([8, 8])},
            "optimizers": [{"class": optimizer, "groups": [{"lr": 0.1, "parameters": ["w0"]}]}],
        }
        layers = {
            "grad_norm": (["w0"], FRAMES, norms),
            "update_norm": (["w0"], FRAMES, np.full(10, update)),
            "weight_norm": (["w0"], FRAMES, np.ones(10)),
        }
        return report("exploding-gradients", {"train/loss": (STEPS, loss)}, layers, manifest).findings

    def test_clipped_at_every_look_and_nothing_learned(self):
        (finding,) = self.run([1.0] * 8 + [0.4, 0.3], FLAT)
        assert finding.severity == "warning"
        assert "8 of 10 frames" in finding.message

    @pytest.mark.parametrize(
        ("norms", "loss", "update", "optimizer"),
        [
            ([1.0] * 10, FALLING, 0.05, "SGD"),  # a clipped net that learns
            ([1.0] * 10, FLAT, 1e-6, "SGD"),  # clipped to nothing: the rate is too low
            ([1.0] * 10, FLAT, 0.05, "Adam"),  # its steps do not depend on the norm
            (np.linspace(0.5, 1.5, 10), FLAT, 0.05, "SGD"),  # not clipped
            ([1.0] * 4 + [0.4] * 6, FLAT, 0.05, "SGD"),  # seldom clipped
        ],
    )
    def test_otherwise_not(self, norms, loss, update, optimizer):
        assert self.run(norms, loss, update, optimizer) == []


class TestThroughTime:
    def table(self, elements):
        counts, outside = buckets.histogram(elements.astype(np.float32))
        return HistogramTable(FRAMES, buckets.EDGES, np.tile(counts, (10, 1)).astype(float), np.full(10, outside[0]))

    @pytest.mark.parametrize("sigma", [1e-5, 0.01, 10.0])
    def test_the_spread_of_a_normal_distribution(self, sigma):
        # rms / median |x| = 1 / 0.6745; a bin is half an octave wide
        measured = spread(self.table(sigma * RNG.standard_normal(20000)))
        assert measured == pytest.approx(np.log10(1 / 0.6745), abs=0.15)

    def test_the_spread_of_a_geometric_decay(self):
        # 0.5^t for t = 0..39, equally many of each: median 2^-19.5, rms sqrt(1/40 / (1 - 1/4))
        elements = np.repeat(0.5 ** np.arange(40), 50) * 1.2
        wanted = np.log10(np.sqrt(1 / 40 / 0.75) / 2**-19.5)
        assert spread(self.table(elements)) == pytest.approx(wanted, abs=0.3)

    def run(self, elements, loss=FLAT, kind="RNN", status="finished"):
        modules = [
            {"name": "embed", "type": "Embedding", "output_shape": [8, 40, 16]},
            {"name": "rnn", "type": kind, "output_shape": [8, 40, 32]},
            {"name": "out", "type": "Linear", "output_shape": [8, 5]},
        ]
        view = RunView.of_arrays(
            {"train/loss": (STEPS, loss)},
            manifest={"model": {"modules": modules}},
            status=status,
            histograms={("activation_gradient", "embed"): self.table(elements)},
        )
        return judge(view, [RULES["vanishing-gradients"]]).findings

    decay = np.repeat(0.5 ** np.arange(40), 50)

    def test_a_gradient_that_dies_on_its_way_back_and_a_loss_that_stands_still(self):
        (finding,) = self.run(self.decay)
        assert (finding.severity, finding.layers) == ("warning", ("rnn",))
        assert [f.severity for f in self.run(self.decay, status="running")] == ["info"]

    def test_without_harm_or_without_decay_nothing_is_said(self):
        assert self.run(self.decay, FALLING) == []
        assert self.run(0.9 ** np.repeat(np.arange(40), 50)) == []
        assert self.run(self.decay, kind="Linear") == []

    @pytest.mark.parametrize(("nonlinear", "told"), [("tanh", True), ("relu", False)])
    def test_a_real_network(self, tmp_path, nonlinear, told):
        """A tanh network forgets over 60 steps; an identity of ReLUs (IRNN) passes the gradient on."""
        torch.manual_seed(0)
        embed, rnn, out = nn.Embedding(8, 8), nn.RNN(8, 16, batch_first=True, nonlinearity=nonlinear), nn.Linear(16, 8)
        if nonlinear == "relu":
            nn.init.eye_(rnn.weight_hh_l0)
        model = nn.ModuleDict({"embed": embed, "rnn": rnn, "out": out})
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        with probes.watch(model, optimizer, tmp_path / "run", every=50) as probe:
            for _ in range(210):
                tokens = torch.randint(8, (8, 60))
                loss = nn.functional.cross_entropy(out(rnn(embed(tokens))[0][:, -1]), tokens[:, 0])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
        found = probes.diagnose(tmp_path / "run", ["vanishing-gradients"]).findings
        assert bool(found) is told


class TestDecayIsNoStep:
    def run(self, decay, size=0.06):
        manifest = {
            "model": {"parameters": parameters([8, 8])},
            "optimizers": [{"class": "SGD", "groups": [{"lr": 0.05, "weight_decay": decay, "parameters": ["w0"]}]}],
        }
        layers = {
            "update_norm": (["w0"], FRAMES, np.full(10, size)),
            "weight_norm": (["w0"], FRAMES, np.ones(10)),
        }
        return report("learning-rate-too-high", {"train/loss": (STEPS, FLAT)}, layers, manifest).findings

    def test_what_weight_decay_takes_is_not_the_rates_fault(self):
        assert len(self.run(0.0)) == 1
        assert self.run(1.0) == []
        assert len(self.run(1e-4)) == 1


@pytest.mark.parametrize(("layers", "told"), [(1, False), (2, True)])
def test_a_first_step_larger_than_the_weights_ruins_features_and_a_single_layer_has_none(layers, told):
    """A softmax regression whose labels say nothing: its loss stays where it is, whatever the first step did."""
    names = [f"w{n}" for n in range(layers)]
    sizes = np.where(FRAMES <= 1, 1.4, 0.004)
    tables = {
        "update_norm": (names, FRAMES, np.tile(sizes[:, None], (1, layers))),
        "weight_norm": (names, FRAMES, np.ones((10, layers))),
    }
    described = [{"name": n, "module": n, "shape": [8, 8], "trainable": True} for n in names]
    found = report(
        "learning-rate-too-high", {"train/loss": (STEPS, FLAT)}, tables, {"model": {"parameters": described}}
    )
    assert bool(found.findings) is told


@pytest.mark.parametrize(("spread", "told"), [(0.2, True), (0.01, False)])
def test_a_first_step_of_adam_overruns_weights_of_a_usual_size_only(spread, told):
    """The factors of a factorisation machine begin next to nothing, and are to grow at once."""
    sizes = np.where(FRAMES <= 1, 1.2, 0.004)
    tables = {
        "update_norm": (["w0", "w1"], FRAMES, np.tile(sizes[:, None], (1, 2))),
        "weight_norm": (["w0", "w1"], FRAMES, np.ones((10, 2))),
        "weight_std": (["w0", "w1"], FRAMES, np.full((10, 2), spread)),
    }
    manifest = {
        "model": {"parameters": parameters([8, 8])},
        "optimizers": [{"class": "Adam", "groups": [{"lr": 0.05, "parameters": ["w0", "w1"]}]}],
    }
    slowly = 2.3 - 0.8 * (1 - np.exp(-STEPS / 60))
    found = report("learning-rate-too-high", {"train/loss": (STEPS, slowly)}, tables, manifest).findings
    assert bool(found) is told


class TestInputBottleneck:
    def run(self, place, seconds):
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with probes.watch(model, optimizer, place / "run") as probe:
            for _ in range(60):
                time.sleep(seconds)  # the loader
                loss = model(torch.randn(8, 3)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
        return probes.diagnose(place / "run", ["input-bottleneck"]).findings

    def test_a_real_loader_that_sleeps(self, tmp_path):
        assert [f.severity for f in self.run(tmp_path, 0.03)] == ["warning"]

    def test_the_time_of_a_step_contains_the_wait(self):
        series = {"system/data_wait": (STEPS, np.full(400, 0.05)), "system/step_time": (STEPS, np.full(400, 0.1))}
        assert report("input-bottleneck", series).findings == []
        series["system/step_time"] = (STEPS, np.full(400, 0.06))
        (finding,) = report("input-bottleneck", series).findings
        assert "83%" in finding.message
