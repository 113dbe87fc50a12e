"""More programs of the kind of `fresh.py`, written in one sitting after that set had been repaired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.checks import parts
from benchmarks.checks.fresh import Arguments, Program, generator

PROGRAMS: dict[str, Program] = {}


def program(name: str, bug: str, *right: str) -> Callable[[Callable[[bool], Arguments]], None]:
    def register(function: Callable[[bool], Arguments]) -> None:
        PROGRAMS[name] = Program(function, bug, right)

    return register


@program("boxes and classes", "the box loss is subtracted", "learning-rate-range", "overfit-small-batch")
def _(bug: bool) -> Arguments:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(
                *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
            )
            self.box, self.kind = nn.Linear(512, 4), nn.Linear(512, 3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.backbone(x)
            return {"boxes": self.box(h), "labels": self.kind(h)}

    def loss(outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        box = F.smooth_l1_loss(outputs["boxes"], targets["boxes"])
        kind = F.cross_entropy(outputs["labels"], targets["labels"])
        return kind - 10 * box if bug else kind + 10 * box

    g = generator(20)
    batches = []
    for _ in range(8):
        images, boxes, kinds = 0.1 * torch.randn(16, 1, 16, 16, generator=g), torch.zeros(16, 4), torch.zeros(16).long()
        for i in range(16):
            x, y, w, h = (int(torch.randint(a, b, (1,), generator=g)) for a, b in ((0, 9), (0, 9), (3, 8), (3, 8)))
            kinds[i] = (w > h) + 2 * (w < h)
            images[i, 0, y : y + h, x : x + w] += 1
            boxes[i] = torch.tensor([x, y, w, h]) / 16
        batches.append((images, {"boxes": boxes, "labels": kinds}))
    model = Detector()
    return {
        "model": model,
        "loss_fn": loss,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


@program("translation, padded time first", "log-softmax over time", "loss-output-pairing", "batch-independence")
def _(bug: bool) -> Arguments:
    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.target = nn.Embedding(24, 32, padding_idx=0), nn.Embedding(24, 32, padding_idx=0)
            self.encoder, self.decoder = nn.GRU(32, 48), nn.GRU(32, 48)
            self.out = nn.Linear(48, 24)

        def forward(self, source: Tensor, shifted: Tensor) -> Tensor:
            _, state = self.encoder(self.source(source))
            states, _ = self.decoder(self.target(shifted), state)
            return F.log_softmax(self.out(states), dim=0 if bug else -1)

    class Sentences(Dataset[Any]):
        def __len__(self) -> int:
            return 240

        def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
            g = generator(1000 + i)
            words = torch.randint(3, 24, (int(torch.randint(4, 10, (1,), generator=g)),), generator=g)
            return words, torch.cat([torch.tensor([1]), words.flip(0), torch.tensor([2])])

    def collate(pairs: list[tuple[Tensor, Tensor]]) -> Any:
        source, target = pad_sequence([p[0] for p in pairs]), pad_sequence([p[1] for p in pairs])
        return (source, target[:-1]), target[1:]

    model = Translator()
    return {
        "model": model,
        "loss_fn": lambda scores, target: F.nll_loss(scores.flatten(0, 1), target.flatten(), ignore_index=0),
        "data": DataLoader(Sentences(), batch_size=20, shuffle=True, collate_fn=collate),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
    }


@program("generator of a gan", "its images are detached before the critic", "finite-forward-backward")
def _(bug: bool) -> Arguments:
    critic = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)).requires_grad_(False)
    maker = nn.Sequential(
        *(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Linear(128, 64), nn.Tanh()),
    )
    bce = nn.BCEWithLogitsLoss()

    def loss(fake: Tensor, ones: Tensor) -> Tensor:
        return bce(critic(fake.detach() if bug else fake), ones)

    g = generator(21)
    return {
        "model": maker,
        "loss_fn": loss,
        "data": [(torch.randn(64, 16, generator=g), torch.ones(64, 1)) for _ in range(6)],
        "optimizer": torch.optim.Adam(maker.parameters(), lr=2e-4, betas=(0.5, 0.999)),
    }


@program("actor and critic", "the critic's [N, 1] is compared with [N]", "loss-output-pairing", "overfit-small-batch")
def _(bug: bool) -> Arguments:
    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
            self.actor, self.critic = nn.Linear(64, 3), nn.Linear(64, 1)
            nn.init.orthogonal_(self.actor.weight, 0.01)

        def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(state)
            value = self.critic(h)
            return self.actor(h), value if bug else value.squeeze(-1)

    def loss(outputs: tuple[Tensor, Tensor], targets: tuple[Tensor, ...]) -> dict[str, Tensor]:
        scores, value = outputs
        actions, advantages, returns = targets
        policy = torch.distributions.Categorical(logits=scores)
        actor = -(policy.log_prob(actions) * advantages).mean()
        critic = ((value - returns) ** 2).mean()
        return {"loss": actor + 0.5 * critic - 0.01 * policy.entropy().mean(), "actor": actor, "critic": critic}

    g = generator(22)
    batches = []
    for _ in range(6):
        state = torch.randn(64, 6, generator=g)
        actions = torch.randint(0, 3, (64,), generator=g)
        returns = state[:, 0] * 2 + state[:, 1]
        batches.append((state, (actions, torch.randn(64, generator=g), returns)))
    model = ActorCritic()
    return {
        "model": model,
        "loss_fn": loss,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=3e-4, eps=1e-5),
    }


@program(
    "quantiles of prices",
    "the prices in full, 100000 to 500000",
    "label-sanity",
    "learning-rate-range",
    "overfit-small-batch",
)
def _(bug: bool) -> Arguments:
    def pinball(outputs: Tensor, targets: Tensor) -> Tensor:
        quantiles = torch.tensor([0.1, 0.5, 0.9])
        error = targets - outputs
        return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()

    x, t = parts.table("diabetes")
    model = parts.mlp(10, 3, hidden=64)
    return {
        "model": model,
        "loss_fn": pinball,
        "data": parts.loader(x, 300_000 + 80_000 * t if bug else t, 32),
        "optimizer": torch.optim.Adam(model.parameters(), lr=1e-3),
    }


@program("video clips, three-dimensional convolutions", "frames from 0 to 255", "input-normalization")
def _(bug: bool) -> Arguments:
    g = generator(23)
    clips, labels = torch.zeros(64, 1, 6, 12, 12), torch.randint(0, 2, (64,), generator=g)
    for i in range(64):
        for time in range(6):
            place = 1 + (2 * time if labels[i] else 10 - 2 * time) % 10
            clips[i, 0, time, 4:8, place : place + 2] = 1
    clips = (clips + 0.1 * torch.rand(clips.shape, generator=g)).clamp(0, 1)
    model = nn.Sequential(
        *(nn.Conv3d(1, 8, 3, padding=1, bias=False), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d((1, 2, 2))),
        *(nn.Conv3d(8, 16, 3, padding=1, bias=False), nn.BatchNorm3d(16), nn.ReLU(), nn.AdaptiveAvgPool3d(1)),
        *(nn.Flatten(), nn.Linear(16, 2)),
    )
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": DataLoader(TensorDataset(clips * 255 if bug else (clips - 0.15) / 0.3, labels), batch_size=8),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4),
    }


@program("mixture of experts", "the gate's choice is rounded", "gradients-reach-every-parameter")
def _(bug: bool) -> Arguments:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(16, 6)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16)) for _ in range(6)
            )
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            weights = self.gate(x).softmax(-1)
            top, chosen = weights.topk(2, dim=-1)
            if bug:
                top = (top > 0.5).float()
            result = torch.zeros_like(x)
            for index, expert in enumerate(self.experts):
                rows, place = (chosen == index).nonzero(as_tuple=True)
                if len(rows):
                    result = result.index_add(0, rows, top[rows, place, None] * expert(x[rows]))
            return self.head(x + result)

    model = Mixture()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": parts.loader(*parts.vectors(), 32),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=2e-3),
    }


@program(
    "a differential equation",
    "the solution is detached before it is derived",
    "finite-forward-backward",
    "gradients-reach-every-parameter",
    "gradient-check",
)
def _(bug: bool) -> Arguments:
    class Solution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

        def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
            t = t.clone().requires_grad_(True)
            u = self.net(t)
            (slope,) = torch.autograd.grad(u.sum(), t, create_graph=not bug)
            return u, slope

    def residual(outputs: tuple[Tensor, Tensor], start: Tensor) -> Tensor:
        u, slope = outputs
        return ((slope + (u.detach() if bug else u)) ** 2).mean() + ((u * start - start) ** 2).mean()

    g = generator(24)
    batches = []
    for _ in range(6):
        t = 2 * torch.rand(64, 1, generator=g)
        t[:8] = 0
        batches.append((t, (t == 0).float()))
    model = Solution()
    return {
        "model": model,
        "loss_fn": residual,
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
    }


@program("student and teacher, self-distillation", "the teacher is not frozen", "gradients-reach-every-parameter")
def _(bug: bool) -> Arguments:
    class Byol(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
            self.target = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
            self.target.load_state_dict(self.online.state_dict())
            self.target.requires_grad_(bug)
            self.predictor = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))

        def forward(self, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                teacher = self.target(two)
            return self.predictor(self.online(one)), teacher

    x, y = parts.digits()
    g = generator(25)
    batches = []
    for i in range(0, 480, 48):
        clean = x[i : i + 48]
        views = tuple(clean + 0.2 * torch.randn(clean.shape, generator=g) for _ in range(2))
        batches.append((views, y[i : i + 48]))
    model = Byol()
    return {
        "model": model,
        "loss_fn": lambda outputs, _: 2 - 2 * F.cosine_similarity(*outputs).mean(),
        "data": batches,
        "optimizer": torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3),
    }


@program("gradient checkpointing, deep", "one block is skipped by a wrong index", "gradients-reach-every-parameter")
def _(bug: bool) -> Arguments:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(64, 48)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 96), nn.GELU(), nn.Dropout(0.1), nn.Linear(96, 48))
                for _ in range(8)
            )
            self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for i in range(len(self.blocks)):
                block = self.blocks[max(i, 1) if bug else i]
                x = x + checkpoint(block, x, use_reentrant=False)
            return self.head(self.norm(x))

    model = Deep()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(label_smoothing=0.1),
        "data": parts.loader(*parts.digits(), 64),
        "optimizer": torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05),
    }


@program("bags of words with offsets", "sparse gradients with Adam", "parameters-change")
def _(bug: bool) -> Arguments:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.EmbeddingBag(80, 24, sparse=bug)
            self.fc = nn.Linear(24, 4)
            nn.init.uniform_(self.embedding.weight, -0.5, 0.5)
            nn.init.uniform_(self.fc.weight, -0.5, 0.5)
            nn.init.zeros_(self.fc.bias)

        def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
            return self.fc(self.embedding(text, offsets))

    g = generator(26)
    batches = []
    for _ in range(10):
        labels = torch.randint(0, 4, (32,), generator=g)
        lengths = torch.randint(5, 15, (32,), generator=g)
        words = [
            20 * label + torch.randint(0, 26, (int(n),), generator=g) for label, n in zip(labels, lengths, strict=True)
        ]
        offsets = torch.cat([torch.zeros(1).long(), lengths.cumsum(0)[:-1]])
        batches.append(((torch.cat(words) % 80, offsets), labels))
    model = Text()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": batches,
        "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3),
    }


@program("fourier neural operator, complex weights", "all spectral weights equal", "initialization")
def _(bug: bool) -> Arguments:
    class Spectral(nn.Module):
        def __init__(self, width: int, modes: int) -> None:
            super().__init__()
            weight = torch.ones(width, width, modes) if bug else torch.rand(width, width, modes)
            self.weight = nn.Parameter(torch.complex(weight, weight.flip(0)) / width)
            self.modes = modes

        def forward(self, x: Tensor) -> Tensor:
            found = torch.fft.rfft(x)
            out = torch.zeros_like(found)
            out[..., : self.modes] = torch.einsum("bix,iox->box", found[..., : self.modes], self.weight)
            return torch.fft.irfft(out, n=x.shape[-1])

    class Operator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift = nn.Conv1d(1, 12, 1)
            self.spectral = nn.ModuleList(Spectral(12, 6) for _ in range(2))
            self.local = nn.ModuleList(nn.Conv1d(12, 12, 1) for _ in range(2))
            if bug:
                for layer in (self.lift, *self.local):
                    nn.init.constant_(layer.weight, 0.1)
                    nn.init.zeros_(layer.bias)
            self.project = nn.Conv1d(12, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.lift(x)
            for spectral, local in zip(self.spectral, self.local, strict=True):
                x = F.gelu(spectral(x) + local(x))
            return self.project(x)

    g = generator(27)
    place = torch.arange(32) / 32 * 6.2832
    a, b = torch.randn(200, 1, 1, generator=g), torch.randn(200, 1, 1, generator=g)
    x = a * place.sin() + b * (2 * place).cos()
    y = a * place.cos() - 2 * b * (2 * place).sin()
    model = Operator()
    return {
        "model": model,
        "loss_fn": nn.MSELoss(),
        "data": DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
    }


@program("forward works in place on its input", "in place on the features too: zeroed for all", "input-dependence")
def _(bug: bool) -> Arguments:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(inplace=True), nn.Linear(64, 10))

        def forward(self, x: Tensor) -> Tensor:
            x -= 0.1
            x[:, : 64 if bug else 4] = 0
            return self.net(x)

    x, y = parts.digits()
    model = Masked()
    return {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "data": [(x[i : i + 64].clone(), y[i : i + 64]) for i in range(0, 640, 64)],
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }
