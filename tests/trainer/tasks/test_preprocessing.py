"""Preprocessing against NumPy, and its fit against the training inputs alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probes.errors import UnknownNameError
from trainer.tasks import TASKS
from trainer.tasks.preprocessing import STEPS, fit_steps


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 20.0, 300.0])[:, None, None]
    return torch.rand(50, 3, 6, 6, generator=generator) * scale + scale


def oracle(name: str, x: np.ndarray) -> np.ndarray:
    if name == "subtract-mean":
        return x - np.stack([x[:, c].mean(0) for c in range(x.shape[1])])
    if name == "subtract-channel-mean":
        return np.stack([x[:, c] - x[:, c].mean() for c in range(x.shape[1])], 1)
    if name == "standardize":
        return np.stack([(x[:, c] - x[:, c].mean()) / x[:, c].std() for c in range(x.shape[1])], 1)
    if name == "scale-to-symmetric":
        return np.interp(x, (x.min(), x.max()), (-1, 1))
    return x / np.abs(x).max()


@pytest.mark.parametrize("name", STEPS)
def test_step_agrees_with_numpy(name, images):
    (step,) = fit_steps([name], images)
    np.testing.assert_allclose(step(images).numpy(), oracle(name, images.double().numpy()), atol=2e-4, rtol=1e-4)


def test_steps_are_fitted_one_after_the_other(images):
    result = images
    for step in fit_steps(["subtract-mean", "scale-to-unit"], images):
        result = step(result)
    expected = oracle("scale-to-unit", oracle("subtract-mean", images.double().numpy()))
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)


def test_a_constant_channel_stays_finite(images):
    images[:, 1] = 7.0
    (step,) = fit_steps(["standardize"], images)
    assert torch.isfinite(step(images)).all()


def test_only_training_inputs_are_used():
    raw, task = TASKS["digits"].make(preprocessing=()), TASKS["digits"].make(preprocessing=("standardize",))
    mean, std = raw.train.inputs.double().mean(), raw.train.inputs.double().std(correction=0)
    expected = (raw.validation.inputs.double() - mean) / std
    torch.testing.assert_close(task.validation.inputs.double(), expected, atol=1e-5, rtol=1e-5)


def test_unknown_step_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'standardize'"):
        fit_steps(["standardise"], torch.zeros(2, 1, 2, 2))
