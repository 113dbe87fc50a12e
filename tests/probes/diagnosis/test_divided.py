"""Adam in float16 divides by zero at the first step: no learning rate is to blame, and none would help."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes


def diagnosed(run_dir, dtype, **options):
    """A classifier of digits-like noise, all of it in ``dtype``; its loss is computed in float32."""
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), **options)
    with probes.watch(model, optimizer, run_dir, every=1) as probe:
        for step in range(60):
            batch = slice(32 * (step % 8), 32 * (step % 8) + 32)
            # A mean over as many outputs as a language model has: the gradients are small.
            loss = nn.functional.cross_entropy(model(x[batch].to(dtype)).float(), y[batch]) / 50
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return [f for f in probes.diagnose(run_dir).findings if f.severity == "critical"]


def test_eps_that_is_zero_in_float16_is_named_and_not_the_learning_rate(tmp_path):
    first, *others = diagnosed(tmp_path / "run", torch.float16, lr=1e-3)
    assert (first.rule, first.first_step, others) == ("nonfinite-values", 1, [])
    assert "eps (1.0e-08)" in first.message
    assert "float32" in first.suggestions[0]


@pytest.mark.parametrize(("dtype", "eps"), [(torch.float32, 1e-8), (torch.float16, 1e-3)])
def test_the_same_in_float32_and_with_an_eps_that_float16_holds(tmp_path, dtype, eps):
    assert diagnosed(tmp_path / "run", dtype, lr=1e-3, eps=eps) == []


def test_a_rate_beyond_all_bounds_in_float32_is_still_the_rate(tmp_path):
    found = diagnosed(tmp_path / "run", torch.float32, lr=1e30)
    assert found[0].rule == "learning-rate-too-high"
