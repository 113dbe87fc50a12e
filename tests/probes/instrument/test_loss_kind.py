"""Losses are recognised by their gradients: against the losses that made them, those of others included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from probes.instrument.recognition.loss_kind import Answer, LossKind, recognise

ROWS, CLASSES = 32, 7
Loss = Callable[[Tensor], Tensor]


def draw(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(ROWS) * 5 % CLASSES
SOME = torch.where(torch.arange(ROWS) % 4 == 0, -100, LABELS)
YES = (draw(ROWS, 3) > 0).float()
ADVANTAGE = draw(ROWS, seed=4)
SOFT = draw(ROWS, CLASSES, seed=5).softmax(1)
WEIGHT = torch.linspace(0.3, 2.0, CLASSES)
CE, NLL, BCE = F.cross_entropy, F.nll_loss, F.binary_cross_entropy_with_logits

KNOWN: dict[str, tuple[int, Loss, LossKind]] = {
    "mean": (CLASSES, lambda o: CE(o, LABELS), LossKind("CrossEntropyLoss")),
    "sum": (CLASSES, lambda o: CE(o, LABELS, reduction="sum"), LossKind("CrossEntropyLoss")),
    "scaled": (CLASSES, lambda o: 65536 * CE(o, LABELS), LossKind("CrossEntropyLoss")),
    "by hand": (CLASSES, lambda o: -o.log_softmax(1)[range(ROWS), LABELS].mean(), LossKind("CrossEntropyLoss")),
    "of two": (2, lambda o: CE(o, LABELS % 2), LossKind("CrossEntropyLoss")),
    "divergence from one-hot": (
        CLASSES,
        lambda o: F.kl_div(o.log_softmax(1), F.one_hot(LABELS).float(), reduction="batchmean"),
        LossKind("CrossEntropyLoss"),
    ),
    "some left out": (CLASSES, lambda o: CE(o, SOME), LossKind("CrossEntropyLoss")),
    "weights": (CLASSES, lambda o: CE(o, LABELS, weight=WEIGHT), LossKind("CrossEntropyLoss", weighted=True)),
    "softmax twice": (CLASSES, lambda o: CE(o.softmax(1), LABELS), LossKind("CrossEntropyLoss", "softmax")),
    "sigmoid before": (CLASSES, lambda o: CE(o.sigmoid(), LABELS), LossKind("CrossEntropyLoss", "sigmoid")),
    "likelihood of scores": (CLASSES, lambda o: NLL(o, LABELS), LossKind("NLLLoss")),
    "likelihood of probabilities": (CLASSES, lambda o: NLL(o.softmax(1), LABELS), LossKind("NLLLoss", "softmax")),
    "binary": (1, lambda o: BCE(o, YES[:, :1]), LossKind("BCEWithLogitsLoss")),
    "binary of several": (3, lambda o: BCE(o, YES), LossKind("BCEWithLogitsLoss")),
    "binary of sigmoid": (3, lambda o: F.binary_cross_entropy(o.sigmoid(), YES), LossKind("BCEWithLogitsLoss")),
    "sigmoid twice": (3, lambda o: BCE(o.sigmoid(), YES), LossKind("BCEWithLogitsLoss", "sigmoid")),
    "weight of yes": (
        1,
        lambda o: BCE(o, YES[:, :1], pos_weight=torch.tensor(4.0)),
        LossKind("BCEWithLogitsLoss", weighted=True),
    ),
}

FOREIGN: dict[str, tuple[int, Loss]] = {
    "mixed examples": (CLASSES, lambda o: 0.3 * CE(o, LABELS) + 0.7 * CE(o, LABELS.flip(0))),
    "policy gradient": (CLASSES, lambda o: -(ADVANTAGE * o.log_softmax(1)[range(ROWS), LABELS]).mean()),
    "policy of two": (2, lambda o: -(ADVANTAGE * o.log_softmax(1)[range(ROWS), LABELS % 2]).mean()),
    "weights of examples": (CLASSES, lambda o: (CE(o, LABELS, reduction="none") * (0.1 + ADVANTAGE.abs())).mean()),
    "focal": (
        CLASSES,
        lambda o: ((1 - torch.exp(-CE(o, LABELS, reduction="none"))) ** 2 * CE(o, LABELS, reduction="none")).mean(),
    ),
    "distillation": (CLASSES, lambda o: F.kl_div(o.log_softmax(1), SOFT, reduction="batchmean")),
    "temperature": (CLASSES, lambda o: CE(o / 2, LABELS)),
    "bonus for entropy": (
        CLASSES,
        lambda o: CE(o, LABELS) + 0.1 * (o.softmax(1) * o.log_softmax(1)).sum(1).mean(),
    ),
    "squared": (CLASSES, lambda o: F.mse_loss(o, SOFT)),
    "squared, of one": (1, lambda o: F.mse_loss(o, ADVANTAGE[:, None])),
    "absolute": (1, lambda o: F.l1_loss(o, ADVANTAGE[:, None])),
    "absolute, of several": (CLASSES, lambda o: F.l1_loss(o, 3 * SOFT)),
    "Huber": (1, lambda o: F.huber_loss(o, ADVANTAGE[:, None])),
    "squared probabilities": (CLASSES, lambda o: F.mse_loss(o.softmax(1), F.one_hot(LABELS).float())),
    "margin": (CLASSES, lambda o: F.multi_margin_loss(o, LABELS)),
    "hinge": (1, lambda o: F.relu(1 - o * (2 * YES[:, :1] - 1)).mean()),
    "critic": (1, lambda o: o.mean()),
    "best action": (CLASSES, lambda o: -o.amax(1).mean()),
    "soft targets": (3, lambda o: BCE(o, draw(ROWS, 3, seed=6).sigmoid())),
    "overlap": (3, lambda o: 1 - 2 * (o.sigmoid() * YES).sum() / (o.sigmoid() + YES).sum()),
    "counts": (1, lambda o: F.poisson_nll_loss(o, ADVANTAGE[:, None].abs().round())),
}


def answer(classes: int, loss: Loss, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> tuple[Answer, float]:
    outputs = (scale * draw(ROWS, classes, seed=9)).to(dtype).requires_grad_()
    value = loss(outputs)
    (gradient,) = torch.autograd.grad(value, outputs)
    arrays = (t.detach().to(torch.float64).numpy() for t in (outputs, gradient))
    return recognise(*arrays, dtype=str(dtype).removeprefix("torch.")), float(value.detach())


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("name", KNOWN)
def test_known_losses_are_named(name: str, scale: float):
    classes, loss, kind = KNOWN[name]
    said, value = answer(classes, loss, scale)
    assert said.found is not None
    assert said.found.kind == kind
    if name not in ("sum", "scaled"):
        assert said.found.total == pytest.approx(1.0, rel=1e-3)
        assert said.found.loss == pytest.approx(value, rel=1e-3)
    truth = YES[:, :classes].numpy() if kind.name.startswith("BCE") else (LABELS % classes).numpy()
    if name == "some left out":
        truth = np.maximum(SOME.numpy(), -1)
    assert said.found.targets.tolist() == truth.tolist()


@pytest.mark.parametrize("scale", [0.0, 0.001, 0.1, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("name", FOREIGN)
def test_other_losses_are_not(name: str, scale: float):
    assert answer(*FOREIGN[name], scale)[0].found is None


def test_very_sure_and_wrong():
    """Scores in the hundreds: nearly every probability is 0 or 1."""
    said, value = answer(*KNOWN["mean"][:2], scale=500.0)
    assert said.found is not None
    assert said.found.kind == LossKind("CrossEntropyLoss")
    assert said.found.loss == pytest.approx(value, rel=1e-3)


def test_nearly_right_says_nothing():
    outputs = (30.0 * F.one_hot(LABELS)).requires_grad_()
    (gradient,) = torch.autograd.grad(CE(outputs, LABELS), outputs)
    assert recognise(outputs.detach().double().numpy(), gradient.double().numpy()) == Answer()


@pytest.mark.parametrize("name", KNOWN)
def test_equal_scores_say_nothing(name: str):
    """All zero, as a last layer that begins with zeros gives them: other losses send back the same."""
    said, _ = answer(*KNOWN[name][:2], scale=0.0)
    assert said == Answer()


def test_a_sum_weighs_its_rows():
    said, value = answer(*KNOWN["sum"][:2])
    assert said.found is not None
    assert said.found.total == pytest.approx(ROWS, rel=1e-4)
    assert said.found.loss * ROWS == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_smoothed_labels(scale: float):
    said, value = answer(CLASSES, lambda o: CE(o, LABELS, label_smoothing=0.1), scale)
    assert said.found is not None
    assert said.found.kind.label_smoothing == pytest.approx(0.1, rel=1e-3)
    assert said.found.loss == pytest.approx(value, rel=1e-3)
    assert said.found.targets.tolist() == LABELS.tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype):
    """The loss is computed in float32, as autocast does; its gradient is rounded on the way back."""
    said, _ = answer(CLASSES, lambda o: CE(o.float(), LABELS), dtype=dtype)
    assert said.found is not None
    assert said.found.kind == LossKind("CrossEntropyLoss")


def test_probabilities():
    """A model that ends in a sigmoid or a softmax."""
    outputs = draw(ROWS, 3, seed=9).sigmoid().requires_grad_()
    (gradient,) = torch.autograd.grad(F.binary_cross_entropy(outputs, YES), outputs)
    said = recognise(outputs.detach().double().numpy(), gradient.double().numpy())
    assert said.found is not None
    assert said.found.kind == LossKind("BCELoss")
    assert said.found.targets.tolist() == YES.tolist()

    outputs = draw(ROWS, CLASSES, seed=9).softmax(1).requires_grad_()
    (gradient,) = torch.autograd.grad(NLL(outputs.log(), LABELS), outputs)
    said = recognise(outputs.detach().double().numpy(), gradient.double().numpy())
    assert said.found is not None
    assert said.found.kind == LossKind("NLLLoss", "log")
    assert said.found.targets.tolist() == LABELS.tolist()


def test_few_numbers_prove_nothing():
    outputs = draw(3, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(CE(outputs, torch.tensor([0, 1, 1])), outputs)
    assert recognise(outputs.detach().double().numpy(), gradient.double().numpy()) == Answer()


def test_what_cannot_be_compared():
    good = np.ones((4, 3))
    for outputs, gradients in (
        (good * np.nan, good),
        (good, good * np.inf),
        (good, good * 0.0),
        (good, np.ones((4, 2))),
    ):
        assert recognise(outputs, gradients) == Answer()


def test_what_is_known_is_read_off_batches_that_prove_nothing():
    outputs = draw(2, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(CE(outputs, torch.tensor([0, 1])), outputs)
    arrays = outputs.detach().double().numpy(), gradient.double().numpy()
    said = recognise(*arrays, known=LossKind("CrossEntropyLoss"))
    assert said.found is not None
    assert said.found.targets.tolist() == [0, 1]
