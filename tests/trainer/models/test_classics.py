"""AlexNet and Inception: sizes counted by hand, and each against its layers applied one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.errors import RecipeError
from trainer.models import MODELS
from trainer.models.inception import InceptionBlock, shares
from trainer.tasks import Spec

DIGITS = Spec((1, 8, 8), 10, "multi-class")
COLOUR = Spec((3, 32, 32), 10, "multi-class")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv(into: int, out: int, kernel: int) -> int:
    return into * out * kernel * kernel + out


@pytest.mark.parametrize("name", ["alexnet", "inception"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (1, 28, 20), (2, 9, 13)])
def test_any_small_image_goes_through_and_every_weight_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    model = MODELS[name].make(Spec(shape, 5, "multi-class"), head_init="default")
    scores = model(torch.randn(16, *shape))
    assert scores.shape == (16, 5)
    functional.cross_entropy(scores, torch.arange(16) % 5).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters() if p.ndim > 1)


@pytest.mark.parametrize(("spec", "side"), [(DIGITS, 1), (COLOUR, 4)])
def test_alexnet_counted_by_hand(spec, side):
    depth = spec.shape[0]
    expected = conv(depth, 32, 5) + conv(32, 64, 5) + conv(64, 96, 3) + conv(96, 96, 3) + conv(96, 64, 3)
    expected += (64 * side * side * 128 + 128) + (128 * 128 + 128) + (128 * 10 + 10)
    assert parameters(MODELS["alexnet"].make(spec)) == expected


def test_inception_counted_by_hand():
    def with_norm(into, out, kernel):
        return conv(into, out, kernel) + 2 * out

    def block(into, one, before3, three, before5, five, pooled):
        paths = with_norm(into, one, 1), with_norm(into, before3, 1), with_norm(before3, three, 3)
        return sum(paths) + with_norm(into, before5, 1) + with_norm(before5, five, 5) + with_norm(into, pooled, 1)

    expected = with_norm(1, 24, 3) + block(24, 12, 18, 24, 3, 6, 6) + block(48, 24, 36, 48, 6, 12, 12) + (96 * 10 + 10)
    assert parameters(MODELS["inception"].make(DIGITS)) == expected


def test_the_shares_are_those_of_googlenet():
    assert shares(256) == (64, 96, 128, 16, 32, 32)  # block 3a, table 1 of the paper
    assert all(share >= 1 for width in (1, 2, 17) for share in shares(width))


def test_alexnet_by_hand():
    torch.manual_seed(0)
    model = MODELS["alexnet"].make(COLOUR, channels=(3, 4, 5, 4, 3), hidden=(6, 7)).eval()
    inputs = torch.randn(4, 3, 32, 32)

    def response(x):  # section 3.3: x_i / (2 + 1e-4/5 * sum over five neighbouring channels of x^2) ^ 0.75
        sums = [x[:, max(0, i - 2) : i + 3].square().sum(1) for i in range(x.shape[1])]
        return x / (2 + 1e-4 / 5 * torch.stack(sums, 1)) ** 0.75

    def pool(x):
        return functional.max_pool2d(functional.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 2)

    def convolved(x, layer):
        return torch.relu(functional.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2))

    x = pool(response(convolved(inputs, model.conv1)))
    x = pool(response(convolved(x, model.conv2)))
    x = pool(convolved(convolved(convolved(x, model.conv3), model.conv4), model.conv5))
    x = torch.relu(model.fc2(torch.relu(model.fc1(x.flatten(1)))))
    torch.testing.assert_close(model(inputs), model.head(x))


def test_a_block_is_its_four_ways_side_by_side():
    torch.manual_seed(0)
    block = InceptionBlock(5, 32, "relu", "none")
    x = torch.randn(2, 5, 8, 8)
    ways = [
        block.one.conv(x).relu(),
        block.three[1].conv(block.three[0].conv(x).relu()).relu(),
        block.five[1].conv(block.five[0].conv(x).relu()).relu(),
        block.pooled[1].conv(functional.max_pool2d(x, 3, 1, 1)).relu(),
    ]
    assert [way.shape[1] for way in ways] == [8, 16, 4, 4] and block.channels == 32
    torch.testing.assert_close(block(x), torch.cat(ways, 1))


def test_dropout_and_norms_are_where_they_are_asked_for():
    kinds = [type(m) for m in MODELS["alexnet"].make(DIGITS, norm="batch", local_response=False).modules()]
    assert kinds.count(nn.BatchNorm2d) == 5 and nn.LocalResponseNorm not in kinds and kinds.count(nn.Dropout) == 2
    kinds = [type(m) for m in MODELS["inception"].make(DIGITS, norm="none", blocks=2, dropout=0.3).modules()]
    assert nn.BatchNorm2d not in kinds and kinds.count(InceptionBlock) == 4 and kinds.count(nn.Dropout) == 1


def test_images_too_small_are_refused():
    with pytest.raises(RecipeError, match="at least 8 pixels a side, these have 4x9"):
        MODELS["alexnet"].make(Spec((1, 4, 9), 2, "multi-class"))
