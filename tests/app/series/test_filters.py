"""First-layer weights as pictures."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from app.figures.png import png
from app.series import filters as series


def test_colour_filters_become_red_green_and_blue() -> None:
    weights = np.zeros((2, 3, 5, 5), np.float32)
    weights[0, 0], weights[1, 2, 4, 4] = 1.0, -2.0
    images, note, as_matrix = series.to_images(weights, None)
    assert images.shape == (2, 5, 5, 3) and "colour" in note and not as_matrix
    pixels = series.to_bytes(images, "each")
    assert pixels[0, 0, 0].tolist() == [255, 128, 128]
    assert pixels[1, 4, 4].tolist() == [128, 128, 0] and pixels[1, 0, 0].tolist() == [128, 128, 128]


def test_each_filter_by_itself_or_all_by_the_strongest() -> None:
    weights = np.zeros((2, 1, 3, 3), np.float32)
    weights[0, 0, 0, 0], weights[1, 0, 0, 0] = 1.0, 0.1
    images, _, _ = series.to_images(weights, None)
    assert series.to_bytes(images, "each")[:, 0, 0, 0].tolist() == [255, 255]
    assert series.to_bytes(images, "joint")[:, 0, 0, 0].tolist() == [255, 140]


def test_what_is_not_finite_has_a_colour_that_no_grey_filter_has() -> None:
    weights = np.ones((1, 1, 2, 2), np.float32)
    weights[0, 0, 0, 0] = np.nan
    images, _, _ = series.to_images(weights, None)
    pixels = series.to_bytes(images, "each")
    assert tuple(pixels[0, 0, 0]) == series.NONFINITE_COLOUR
    assert pixels[0, 1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("inputs", "shape", "expected", "guessed"),
    [
        (64, (8, 8), (8, 8, 1), False),
        (64, (1, 8, 8), (8, 8, 1), False),
        (32, (4, 8), (4, 8, 1), False),
        (784, None, (28, 28, 1), True),
        (768, (3, 16, 16), (16, 16, 3), False),
        (768, None, (16, 16, 3), True),
    ],
)
def test_a_dense_layer_is_laid_out_as_its_input(
    inputs: int, shape: tuple[int, ...] | None, expected: tuple[int, ...], guessed: bool
) -> None:
    weights = np.arange(2 * inputs, dtype=np.float32).reshape(2, inputs)
    images, note, as_matrix = series.to_images(weights, shape)
    assert images.shape == (2, *expected) and not as_matrix
    assert ("guess" in note) == guessed
    height, width, channels = expected
    assert images[1, 1, 2, -1] == weights[1].reshape(channels, height, width)[-1, 1, 2]


def test_thirteen_inputs_are_no_image_but_a_matrix() -> None:
    images, note, as_matrix = series.to_images(np.ones((7, 13), np.float32), None)
    assert as_matrix and images.shape == (1, 7, 13, 1) and "matrix" in note


def test_tiles_lie_row_by_row_one_pixel_apart() -> None:
    pixels = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (10, 20, 30)])
    picture = series.tile(pixels, 2, (255, 255, 255))
    assert picture.shape == (7, 7, 3)
    assert picture[1, 1, 0] == 10 and picture[1, 4, 0] == 20 and picture[4, 1, 0] == 30
    assert picture[0, 0, 0] == picture[3, 3, 0] == picture[4, 4, 0] == 255


def test_the_png_holds_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    data = png(pixels)
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    rows = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(4, 16)
    np.testing.assert_array_equal(rows[:, 1:].reshape(4, 5, 3), pixels)
    import io

    from PIL import Image  # Streamlit brings it; a second reader of the same file

    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)


def test_snapshots_of_a_run(make_run) -> None:
    first = np.random.default_rng(0).normal(size=(6, 3, 5, 5)).astype(np.float32)
    run = make_run().filters({0: first, 10: first * 2, 100: first * 3}).open()
    found = series.snapshot(run)
    assert found is not None and found.step == 100 and found.steps.tolist() == [0, 10, 100]
    early = series.snapshot(run, 12)
    assert early is not None and early.step == 10
    start = series.snapshot(run, 0)
    np.testing.assert_allclose(series.change(found.images, start.images), 2.0, rtol=1e-6)
    assert series.moments(found.steps, 2) == [0, 100]


def test_a_run_without_filters_has_no_snapshot(make_run) -> None:
    assert series.snapshot(make_run().scalars("train/loss", [1.0]).open()) is None
