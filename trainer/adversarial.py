"""Training a generative adversarial network: two networks, two optimizers, one game (Goodfellow et al. 2014).

The discriminator learns to tell real images from generated ones, the generator to be taken for real. Neither loss
has to fall: when one player gets better, the other's task gets harder. How good the generator is says the Fréchet
distance between its images and real ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from trainer.parts import Parts
from trainer.precision import autocasting

SIDE = 8  # pixels; larger images are averaged down to this before they are compared
GENERATED = 2048  # images in a comparison
NOISE_SEED = 0


def take_step(parts: Parts, real: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """One step of the discriminator, then one of the generator. Returns what there is to log."""
    gan, precision = parts.model, parts.settings.precision
    ones, zeros = torch.ones_like(targets), torch.zeros_like(targets)

    # The discriminator: real images are 1, generated ones 0. No gradient reaches the generator.
    parts.discriminator_optimizer.zero_grad()
    with autocasting(precision, real.device):
        with torch.no_grad():
            generated = gan(gan.noise(len(real)))
        # Two batches, because each has batch statistics of its own (Radford et al. 2016).
        on_real, on_generated = gan.discriminator(real).float(), gan.discriminator(generated).float()
    discriminator_loss = parts.loss_fn(on_real, ones) + parts.loss_fn(on_generated, zeros)
    _update(parts, discriminator_loss, parts.discriminator_optimizer, gan.discriminator)

    # The generator: its images should be taken for real ("non-saturating" loss, section 3).
    parts.optimizer.zero_grad()
    with autocasting(precision, real.device):
        scores = gan.discriminator(gan(gan.noise(len(real)))).float()
    generator_loss = parts.loss_fn(scores, ones)
    _update(parts, generator_loss, parts.optimizer, gan.generator)
    parts.scaler.update()

    right = parts.problem.score(torch.cat([on_real, on_generated]), torch.cat([ones, zeros]))
    return {
        "generator_loss": generator_loss,
        "discriminator_loss": discriminator_loss,
        parts.problem.metric: right,  # 0.5: it cannot tell; 1: it always can
    }


def _update(parts: Parts, loss: Tensor, optimizer: Optimizer, player: nn.Module) -> None:
    """Backward pass and step of one player."""
    parts.scaler.scale(loss).backward()
    if parts.settings.clip_norm:
        parts.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(player.parameters(), parts.settings.clip_norm)
    parts.scaler.step(optimizer)


@torch.no_grad()
def validate(parts: Parts) -> tuple[float, float]:
    """(Fréchet distance of generated images to the validation images, Fréchet score)."""
    gan, real = parts.model, parts.task.validation.inputs
    was_training = gan.training
    gan.eval()
    noise = gan.noise(GENERATED, torch.Generator().manual_seed(NOISE_SEED))
    distance = frechet_distance(_points(gan(noise)), _points(real))
    gan.train(was_training)
    variance = _points(real).var(0, correction=0).sum().item()
    return distance, 1 - distance / variance if variance else math.nan


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance between two sets of points [N, D] and [M, D], each taken as Gaussian:
    ``|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2))`` with covariances A, B (Dowson and Landau 1982; Heusel et
    al. 2017 take it between features of images).

    Always giving the mean of b has a distance of the variance of b: a score of 0 in `validate`. A perfect generator
    scores 1, less what the sampling of b costs. Points that are no numbers have the distance NaN.
    """
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.nan
    a, b = a.double(), b.double()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    cov_a, cov_b = (torch.cov(points.T, correction=0) for points in (a, b))
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # A^(1/2) B A^(1/2) is symmetric and has the eigenvalues of A B.
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    return (shift + cov_a.trace() + cov_b.trace() - 2 * cross).item()


def _points(images: Tensor) -> Tensor:
    """Images [N, C, H, W] -> [N, C * h * w], at most ``SIDE`` pixels a side."""
    size = [min(side, SIDE) for side in images.shape[2:]]
    return functional.adaptive_avg_pool2d(images.float(), size).flatten(1)
