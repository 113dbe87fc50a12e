"""Healthy programs of yet other kinds, written last: nothing was changed for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.checks import parts
from benchmarks.checks.fresh import Arguments, generator

LAST: dict[str, Callable[[], Arguments]] = {}


def last(name: str) -> Callable[[Callable[[], Arguments]], None]:
    def register(function: Callable[[], Arguments]) -> None:
        LAST[name] = function

    return register


def adam(model: nn.Module, loss: Any, data: Any, lr: float = 1e-3, **rest: Any) -> Arguments:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    return {"model": model, "loss_fn": loss, "data": data, "optimizer": optimizer, **rest}


@last("sine activations on coordinates")
def _() -> Arguments:
    class Sine(nn.Module):
        def __init__(self, before: int, after: int, bound: float) -> None:
            super().__init__()
            self.linear = nn.Linear(before, after)
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(30 * self.linear(x))

    inner = math.sqrt(6 / 64) / 30
    model = nn.Sequential(Sine(2, 64, 0.5), Sine(64, 64, inner), Sine(64, 64, inner), nn.Linear(64, 1))
    line = torch.linspace(-1, 1, 24)
    places = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    values = torch.sin(5 * places[:, :1]) * torch.cos(3 * places[:, 1:])
    data = DataLoader(TensorDataset(places, values), batch_size=64, shuffle=True)
    return adam(model, nn.MSELoss(), data, 1e-4)


@last("normalising flow")
def _() -> Arguments:
    class Coupling(nn.Module):
        def __init__(self, flip: bool) -> None:
            super().__init__()
            self.net, self.flip = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 4)), flip
            nn.init.zeros_(self.net[-1].weight)
            nn.init.zeros_(self.net[-1].bias)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            kept, changed = x.chunk(2, 1) if not self.flip else x.chunk(2, 1)[::-1]
            scale, shift = self.net(kept).chunk(2, 1)
            scale = torch.tanh(scale)
            changed = changed * scale.exp() + shift
            return torch.cat([changed, kept] if self.flip else [kept, changed], 1), scale.sum(1)

    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Coupling(i % 2 == 1) for i in range(4))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            volume = torch.zeros(len(x))
            for layer in self.layers:
                x, change = layer(x)
                volume = volume + change
            return x, volume

    def likelihood(outputs: tuple[Tensor, Tensor], _: Any) -> Tensor:
        return (0.5 * outputs[0].square().sum(1) - outputs[1]).mean()

    x = torch.randn(512, 4, generator=generator(30))
    x[:, 1] = x[:, 0] ** 2 + 0.2 * x[:, 1]
    x = (x - x.mean(0)) / x.std(0)
    return adam(Flow(), likelihood, [(x[i : i + 64], x[i : i + 64]) for i in range(0, 512, 64)])


@last("sets of different sizes")
def _() -> Arguments:
    class Sets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.whole = nn.Sequential(nn.Linear(3, 32), nn.ReLU()), nn.Linear(32, 1)

        def forward(self, sets: list[Tensor]) -> Tensor:
            return torch.stack([self.whole(self.each(members).sum(0)) for members in sets])

    g = generator(31)
    batches = []
    for _ in range(8):
        sizes = torch.randint(2, 9, (16,), generator=g).tolist()
        sets = [torch.randn(size, 3, generator=g) for size in sizes]
        batches.append((sets, torch.stack([members[:, :1].sum(0) / 2 for members in sets])))
    return adam(Sets(), nn.MSELoss(), batches, forward=lambda model, sets: model(sets))


@last("masked language model with its own loss")
def _() -> Arguments:
    class Masked(nn.Module):
        def __init__(self, vocabulary: int = 50, width: int = 48) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(32, width)
            self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(0.1)
            layer = nn.TransformerEncoderLayer(width, 4, 96, 0.1, "gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
            self.bias = nn.Parameter(torch.zeros(vocabulary))
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
            x = self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1]))
            x = self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=attention_mask == 0)
            logits = self.transform(x) @ self.tokens.weight.t() + self.bias
            return {"loss": F.cross_entropy(logits.transpose(1, 2), labels), "logits": logits}

    g = generator(32)
    batches = []
    for _ in range(10):
        ids = torch.randint(3, 50, (16, 20), generator=g)
        ids[:, 1::2] = (ids[:, 0::2] + 1).clamp(max=49)
        mask = torch.ones_like(ids)
        mask[:4, 15:] = 0
        hidden = (torch.rand(16, 20, generator=g) < 0.15) & (mask == 1)
        labels = torch.where(hidden, ids, -100)
        batches.append({"input_ids": torch.where(hidden, 1, ids) * mask, "attention_mask": mask, "labels": labels})
    unpack = lambda batch: (batch, batch["labels"])  # noqa: E731
    return adam(Masked(), lambda outputs, _: outputs["loss"], batches, 5e-4, unpack=unpack)


@last("ordered classes, cumulative answers")
def _() -> Arguments:
    x, y = parts.vectors()
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))
    return adam(model, nn.BCEWithLogitsLoss(), parts.loader(x, (y[:, None] > torch.arange(3)).float()))


@last("vector-quantised autoencoder")
def _() -> Arguments:
    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1))
            self.codes = nn.Embedding(32, 8)
            nn.init.uniform_(self.codes.weight, -1 / 32, 1 / 32)
            self.decode = nn.Sequential(nn.ConvTranspose2d(8, 16, 2, 2), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            z = self.encode(x)
            chosen = torch.cdist(z.permute(0, 2, 3, 1).reshape(-1, 8), self.codes.weight).argmin(1)
            code = self.codes(chosen).reshape(len(x), 4, 4, 8).permute(0, 3, 1, 2)
            return self.decode(z + (code - z).detach()), z, code

    def loss(outputs: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        out, z, code = outputs
        return F.mse_loss(out, x) + F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())

    x, _ = parts.digit_images()
    return adam(Quantised(), loss, DataLoader(TensorDataset(x, x), batch_size=32, shuffle=True))


@last("convnext blocks: layer scale, stochastic depth")
def _() -> Arguments:
    class DropPath(nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

        def forward(self, x: Tensor) -> Tensor:
            if not self.training or self.share == 0:
                return x
            return x * x.new_empty((len(x), 1, 1, 1)).bernoulli_(1 - self.share) / (1 - self.share)

    class Block(nn.Module):
        def __init__(self, width: int, share: float) -> None:
            super().__init__()
            self.spread = nn.Conv2d(width, width, 3, padding=1, groups=width)
            self.mix = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.scale, self.drop = nn.Parameter(1e-6 * torch.ones(width)), DropPath(share)

        def forward(self, x: Tensor) -> Tensor:
            h = self.scale * self.mix(self.spread(x).permute(0, 2, 3, 1))
            return x + self.drop(h.permute(0, 3, 1, 2))

    blocks = [Block(24, 0.1 * depth / 3) for depth in range(4)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 10)]
    model = nn.Sequential(nn.Conv2d(1, 24, 2, 2), *blocks, *head)
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(label_smoothing=0.1),
        "data": parts.loader(*parts.digit_images()),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05),
    }


@last("advantage actor critic")
def _() -> Arguments:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 64), nn.ReLU())
            self.policy, self.value = nn.Linear(64, 2), nn.Linear(64, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x)
            return torch.distributions.Categorical(logits=self.policy(h)).logits, self.value(h).squeeze(-1)

    def loss(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
        logs, value = outputs
        actions, returns = targets
        advantage = returns - value
        chosen = logs.gather(1, actions[:, None]).squeeze(1)
        return -(advantage.detach() * chosen).mean() + 0.5 * advantage.pow(2).mean()

    g = generator(33)
    batches = [
        (torch.randn(32, 4, generator=g), (torch.randint(0, 2, (32,), generator=g), 10 * torch.rand(32, generator=g)))
        for _ in range(6)
    ]
    model = Both()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=7e-4)
    return {"model": model, "loss_fn": loss, "data": batches, "optimizer": optimizer}


@last("log-cosh, two optimizers")
def _() -> Arguments:
    x, t = parts.table("diabetes")
    model = nn.Sequential(nn.Linear(10, 32), nn.Softplus(), nn.Linear(32, 1))
    return {
        "model": model,
        "loss_fn": lambda outputs, targets: torch.log(torch.cosh(outputs - targets)).mean(),
        "data": parts.loader(x, t, 32),
        "optimizer": [
            torch.optim.SGD(model[0].parameters(), lr=0.05),
            torch.optim.Adam(model[2].parameters(), lr=1e-3),
        ],
    }


@last("distillation from a frozen teacher")
def _() -> Arguments:
    teacher = parts.mlp(64, 10).requires_grad_(False).eval()

    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = parts.mlp(64, 10, hidden=16)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                soft = teacher(x)
            return self.net(x), soft

    def loss(outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        own, soft = outputs
        apart = F.kl_div(F.log_softmax(own / 2, 1), F.softmax(soft / 2, 1), reduction="batchmean")
        return 0.5 * F.cross_entropy(own, labels) + 2 * apart

    return adam(Student(), loss, parts.loader(*parts.digits()))
