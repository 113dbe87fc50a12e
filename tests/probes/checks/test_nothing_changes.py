"""Model, optimizer, random state and everything else are the same to the bit after a check."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from probes.checks import check
from probes.checks.engine import Progress
from probes.checks.state import same_bits

Data = tuple[torch.Tensor, torch.Tensor]
Photograph = Callable[..., dict[str, Any]]


SEVERAL = ["initialization", "parameters-change", "determinism", "gradient-check"]


class Everything(nn.Module):
    """Buffers, dropout, an LSTM, a frozen layer, a hook, a counter, mixed modes, gradients None and not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True, dropout=0.3)
        self.frozen = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.frozen.requires_grad_(False)
        self.calls: list[int] = []
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.calls.append(self.count)
        h = self.drop(torch.relu(self.norm(self.first(x))))
        h, _ = self.lstm(h.reshape(-1, 4, 4))
        return self.head(self.frozen(h[:, -1]))


class Uncopyable(Everything):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()  # deepcopy refuses


def prepared(kind: type[Everything], data: Data) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = kind()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
    x, y = data
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    model.head.weight.grad = None
    model.first.bias.grad.zero_()
    model.norm.eval()
    with torch.no_grad():
        model.first.bias[0] = -0.0
    model.drop.register_forward_hook(lambda *_: None)
    return model, optimizer


@pytest.mark.parametrize("kind", [Everything, Uncopyable])
def test_everything_is_as_before(kind: type[Everything], classification: Data, photograph: Photograph) -> None:
    model, optimizer = prepared(kind, classification)
    calls, count = list(model.calls), model.count
    before = photograph(model, optimizer)
    report = check(model, nn.CrossEntropyLoss(), classification, optimizer=optimizer, budget=30)
    assert photograph(model, optimizer) == before
    assert (model.calls, model.count) == (calls, count)
    assert {r.status for r in report.results} & {"pass", "warn", "fail"}, "the checks really ran"


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", [Everything, Uncopyable])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_as_before_when_interrupted_between_checks(
    kind: type[Everything], error: type[BaseException], classification: Data, photograph: Photograph
) -> None:
    model, optimizer = prepared(kind, classification)
    before = photograph(model, optimizer)

    def interrupt(event: Progress) -> None:
        if event.result is not None:
            raise error

    with pytest.raises(error):
        check(model, nn.CrossEntropyLoss(), classification, optimizer=optimizer, progress=interrupt)
    assert photograph(model, optimizer) == before


@pytest.mark.parametrize("kind", [Everything, Uncopyable])
@pytest.mark.parametrize("call", [1, 2, 7, 40])
def test_as_before_when_interrupted_inside_a_check(
    kind: type[Everything], call: int, classification: Data, photograph: Photograph
) -> None:
    model, optimizer = prepared(kind, classification)
    before = photograph(model, optimizer)
    seen = 0

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen == call:
            random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    with pytest.raises(KeyboardInterrupt):
        check(model, loss, classification, optimizer=optimizer)
    assert photograph(model, optimizer) == before


def test_as_before_when_forward_raises_in_the_middle(classification: Data, photograph: Photograph) -> None:
    model, optimizer = prepared(Uncopyable, classification)
    before = photograph(model, optimizer)
    seen = 0

    def forward(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen > 5:
            with torch.no_grad():
                module.head.weight.add_(1.0)
            module.eval()
            raise RuntimeError("out of cheese")
        return module(inputs)

    report = check(model, nn.CrossEntropyLoss(), classification, optimizer=optimizer, forward=forward)
    assert photograph(model, optimizer) == before
    assert any(r.status == "fail" and "out of cheese" in r.message for r in report.results)


def test_a_loss_module_with_state_is_as_before(classification: Data, photograph: Photograph) -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(1))
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            value = nn.functional.cross_entropy(outputs, targets) * self.scale.squeeze()
            self.mean.mul_(0.9).add_(value.detach())
            return value

    loss, model = Running(), nn.Linear(8, 3)
    before = photograph(loss)
    check(model, loss, classification)
    assert photograph(loss) == before


def test_the_loader_keeps_its_place(classification: Data) -> None:
    x, y = classification
    generator = torch.Generator().manual_seed(7)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, generator=generator)
    twin_generator = torch.Generator().manual_seed(7)
    twin = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, generator=twin_generator)
    check(nn.Linear(8, 3), nn.CrossEntropyLoss(), loader, checks=["initial-loss"])
    for (a, _), (b, _) in zip(loader, twin, strict=True):
        assert torch.equal(a, b)


def test_a_sampler_with_its_own_generator_keeps_its_place(classification: Data) -> None:
    x, y = classification
    data = TensorDataset(x, y)
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(data, batch_size=16, sampler=RandomSampler(data, generator=generator))
    before = generator.get_state()
    check(nn.Linear(8, 3), nn.CrossEntropyLoss(), loader, checks=["initial-loss"])
    assert torch.equal(generator.get_state(), before)


def test_training_after_a_check_is_the_training_without_it(classification: Data) -> None:
    def train(with_check: bool) -> list[bytes]:
        torch.manual_seed(5)
        model = Everything()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x, y = classification
        losses = []
        for step in range(6):
            if with_check and step in (0, 3):
                check(model, nn.CrossEntropyLoss(), (x, y), optimizer=optimizer, checks=SEVERAL)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach().numpy().tobytes())
        return losses

    assert train(True) == train(False)


def test_same_bits_tells_signed_zeros_and_accepts_nan() -> None:
    nan = torch.tensor([float("nan"), 0.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64))


class Accelerator:
    """A device type as torch.cuda and torch.xpu show theirs, with one generator."""

    def __init__(self, started: bool) -> None:
        self.started = started
        self.generator = torch.Generator().manual_seed(11)

    def is_initialized(self) -> bool:
        return self.started

    def get_rng_state_all(self) -> list[torch.Tensor]:
        assert self.started, "asking would start it"
        return [self.generator.get_state()]

    def set_rng_state_all(self, states: list[torch.Tensor]) -> None:
        assert self.started
        self.generator.set_state(states[0])

    def manual_seed_all(self, seed: int) -> None:
        assert self.started
        self.generator.manual_seed(seed)


def on_device(device: Accelerator, seen: list[float]) -> Callable[..., torch.Tensor]:
    def forward(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        device.started = True
        noise = torch.rand(1, generator=device.generator)
        seen.append(float(noise))
        return model(inputs) + 0 * noise

    return forward


@pytest.mark.parametrize("name", ["cuda", "xpu"])
def test_random_numbers_of_an_accelerator(name: str, classification: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Accelerator(started=True)
    monkeypatch.setattr(torch, name, device)
    before = device.generator.get_state()
    draws: list[list[float]] = [[], []]
    for seen in draws:
        report = check(
            nn.Linear(8, 3),
            nn.CrossEntropyLoss(),
            classification,
            forward=on_device(device, seen),
            checks=["determinism", "initial-loss"],
        )
        assert report["determinism"].status == "pass", "it is seeded with the others"
        assert torch.equal(device.generator.get_state(), before)
    assert draws[0] == draws[1], "a report repeats itself"


@pytest.mark.parametrize("name", ["cuda", "xpu"])
def test_an_accelerator_that_a_check_starts(name: str, classification: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends up as torch.manual_seed before the check would have left it: seeded like the CPU."""
    device = Accelerator(started=False)
    monkeypatch.setattr(torch, name, device)
    torch.default_generator.manual_seed(123)
    torch.rand(5)
    forward = on_device(device, [])
    check(nn.Linear(8, 3), nn.CrossEntropyLoss(), classification, forward=forward, checks=["initial-loss"])
    assert torch.equal(device.generator.get_state(), torch.Generator().manual_seed(123).get_state())


def test_no_seed_is_left_behind_for_a_device_that_is_not_started(classification: Data) -> None:
    """torch.manual_seed queues its seed for CUDA; a check must not queue one of its own behind the user's."""
    tracker = torch.cuda._lazy_seed_tracker
    torch.manual_seed(42)
    before = list(tracker.get_calls())
    check(nn.Linear(8, 3), nn.CrossEntropyLoss(), classification, checks=SEVERAL)
    assert before and list(tracker.get_calls()) == before
    assert torch.initial_seed() == 42
