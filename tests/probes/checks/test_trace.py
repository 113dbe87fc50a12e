"""Which module calls count as layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import probes


class TinyVisionTransformer(nn.Module):
    """A class token and positions that belong to the model itself, as in most published code."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, 16))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 5, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1) + self.positions
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(self.norm(x)[:, 0])


def test_parameters_of_the_model_itself_are_no_layer_behind_the_head() -> None:
    torch.manual_seed(0)
    batch = torch.randn(24, 4, 6), torch.arange(24) % 3
    report = probes.check(
        TinyVisionTransformer(), nn.CrossEntropyLoss(), batch, checks=["loss-output-pairing", "initialization"]
    )
    assert [(r.check, r.status) for r in report.results] == [
        ("loss-output-pairing", "pass"),
        ("initialization", "pass"),
    ], [r.message for r in report.results]
    pairing, initialization = report.results
    assert pairing.evidence["last_module"] == "Linear"
    assert [layer["name"] for layer in initialization.evidence["layers"]] == ["embed", "attention", "head"]


def test_a_model_that_is_one_layer_is_that_layer() -> None:
    batch = torch.randn(24, 6), torch.arange(24) % 3
    (result,) = probes.check(nn.Linear(6, 3), nn.CrossEntropyLoss(), batch, checks=["loss-output-pairing"]).results
    assert (result.status, result.evidence["last_module"]) == ("pass", "Linear")
