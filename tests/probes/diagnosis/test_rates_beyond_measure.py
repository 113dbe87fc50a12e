"""Learning rates that are too high without a loss that diverges, what is unlearned, and layers with no room."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import probes
from probes.diagnosis import RULES
from probes.diagnosis.engine import judge
from probes.diagnosis.manifest import ModuleInfo, ParameterInfo
from probes.diagnosis.signs.overshot import overshot
from probes.diagnosis.signs.squeezed import squeezed_by
from probes.diagnosis.view import Curve, RunView

STEPS = np.arange(1, 401)
FRAMES = np.array([1, 2, 5, 10, 20, 50, 100, 200, 400])
RNG = np.random.default_rng(0)


def view(
    loss, sizes, accuracy, *, validation=None, layers=("hidden", "out"), status="finished", kinds=None, rates=None
):
    """A log of a classifier of four classes: step sizes at nine frames, and weights that begin at a usual size."""
    parameters = [{"name": f"{name}.weight", "module": name, "shape": (64, 64)} for name in layers]
    modules = [{"name": name, "type": "Linear", "output_shape": [32, 4]} for name in layers]
    optimizer = {"class": "SGD", "groups": [{"lr": 0.5, "parameters": [p["name"] for p in parameters]}]}
    manifest = {
        "model": {"parameters": parameters, "modules": modules},
        "optimizers": [optimizer],
        "data": {"classes": 4, "label_counts": [100, 100, 100, 100]},
    }
    names = [p["name"] for p in parameters]
    norms = np.full((len(FRAMES), len(names)), 8.0)
    kept = len(loss) >= FRAMES
    tables = {
        "weight_norm": (names, FRAMES[kept], norms[kept]),
        "weight_std": (names, FRAMES[kept], norms[kept] / 64),
        "update_norm": (names, FRAMES[kept], (np.asarray(sizes, float)[:, None] * norms)[kept]),
        **(kinds or {}),
    }
    steps = np.arange(1, len(loss) + 1)
    series = {"train/loss": (steps, loss)}
    if accuracy is not None:
        series["train/accuracy"] = (steps, accuracy[: len(loss)])
    if validation is not None:
        series["val/accuracy"] = (steps[9::10], validation[: len(loss)][9::10])
    if rates is not None:
        series["optimizer/lr"] = (steps, rates[: len(loss)])
    return RunView.of_arrays(series, tables, manifest=manifest, status=status)


def told(seen, rule="learning-rate-too-high"):
    return [(f.rule, f.severity) for f in judge(seen, [RULES[rule]]).findings]


def course(end, peak):
    """A loss that begins at 1, leaps to ``peak`` at step 3, and falls to ``end``."""
    values = end + (1.0 - end) * np.exp(-STEPS / 60) + 0.02 * RNG.standard_normal(400)
    values[0], values[1:6] = 1.0, [peak / 3, peak, peak / 2, peak / 3, peak / 4]
    return values


def rising(to):
    return 0.25 + (to - 0.25) * (1 - np.exp(-STEPS / 60)) + 0.01 * RNG.standard_normal(400)


SHOT = [1.8, 1.2, 0.6, 0.2, 0.02, 0.008, 0.006, 0.004, 0.002]
CALM = [0.05, 0.04, 0.03, 0.02, 0.01, 0.008, 0.006, 0.004, 0.002]


def test_a_net_thrown_off_by_its_first_step_that_stays_mediocre():
    assert told(view(course(0.3, 40.0), SHOT, rising(0.75))) == [("learning-rate-too-high", "warning")]


@pytest.mark.parametrize(
    ("loss", "sizes", "accuracy", "layers"),
    [
        (course(0.05, 40.0), SHOT, rising(0.97), ("hidden", "out")),  # it learned all the same
        (course(0.3, 1.2), SHOT, rising(0.75), ("hidden", "out")),  # no leap
        (course(0.3, 40.0), CALM, rising(0.75), ("hidden", "out")),  # a leap, of another cause
        (course(0.3, 40.0), SHOT, rising(0.75), ("out",)),  # one layer has no features to lose
    ],
)
def test_what_did_no_harm_or_is_no_leap_of_the_weights(loss, sizes, accuracy, layers):
    assert told(view(loss, sizes, accuracy, layers=layers)) == []


def test_the_answers_of_validation_count_not_those_known_by_heart():
    heart, other = rising(1.0), rising(0.75)
    assert told(view(course(0.01, 40.0), SHOT, heart, validation=other)) == [("learning-rate-too-high", "warning")]
    assert told(view(course(0.01, 40.0), SHOT, heart, validation=rising(0.97))) == []


class TestTossedAbout:
    """A loss above its beginning of 1.4 until the rate is lowered: by steps of a twentieth of the weights."""

    steep = (0.05, 0.06, 0.08, 0.06, 0.05, 0.04, 0.01, 0.004, 0.001)

    def run(self, top=2.0, until=160, end=1.1, sizes=steep, accuracy=0.45, **more):
        level = np.interp(STEPS, [1, 10, until, until + 60, 400], [1.4, top, top, end, end])
        loss = np.r_[np.full(5, 1.4), level[5:] + 0.15 * np.random.default_rng(2).standard_normal(395)]
        report = judge(view(loss, sizes, rising(accuracy), **more), [RULES["learning-rate-too-high"]])
        return [finding.severity for finding in report.findings if "stayed above that" in finding.message]

    def test_a_loss_that_comes_down_with_the_rate_only(self):
        assert self.run() == ["warning"]

    def test_weights_that_were_blown_up_make_the_same_steps_look_small(self):
        grown = (0.07, 0.08, 0.09, 0.08, 0.07, 0.008, 0.004, 0.003, 0.001)
        assert self.run(sizes=grown) == ["warning"]

    def test_a_loss_thrown_far_off_leaves_a_net_that_is_only_mediocre(self):
        assert self.run(top=40.0, end=0.5, accuracy=0.72) == ["warning"]
        assert self.run(top=2.0, end=0.5, accuracy=0.72) == []
        assert self.run(top=40.0, end=0.2, accuracy=0.95) == []

    def test_a_loss_that_comes_back_to_its_beginning_as_the_rate_is_taken_back(self):
        cosine = 0.25 * (1 + np.cos(np.pi * STEPS / 400))
        sizes = (0.024, 0.025, 0.026, 0.024, 0.024, 0.023, 0.022, 0.004, 0.001)  # not large enough to tell alone
        lost = {"end": 1.4, "accuracy": 0.27, "until": 240, "sizes": sizes}
        assert self.run(rates=cosine, **lost) == ["warning"]
        assert self.run(rates=np.full(400, 0.5), **lost) == []  # raised by something else, which went away
        assert self.run(rates=cosine, **(lost | {"top": 1.6})) == []  # targets that nothing can be learned of
        assert self.run(rates=cosine, **(lost | {"end": 1.7})) == []  # it never came back

    @pytest.mark.parametrize(
        "healthy",
        [
            {"top": 1.4},  # a plateau
            {"until": 50},  # a rise that is over soon
            {"end": 0.2, "accuracy": 0.95},  # it learned all the same
            {"sizes": CALM},  # small steps: something else raises the loss
            {"status": "running"},
            {"layers": ("out",)},
        ],
    )
    def test_a_plateau_a_short_rise_or_one_that_did_no_harm(self, healthy):
        assert self.run(**healthy) == []


def test_the_leap_is_told_while_the_run_goes_on_after_fifty_steps():
    early, later = (view(course(0.3, 40.0)[:n], SHOT, rising(0.75), status="running") for n in (30, 60))
    assert told(early) == []
    assert told(later) == [("learning-rate-too-high", "warning")]


def test_a_rise_is_counted_from_the_first_value_of_a_log_that_has_it():
    leap = np.r_[1.0, 5.0, 4.0, 3.0, 2.0, np.ones(20)]
    assert overshot(Curve(np.arange(1, 26), leap)) == 5.0
    assert overshot(Curve(np.arange(6, 31), leap)) is None
    assert overshot(Curve(np.arange(1, 26), np.r_[-1.0, leap[1:]])) is None
    assert overshot(Curve(np.arange(1, 26), np.minimum(leap, 2.9))) is None


LARGE = [0.3, 0.2, 0.1, 0.06, 0.05, 0.027, 0.025, 0.025, 0.025]


def resting(end):
    return end + (1.4 - end) * np.exp(-STEPS / 15) + 0.02 * RNG.standard_normal(400)


def test_large_steps_in_a_net_that_rests_and_has_learned_hardly_anything():
    assert told(view(resting(1.15), LARGE, rising(0.4))) == [("learning-rate-too-high", "warning")]
    assert told(view(resting(1.15), CALM, rising(0.4))) == []
    assert told(view(resting(0.6), LARGE, rising(0.7))) == []
    assert told(view(resting(1.15), LARGE, rising(0.9))) == []
    assert told(view(resting(1.15), LARGE, rising(0.4), status="running")) == []


def test_where_no_accuracy_is_known_the_steps_must_be_larger_still():
    assert told(view(resting(1.15), LARGE, None)) == []
    assert told(view(resting(1.15), 1.5 * np.asarray(LARGE), None)) == [("learning-rate-too-high", "warning")]
    assert told(view(resting(0.6), 1.5 * np.asarray(LARGE), None)) == []


LOST = np.where(STEPS < 160, rising(0.95), 0.72) + 0.02 * RNG.standard_normal(400)
FELL = np.where(STEPS < 160, 20 * np.exp(-STEPS / 40), 1.0) + 0.5 + 0.1 * RNG.random(400)


def test_accuracies_that_are_lost_again_beside_a_loss_that_began_high():
    assert told(view(FELL, CALM, LOST, validation=LOST), "loss-diverging") == [("loss-diverging", "warning")]


def test_one_of_both_alone_is_a_harder_task_or_overfitting():
    kept = rising(0.95)
    assert told(view(FELL, CALM, LOST, validation=kept), "loss-diverging") == []
    assert told(view(FELL, CALM, kept, validation=LOST), "loss-diverging") == []
    assert told(view(FELL, CALM, LOST), "loss-diverging") == []


def test_a_dip_that_is_found_again_is_none():
    dip = np.where((STEPS > 160) & (STEPS < 280), LOST, rising(0.95))
    assert told(view(FELL, CALM, dip, validation=dip), "loss-diverging") == []


def weights(*shapes):
    return [ParameterInfo(f"l{i}.weight", f"l{i}", shape, True) for i, shape in enumerate(shapes)]


def squeezed(*shapes, kind="Linear"):
    modules = {f"l{i}": ModuleInfo(f"l{i}", kind, None, (32, shape[0])) for i, shape in enumerate(shapes)}
    return squeezed_by(weights(*shapes), modules)


def test_a_chain_of_dense_layers_is_squeezed_by_two_units_where_more_come_in():
    assert squeezed((2, 10), (1, 2)) == ("l0", 2, 10)
    assert squeezed((32, 10), (1, 32), (32, 1), (2, 32)) == ("l1", 1, 10)
    assert squeezed((3, 10), (1, 3)) is None
    assert squeezed((2, 4), (1, 2)) is None  # half as many as come in
    assert squeezed((2, 10), (10, 2)) is None  # an autoencoder
    assert squeezed((2, 10), (1, 10)) is None  # beside each other: a gate
    assert squeezed((2, 10), (1, 2), kind="Bilinear") is None
    assert squeezed((1, 10)) is None


def channels(last, outputs=1, read=None, places=(14, 14)):
    """Two convolutions, and a dense layer that reads the means of what the second gives."""
    shapes = ((8, 1, 3, 3), (last, 8, 3, 3), (outputs, read or last))
    given = ((32, 8, *places), (32, last, *places), (32, outputs))
    types = ("Conv2d", "Conv2d", "Linear")
    modules = {f"l{i}": ModuleInfo(f"l{i}", types[i], None, given[i]) for i in range(len(shapes))}
    return squeezed_by(weights(*shapes), modules)


def test_what_a_regression_reads_of_an_image_may_be_too_few_numbers():
    assert channels(2) == ("l1", 2, 196)
    assert channels(3) is None
    assert channels(2, read=98) is None  # flattened: many numbers of two channels
    assert channels(1, read=2) is None  # the answers of two nets, weighed
    assert channels(2, outputs=10) is None
    assert channels(2, places=(2, 2)) is None


def recurrent(units, moments):
    parameters = [
        ParameterInfo("rnn.weight_ih_l0", "rnn", (4 * units, 8), True),
        ParameterInfo("rnn.weight_hh_l0", "rnn", (4 * units, units), True),
        ParameterInfo("head.weight", "head", (1, units), True),
    ]
    given = {"rnn": ("LSTM", (32, moments, units)), "head": ("Linear", (32, 1))}
    return squeezed_by(parameters, {name: ModuleInfo(name, kind, None, shape) for name, (kind, shape) in given.items()})


def test_what_a_regression_reads_of_a_sequence_may_be_too_few_numbers():
    assert recurrent(2, 12) == ("rnn", 2, 12)
    assert recurrent(3, 12) is None
    assert recurrent(2, 4) is None


def of_images(run_dir, channels):
    """What six filters see in an image, summed with signs: a single one sees too little of it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, channels, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1)
    )
    opt = torch.optim.Adam(net.parameters(), lr=0.02)
    x = torch.randn(256, 1, 8, 8)
    seen = nn.functional.conv2d(x, torch.randn(6, 1, 3, 3)).relu().mean((2, 3))
    y = (seen * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])).sum(1, keepdim=True)
    y = (y - y.mean()) / y.std()
    with probes.watch(net, opt, loss_fn=nn.MSELoss(), run_dir=run_dir, every=50) as probe:
        for step in range(600):
            part = torch.randint(256, (64,))
            loss = nn.functional.mse_loss(net(x[part]), y[part])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 20 == 19:
                with torch.no_grad():
                    probe.log("val", loss=nn.functional.mse_loss(net(x), y))
    return probes.diagnose(run_dir, ["underfitting"]).findings


def test_a_convolution_of_one_channel_is_named_where_a_regression_rests_half_learned(tmp_path):
    found = of_images(tmp_path / "one", 1)
    assert [finding.severity for finding in found] == ["warning"]
    assert "1 unit for 36 inputs" in found[0].message
    assert of_images(tmp_path / "enough", 32) == []


def regression(run_dir, units):
    """Learn the length of an arrow in ten dimensions, by two units or by enough."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, units), nn.ReLU(), nn.Linear(units, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.02)
    x = torch.randn(512, 10)
    y = x.norm(dim=1, keepdim=True)
    y = (y - y.mean()) / y.std()
    with probes.watch(net, opt, run_dir=run_dir, every=50) as probe:
        for step in range(600):
            part = torch.randint(512, (64,))
            loss = nn.functional.mse_loss(net(x[part]), y[part])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 20 == 19:
                probe.log("val", loss=nn.functional.mse_loss(net(x), y).detach())
    return probes.diagnose(run_dir, ["underfitting"]).findings


def test_two_hidden_units_are_named_where_a_regression_rests_half_learned(tmp_path):
    found = regression(tmp_path / "two", 2)
    assert [finding.severity for finding in found] == ["warning"]
    assert "2 units for 10 inputs" in found[0].message
    assert regression(tmp_path / "enough", 64) == []


def dropout(run_dir, share, steps=300):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(share), nn.Linear(32, 4))
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(512, 8)
    y = x[:, :4].argmax(dim=1)
    with probes.watch(net, opt, run_dir=run_dir, every=50) as probe:
        for _ in range(steps):
            part = torch.randint(512, (32,))
            out = net(x[part])
            loss = nn.functional.cross_entropy(out, y[part])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=(out.argmax(1) == y[part]).float().mean())
    return [finding.severity for finding in probes.diagnose(run_dir, ["underfitting"]).findings]


def test_dropout_of_nearly_all_units_need_not_have_come_to_rest(tmp_path):
    assert dropout(tmp_path / "most", 0.95) == ["warning"]
    assert dropout(tmp_path / "some", 0.2) == []


def silent(last, status="finished", loss=None, differed=0.5):
    """A net whose one rectifier gives zeros alone in the last frame, and no gradient to the weights before it."""
    modules = [
        {"name": "one", "type": "Linear", "output_shape": [32, 8]},
        {"name": "two", "type": "Linear", "output_shape": [32, 8]},
        {"name": "act", "type": "ReLU", "activation": "relu", "output_shape": [32, 8]},
        {"name": "out", "type": "Linear", "output_shape": [32, 4]},
    ]
    parameters = [{"name": f"{m}.weight", "module": m, "shape": (8, 8)} for m in ("one", "two", "out")]
    rows = np.array([1, 100, 400])
    dead = np.r_[0.5, 0.6, last]
    alive = (dead < 0.999).astype(float)
    layers = {
        "zero_fraction": (["act"], rows, dead),
        "grad_norm": ([p["name"] for p in parameters], rows, np.stack([alive, alive, alive + 0.1], axis=1)),
        "batch_variation": (["out"], rows, differed * alive),
    }
    flat = 2.3 + 0.02 * RNG.standard_normal(400) if loss is None else loss
    manifest = {"model": {"parameters": parameters, "modules": modules}}
    return RunView.of_arrays({"train/loss": (STEPS, flat)}, layers, manifest=manifest, status=status)


def test_a_layer_seen_extinct_once_is_told_where_the_run_came_to_nothing():
    assert told(silent(1.0), "dead-units") == [("dead-units", "critical")]
    assert told(silent(0.9), "dead-units") == []
    assert told(silent(1.0, status="running"), "dead-units") == []
    assert told(silent(1.0, loss=2.3 * np.exp(-STEPS / 50)), "dead-units") == []
    assert told(silent(1.0, differed=1e-7), "dead-units") == []
