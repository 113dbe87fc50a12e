"""What the probes run is kept out of compiled graphs, and is called directly where nothing is compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from probes.instrument import compiled
from probes.instrument.compiled import outside_graphs


def _caller_of(function: Callable[[], object]) -> str:
    """File of the code that calls ``function``, as it finds on its stack."""
    found: list[str] = []

    @outside_graphs
    def look() -> None:
        found.append(sys._getframe(1).f_code.co_filename)
        function()

    look()
    return found[0]


def test_called_directly_where_nothing_is_compiled():
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)  # loads the compiler
    _caller_of(lambda: None)
    assert "torch._dynamo" in sys.modules
    assert _caller_of(lambda: None) == compiled.__file__


def test_where_torch_does_not_say_the_compiler_is_asked_to_stay_out(monkeypatch: pytest.MonkeyPatch):
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    monkeypatch.setattr(compiled, "_frames_are_watched", lambda: lambda: True)
    assert _caller_of(lambda: None) != compiled.__file__


@pytest.mark.parametrize("told", [True, False])
def test_never_part_of_a_compiled_graph(told: bool, monkeypatch: pytest.MonkeyPatch):
    """With a backend that counts: the graph breaks at the call, and what the function does is run as it stands."""
    if not told:
        monkeypatch.setattr(compiled, "_frames_are_watched", lambda: lambda: True)
    traced: list[str] = []
    compiling: list[bool] = []

    def backend(module: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        traced.extend(str(node.target) for node in module.graph.nodes)
        return module.forward

    @outside_graphs
    def observe(values: Tensor) -> None:
        compiling.append(torch.compiler.is_compiling())
        values.detach().cosh()

    @torch.compile(backend=backend)
    def step(values: Tensor) -> Tensor:
        doubled = values * 2
        observe(doubled)
        return doubled.sin()

    values = torch.randn(3)
    for _ in range(3):
        assert torch.equal(step(values), (values * 2).sin())
    assert compiling == [False] * 3
    assert any("sin" in name for name in traced)
    assert not any("cosh" in name for name in traced)
