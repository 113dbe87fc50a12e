"""Generator and discriminator: shapes, ranges, sizes counted by hand, and that the two can play."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.errors import RecipeError
from trainer.models import MODELS
from trainer.models.adversarial import halvings
from trainer.tasks import TASKS, Spec

DIGITS = Spec((1, 8, 8), 1, "generation")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (1, 28, 28), (2, 6, 10)])
def test_images_come_out_in_the_shape_and_range_of_the_task(shape):
    gan = MODELS["dcgan"].make(Spec(shape, 1, "generation"), width=4)
    images = gan(gan.noise(5))
    assert images.shape == (5, *shape) and images.abs().max() <= 1
    scores = gan.discriminator(images)
    assert scores.shape == (5, 1)
    scores.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in gan.parameters())
    assert gan.generator.fc.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("side", "steps"), [(7, 0), (14, 1), (8, 2), (4, 2), (2, 1), (16, 2), (28, 2), (32, 3), (64, 4)]
)
def test_halvings(side, steps):
    assert halvings(side, side) == steps


def test_parameters_counted_by_hand():
    gan = MODELS["dcgan"].make(DIGITS, latent=16, width=32)
    # fc 16 -> 64*2*2, norm 64, transposed 4x4 64 -> 32, norm 32, transposed 4x4 32 -> 1
    assert parameters(gan.generator) == (16 * 256 + 256) + 2 * 64 + (64 * 32 * 16 + 32) + 2 * 32 + (32 * 16 + 1)
    # 4x4 1 -> 32, 4x4 32 -> 64, norm 64, 64*2*2 -> 1
    assert parameters(gan.discriminator) == (16 * 32 + 32) + (32 * 64 * 16 + 64) + 2 * 64 + (256 + 1)


def test_the_weights_start_as_the_paper_says():
    torch.manual_seed(0)
    gan = MODELS["dcgan"].make(DIGITS)
    for layer in (gan.generator.fc, gan.generator.deconv1, gan.discriminator.conv2):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05) and not layer.bias.any()


def test_noise_follows_its_generator():
    gan = MODELS["dcgan"].make(DIGITS, latent=100)
    first, second = (gan.noise(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(second) and first.shape == (50, 100)
    assert first.std().item() == pytest.approx(1, abs=0.05)


def test_the_discriminator_learns_to_tell_and_the_generator_to_fool():
    """A short game on real digits: each side, trained alone for a while, wins against the other held still."""
    torch.manual_seed(0)
    gan = MODELS["dcgan"].make(DIGITS, width=8)
    real = TASKS["digits-generation"].make().train.inputs[:64]
    loss = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    of_discriminator = torch.optim.Adam(gan.discriminator.parameters(), 2e-3)
    for _ in range(40):
        of_discriminator.zero_grad()
        fake = gan(gan.noise(64)).detach()
        (loss(gan.discriminator(real), ones) + loss(gan.discriminator(fake), zeros)).backward()
        of_discriminator.step()
    gan.eval()
    assert (gan.discriminator(real) > 0).float().mean() > 0.9
    assert (gan.discriminator(gan(gan.noise(64))) > 0).float().mean() < 0.1
    gan.train()
    of_generator = torch.optim.Adam(gan.generator.parameters(), 5e-3)
    for _ in range(60):
        of_generator.zero_grad()
        loss(gan.discriminator(gan(gan.noise(64))), ones).backward()
        of_generator.step()
    assert (gan.discriminator(gan(gan.noise(64))) > 0).float().mean() > 0.9


def test_what_is_no_generation_is_refused():
    with pytest.raises(RecipeError, match=r"kind 'multi-class'.*digits-generation"):
        MODELS["dcgan"].make(Spec((1, 8, 8), 10, "multi-class"))
    with pytest.raises(RecipeError, match="7x7"):
        MODELS["dcgan"].make(Spec((1, 7, 7), 1, "generation"))
    with pytest.raises(RecipeError, match="needs images"):
        MODELS["dcgan"].make(Spec((2,), 1, "generation"))


def test_the_task_holds_the_digits_between_minus_one_and_one():
    task = TASKS["digits-generation"].make()
    plain = TASKS["digits"].make(preprocessing=())
    assert task.problem == "generation" and task.spec.outputs == 1
    torch.testing.assert_close(task.train.inputs, plain.train.inputs / 8 - 1)
    torch.testing.assert_close(task.validation.inputs, plain.validation.inputs / 8 - 1)
    assert (task.train.targets == 1).all() and task.train.targets.shape == (len(plain.train), 1)
