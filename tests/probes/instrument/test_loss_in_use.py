"""What `watch` without a loss_fn finds out about the loss, in real trainings."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import probes
from probes.instrument.outcomes import observe

CLASSES, ROWS = 5, 24
Loss = Callable[[Tensor, Tensor], Tensor]


def net(*tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, CLASSES), *tail)


def batches(steps: int, rows: int = ROWS) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    teacher = torch.randn(8, CLASSES, generator=generator)
    inputs = [torch.randn(rows, 8, generator=generator) for _ in range(steps)]
    return [(x, (x @ teacher).argmax(1)) for x in inputs]


def train(
    model: nn.Module,
    compute: Loss,
    run_dir: Path,
    steps: int = 12,
    cast: torch.dtype = torch.float32,
    **options: object,
) -> probes.Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    with probes.watch(model, optimizer, run_dir, every=1, **options) as probe:
        for x, y in batches(steps):
            loss = compute(model(x.to(cast)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss.item())
    return probes.open_run(run_dir)


def test_as_if_it_had_been_given(tmp_path: Path):
    """Everything that a given loss_fn tells of outputs, labels and predictions is found without it."""
    model = net()
    twin = copy.deepcopy(model)
    given = nn.CrossEntropyLoss()
    told, found = (
        train(twin, given, tmp_path / "told", loss_fn=given),
        train(model, F.cross_entropy, tmp_path / "found"),
    )
    assert told.manifest["recognised_loss"] is None
    assert found.manifest["loss"] is None
    assert found.manifest["recognised_loss"] == {
        "class": "CrossEntropyLoss", "reduction": "mean", "weighted": False, "label_smoothing": 0.0, "through": None,
    }  # fmt: skip
    facts = ("output_shape", "output_dtype", "classes", "label_counts", "foreign_labels")
    assert {k: found.manifest["data"][k] for k in facts} == {k: told.manifest["data"][k] for k in facts}
    for name in told.series_names:
        if name.startswith("data/"):
            np.testing.assert_array_equal(found.series(name).steps, told.series(name).steps)
            np.testing.assert_allclose(found.series(name).values, told.series(name).values, rtol=1e-5, atol=1e-6)
    seen, logged = found.series("data/recognised"), found.series("train/loss")
    np.testing.assert_array_equal(seen.steps, logged.steps)
    np.testing.assert_allclose(seen.values, logged.values, rtol=1e-4)


def tags(labels: Tensor) -> Tensor:
    """Several answers of yes and no: each class and the one after it."""
    return (F.one_hot(labels, CLASSES) + F.one_hot((labels + 1) % CLASSES, CLASSES) * (labels[:, None] < 2)).float()


@pytest.mark.parametrize("given", [True, False])
def test_the_share_of_yes_of_each_of_several_answers(given: bool, tmp_path: Path):
    loss = nn.BCEWithLogitsLoss()
    options = {"loss_fn": loss} if given else {}
    data = train(net(), lambda o, y: loss(o, tags(y)), tmp_path / "run", **options).manifest["data"]
    counted = torch.cat([tags(y) for _, y in batches(12)])
    assert data["target_examples"] == len(counted)
    np.testing.assert_allclose(data["target_means"], counted.mean(0), rtol=1e-6)


def test_of_many_answers_evenly_spaced_examples():
    outputs, targets = torch.zeros(100, 1_000), torch.arange(100.0)[:, None] / 100 + torch.arange(1_000.0)
    seen = observe(outputs, targets).numbers["answers"]
    rows = targets[::7]  # 16,384 // 1,000 = 16 at most
    assert seen[0] == len(rows) <= 16
    torch.testing.assert_close(seen[1:], rows.sum(0))
    assert "answers" not in observe(torch.zeros(4, 2_000), torch.zeros(4, 2_000)).numbers
    assert "answers" not in observe(torch.zeros(4, 1), torch.zeros(4, 1)).numbers


def positions(logits: Tensor, labels: Tensor) -> Tensor:
    """As of a language model: [batch, length, classes], flattened for the loss."""
    return F.cross_entropy(logits.reshape(-1, CLASSES), labels.repeat_interleave(3))


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x[:, None, :].repeat(1, 3, 1) * torch.tensor([1.0, 0.5, -1.0])[:, None])


class Several(nn.Module):
    """Returns its outputs with something else beside them, as a model with an auxiliary head does."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.other = net(), net()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"scale": x.new_ones(()), "logits": self.body(x), "other": self.other(x)}


def both(outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"], labels) + 0.4 * F.cross_entropy(outputs["other"], labels)


@pytest.mark.parametrize(
    ("model", "loss", "name", "through"),
    [
        (net, lambda o, y: F.cross_entropy(o.softmax(1), y), "CrossEntropyLoss", "softmax"),
        (lambda: net(nn.Softmax(1)), F.cross_entropy, "CrossEntropyLoss", None),
        (lambda: net(nn.LogSoftmax(1)), F.nll_loss, "NLLLoss", None),
        (net, F.nll_loss, "NLLLoss", None),
        (net, lambda o, y: F.binary_cross_entropy_with_logits(o, F.one_hot(y, CLASSES).float()), "BCEWithLogitsLoss",
         None),
        (Positions, positions, "CrossEntropyLoss", None),
        (Several, both, "CrossEntropyLoss", None),
    ],
)  # fmt: skip
def test_what_the_outputs_go_into(
    model: Callable[[], nn.Module], loss: Loss, name: str, through: str | None, tmp_path: Path
):
    seen = train(model(), loss, tmp_path / "run").manifest["recognised_loss"]
    assert (seen["class"], seen["through"], seen["reduction"]) == (name, through, "mean")


def test_positions_are_rows(tmp_path: Path):
    data = train(Positions(), positions, tmp_path / "run", steps=4).manifest["data"]
    assert data["output_shape"] == [3 * ROWS, CLASSES]
    labels = torch.cat([y for _, y in batches(4)])
    assert data["label_counts"] == (3 * torch.bincount(labels, minlength=CLASSES)).tolist()


def test_a_scaled_and_an_accumulated_loss(tmp_path: Path):
    """The size of the gradients then says nothing about the reduction."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for step, (x, y) in enumerate(batches(12)):
            loss = F.cross_entropy(model(x), y)
            (1024.0 * loss / 3).backward()
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
                probe.log("train", loss=loss)
    run = probes.open_run(tmp_path / "run")
    assert run.manifest["recognised_loss"]["class"] == "CrossEntropyLoss"
    assert run.manifest["recognised_loss"]["reduction"] is None
    np.testing.assert_allclose(run.series("data/recognised").values, run.series("train/loss").values, rtol=1e-4)


def wishes(labels: Tensor) -> Tensor:
    return 3.0 * F.one_hot(labels, CLASSES) + 0.1 * labels[:, None]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_squared_error_is_told_by_the_logged_loss(reduction: str, tmp_path: Path):
    def compute(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(outputs, wishes(labels), reduction=reduction)

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for x, y in batches(8):
            loss = compute(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            probe._engine.delivery.writer.flush()
    run = probes.open_run(tmp_path / "run")
    assert run.manifest["loss"] is None
    assert run.manifest["recognised_loss"]["class"] == "MSELoss"
    assert run.manifest["recognised_loss"]["reduction"] == reduction
    seen, logged = run.series("data/recognised"), run.series("train/loss")
    np.testing.assert_array_equal(seen.steps, logged.steps)
    terms = 1 if reduction == "mean" else ROWS * CLASSES
    np.testing.assert_allclose(terms * seen.values, logged.values, rtol=1e-3)
    truth = [wishes(y) for _, y in batches(8)]
    for name in ("mean", "std", "min", "max"):
        expected = [float(getattr(t, name)()) if name != "std" else float(t.std(correction=0)) for t in truth]
        np.testing.assert_allclose(run.series(f"data/target_{name}").values, expected, atol=2e-3)


@pytest.mark.parametrize(
    "compute",
    [
        lambda o, t: 0.5 * F.mse_loss(o, t),
        lambda o, t: F.mse_loss(o, t) + 0.1 * o.abs().mean(),
        lambda o, t: F.mse_loss(o, t).sqrt(),
        F.l1_loss,
        F.huber_loss,
    ],
)
def test_what_is_not_a_squared_error(compute: Loss, tmp_path: Path):
    """Nothing is said of it, and after a few frames the outputs are no longer looked at."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for x, y in batches(16):
            loss = compute(model(x), wishes(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            probe._engine.delivery.writer.flush()
        assert probe._engine.delivery.loss_in_use.given_up
        assert not probe._engine._collector.wants_outputs
    run = probes.open_run(tmp_path / "run")
    assert run.manifest["recognised_loss"] is None
    assert not [name for name in run.series_names if name.startswith("data/")]


def test_a_loss_that_changes_is_given_up(tmp_path: Path):
    """As where examples are mixed in half of the batches: what was said of the first is taken back."""
    calls = iter(range(100))

    def sometimes_mixed(outputs: Tensor, labels: Tensor) -> Tensor:
        if next(calls) < 2:
            return F.cross_entropy(outputs, labels)
        return 0.5 * F.cross_entropy(outputs, labels) + 0.5 * F.cross_entropy(outputs, labels.flip(0))

    run = train(net(), sometimes_mixed, tmp_path / "run")
    assert run.manifest["recognised_loss"] is None
    assert run.manifest["data"] == {}


def test_a_loss_of_ones_own_is_recognised_beside_its_name(tmp_path: Path):
    """Its arguments are seen where it is called through the probe; what it computes, by its gradient."""

    def objective(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels)

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1, loss_fn=objective) as probe:
        for x, y in batches(6):
            probe.loss_fn(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
    manifest = probes.open_run(tmp_path / "run").manifest
    assert manifest["loss"] == {"class": "objective"}
    assert manifest["recognised_loss"]["class"] == "CrossEntropyLoss"
    assert sum(manifest["data"]["label_counts"]) == 6 * ROWS  # once, not twice


def test_nothing_differs_and_nothing_stays(tmp_path: Path):
    """The observer law, where the loss is not given: weights and random numbers to the bit, no tensor kept."""
    results = []
    for watched in (False, True):
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, CLASSES))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        probe = probes.watch(model, optimizer, tmp_path / "run", every=1) if watched else None
        outputs: list[Tensor] = []
        for x, y in batches(8):
            outputs = [model(x)]
            F.cross_entropy(outputs[0], y).backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append([outputs[0].detach().clone(), torch.get_rng_state(), *model.state_dict().values()])
        if probe is not None:
            probe._engine.delivery.writer.flush()
            kept = torch.Size([ROWS, CLASSES])
            outputs.clear()
            gc.collect()
            alive = [o for o in gc.get_objects() if type(o) is Tensor and o.shape == kept]
            assert len(alive) <= 2  # the copies that `results` holds
            probe.close()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_many_rows_are_sampled_and_long_ones_left_alone(tmp_path: Path):
    torch.manual_seed(0)
    model = nn.Linear(8, 40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, tmp_path / "run", every=1) as probe:
        for _ in range(4):
            x = torch.randn(3000, 8)
            loss = F.cross_entropy(model(x), torch.randint(40, (3000,)))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.log("train", loss=loss)
    run = probes.open_run(tmp_path / "run")
    assert run.manifest["recognised_loss"]["reduction"] == "mean"
    assert run.manifest["data"]["output_shape"] == [3000, 40]
    assert 4 * 300 < sum(run.manifest["data"]["label_counts"]) <= 4 * 16_384 // 40
    np.testing.assert_allclose(run.series("data/recognised").values, run.series("train/loss").values, rtol=0.05)

    model = nn.Linear(2, 20_000)
    run = train_once(model, tmp_path / "long")
    assert run.manifest["recognised_loss"] is None


def train_once(model: nn.Module, run_dir: Path) -> probes.Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with probes.watch(model, optimizer, run_dir, every=1):
        F.cross_entropy(model(torch.randn(4, 2)), torch.arange(4)).backward()
        optimizer.step()
    return probes.open_run(run_dir)


def far_below(outputs: Tensor, labels: Tensor) -> Tensor:
    """As of the values of actions, when rewards are large: the gradient of each is at its bound."""
    return F.smooth_l1_loss(outputs.gather(1, labels[:, None])[:, 0], 50.0 + labels)


def unhinged(outputs: Tensor, labels: Tensor) -> Tensor:
    """The mean absolute error of probabilities (Ghosh et al. 2017), which noisy labels do not hurt."""
    return (1.0 - outputs.softmax(1).gather(1, labels[:, None])).mean()


def squared_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    return (1.0 - (2.0 * F.one_hot(labels, CLASSES) - 1.0) * outputs).clamp(min=0.0).square().mean()


@pytest.mark.parametrize("loss", [far_below, unhinged, squared_hinge])
def test_the_same_gradient_of_another_loss(loss: Loss, tmp_path: Path):
    """They send back what a likelihood of scores, one of probabilities, or a squared error does."""
    run = train(net(), loss, tmp_path / "run", steps=60)
    assert run.manifest["recognised_loss"] is None
    assert run.manifest["data"] == {}


def test_rewards_weigh_as_they_come(tmp_path: Path):
    """A policy gradient of whole episodes is a cross-entropy of the actions, times the return of each."""
    returns = iter([3.0, 17.0, 9.0, 31.0, 14.0, 54.0, 21.0, 8.0, 77.0, 40.0, 12.0, 90.0])
    run = train(net(), lambda o, y: next(returns) * F.cross_entropy(o, y), tmp_path / "run")
    assert run.manifest["recognised_loss"] is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_whatever_the_type(dtype: torch.dtype, tmp_path: Path):
    """The outputs of models of other precision are measured as well."""
    torch.manual_seed(0)
    model = net().to(dtype)
    run = train(model, lambda o, y: F.cross_entropy(o, y), tmp_path / "run", steps=4, cast=dtype)
    assert run.manifest["recognised_loss"]["class"] == "CrossEntropyLoss"
    assert not [event for event in run.events if event.kind == "probe-error"]


def test_a_container_that_holds_itself(tmp_path: Path):
    class Ring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net()

        def forward(self, x: Tensor) -> list[object]:
            ring: list[object] = []
            ring += [ring, self.body(x)]
            return ring

    run = train(Ring(), lambda o, y: F.cross_entropy(o[1], y), tmp_path / "run", steps=4)
    assert not [event for event in run.events if event.kind == "probe-error"]


def test_nested_tensors_are_left_alone(tmp_path: Path):
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net()

        def forward(self, x: Tensor) -> Tensor:
            rows = self.body(x)
            return torch.nested.as_nested_tensor([rows[:5], rows[5:]])

    model = Nested()
    run = train(model, lambda o, y: F.cross_entropy(torch.cat(o.unbind()), y), tmp_path / "run", steps=4)
    assert run.manifest["recognised_loss"] is None
    assert not [event for event in run.events if event.kind == "probe-error"]
    assert run.layer_series("grad_norm").steps.tolist() == [1, 2, 3, 4]
