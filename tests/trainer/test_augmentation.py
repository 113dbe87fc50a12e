"""Augmentations against what they say they do."""

from __future__ import annotations

import pytest
import torch

from probes.errors import UnknownNameError
from trainer.augmentation import MAX_SHIFT, augment
from trainer.errors import RecipeError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images():
    return torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(1)) + 1


def test_flip_mirrors_about_half(images):
    result = augment(images, ["flip"], generator())
    same = torch.tensor([a.equal(b) for a, b in zip(result, images, strict=True)])
    mirrored = torch.tensor([a.equal(b.flip(-1)) for a, b in zip(result, images, strict=True)])
    assert (same | mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_shift_moves_by_up_to_two_pixels_and_brings_in_zeros(images):
    result = augment(images, ["shift"], generator())
    moves = set()
    for moved, image in zip(result, images, strict=True):
        rows, columns = (moved[0] != 0).any(1), (moved[0] != 0).any(0)
        kept = moved[:, rows][:, :, columns]
        places = [
            (r, c)
            for r in range(8 - kept.shape[1] + 1)
            for c in range(8 - kept.shape[2] + 1)
            if image[:, r : r + kept.shape[1], c : c + kept.shape[2]].equal(kept)
        ]
        assert len(places) == 1
        moves.add((int(rows.nonzero()[0]) - places[0][0], int(columns.nonzero()[0]) - places[0][1]))
    assert moves == {(r, c) for r in range(-MAX_SHIFT, MAX_SHIFT + 1) for c in range(-MAX_SHIFT, MAX_SHIFT + 1)}


def test_noise_has_the_stated_size(images):
    difference = augment(images, ["noise"], generator()) - images
    assert difference.std() == pytest.approx(0.1, rel=0.02)
    assert difference.mean() == pytest.approx(0, abs=0.002)


def test_what_does_not_fit_is_refused():
    with pytest.raises(RecipeError, match="for images"):
        augment(torch.zeros(3, 4), ["flip"], generator())
    with pytest.raises(UnknownNameError, match="did you mean 'flip'"):
        augment(torch.zeros(3, 1, 4, 4), ["flop"], generator())
