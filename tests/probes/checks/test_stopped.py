"""Values that are detached on purpose make no wrong gradient; a layer cut off, or a wrong backward beside, still do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Only = Callable[..., Any]
Data = tuple[Tensor, Tensor]
SLUG = "gradient-check"


class Quantised(nn.Module):
    """A vector-quantised autoencoder; `wrong` doubles a gradient on the way."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.encode, self.codes, self.decode = nn.Linear(8, 4), nn.Embedding(16, 4), nn.Linear(4, 8)
        self.wrong = wrong

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encode(x)
        if self.wrong:
            z = Doubled.apply(z)
        code = self.codes(torch.cdist(z.detach(), self.codes.weight.detach()).argmin(1))
        return self.decode(z + (code - z).detach()), z, code


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2 * gradients[0]


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def quantised_loss(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    out, z, code = outputs
    return F.mse_loss(out, x) + F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())


@pytest.mark.parametrize("wrong", [False, True])
def test_a_vector_quantised_autoencoder(wrong: bool, only: Only, classification: Data) -> None:
    x, _ = classification
    result = only(SLUG, Quantised(wrong), quantised_loss, (x, x))
    assert result.status == ("fail" if wrong else "pass"), result.message
    if not wrong:
        assert result.evidence["with_detached_values_held"] > 0 and "held constant" in result.message


def test_both_sides_of_one_network(only: Only, classification: Data) -> None:
    """SimSiam: the same encoder gives the prediction and the target that is detached."""

    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.predictor = nn.Sequential(nn.Linear(8, 16), nn.Tanh()), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            one, two = self.encoder(x), self.encoder(x + 0.1)
            return 1 - F.cosine_similarity(self.predictor(one), two.detach())

    result = only(SLUG, Siamese(), lambda outputs, _: outputs.mean(), classification)
    assert result.status == "pass", result.message


@pytest.mark.parametrize("whole", [False, True])
def test_an_advantage_and_a_layer_that_is_cut_off(whole: bool, only: Only, classification: Data) -> None:
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.actor, self.value = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(self.body(x))
            return self.actor(h.detach() if whole else h), self.value(h.detach() if whole else h).squeeze(1)

    def loss(outputs: tuple[Tensor, Tensor], actions: Tensor) -> Tensor:
        scores, value = outputs
        advantage = 1.0 - value
        chosen = scores.log_softmax(1).gather(1, actions[:, None]).squeeze(1)
        return -(advantage.detach() * chosen).mean() + advantage.square().mean()

    result = only(SLUG, Critic(), loss, classification)
    assert result.status == ("fail" if whole else "pass"), result.message
    if whole:
        assert "gives zero although the loss depends on it" in result.message


def test_steps_with_a_gradient_of_their_own_are_a_warning(only: Only, classification: Data) -> None:
    class Binary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(Rounded.apply(self.first(x)))

    result = only(SLUG, Binary(), nn.CrossEntropyLoss(), classification)
    assert result.status == "warn" and "straight-through" in result.suggestions[0], result.message
