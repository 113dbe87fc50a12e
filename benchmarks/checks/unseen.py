"""More healthy set-ups, written after the checks were finished (four of them needed a repair of a check since)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.checks import parts
from benchmarks.checks.healthy import CE, Setup, setup
from benchmarks.checks.parts import loader, mlp

UNSEEN: dict[str, Callable[[], Setup]] = {}


def unseen(name: str) -> Callable[[Callable[[], Setup]], None]:
    def register(function: Callable[[], Setup]) -> None:
        UNSEEN[name] = function

    return register


@unseen("lenet-5 with tanh and average pooling")
def _() -> Setup:
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 3), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 10)),
    )
    return setup(model, CE(), loader(*parts.digit_images()), "SGD", lr=0.05, momentum=0.9)


@unseen("vision transformer")
def _() -> Setup:
    class Vit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(1, 32, 2, 2)
            self.first = nn.Parameter(torch.zeros(1, 1, 32))
            self.position = nn.Parameter(0.02 * torch.randn(1, 17, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, "gelu", batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], 1) + self.position
            return self.head(self.blocks(tokens)[:, 0])

    return setup(Vit(), CE(), loader(*parts.digit_images()), "AdamW", weight_decay=0.05)


@unseen("post-norm transformer encoder with padding mask")
def _() -> Setup:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 32, padding_idx=0)
            self.block = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True)
            self.head = nn.Linear(32, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            padding = tokens == 0
            states = self.block(self.embedding(tokens), src_key_padding_mask=padding)
            keep = (~padding).float().unsqueeze(-1)
            return self.head((states * keep).sum(1) / keep.sum(1))

    tokens = parts.sentences().clone()
    tokens[torch.arange(12) >= (4 + torch.arange(len(tokens)) % 9)[:, None]] = 0
    return setup(Encoder(), CE(), loader(tokens, (tokens[:, 0] > 10).long(), 32))


@unseen("u-net")
def _() -> Setup:
    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            self.up = nn.ConvTranspose2d(16, 8, 2, 2)
            self.out = nn.Conv2d(16, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            top = self.down(x)
            return self.out(torch.cat([top, self.up(self.deep(top))], 1))

    x, _ = parts.digit_images()
    return setup(UNet(), nn.BCEWithLogitsLoss(), loader(x, (x > 0.5).float(), 32), lr=1e-2)


@unseen("dice loss")
def _() -> Setup:
    def dice(outputs: Tensor, targets: Tensor) -> Tensor:
        p = outputs.sigmoid()
        return 1 - (2 * (p * targets).sum() + 1) / (p.sum() + targets.sum() + 1)

    x, _ = parts.digit_images()
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    return setup(model, dice, loader(x, (x > 0.5).float(), 32), lr=1e-2)


@unseen("depthwise separable convolutions, relu6")
def _() -> Setup:
    def block(channels: int, out: int) -> list[nn.Module]:
        depth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        point = nn.Conv2d(channels, out, 1, bias=False)
        return [depth, nn.BatchNorm2d(channels), nn.ReLU6(), point, nn.BatchNorm2d(out), nn.ReLU6()]

    model = nn.Sequential(*block(1, 8), *block(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return setup(model, CE(), loader(*parts.digit_images()), "RMSprop", lr=1e-3)


@unseen("matrix factorisation, two ids")
def _() -> Setup:
    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(30, 8), nn.Embedding(40, 8)
            for table in (self.user, self.item):
                nn.init.normal_(table.weight, std=0.3)

        def forward(self, user: Tensor, item: Tensor) -> Tensor:
            return (self.user(user) * self.item(item)).sum(1)

    g = parts.generator()
    users, items = torch.randint(0, 30, (512,), generator=g), torch.randint(0, 40, (512,), generator=g)
    taste, style = torch.randn(30, 3, generator=g), torch.randn(40, 3, generator=g)
    ratings = (taste[users] * style[items]).sum(1) / 1.7
    batches = [((users[i : i + 64], items[i : i + 64]), ratings[i : i + 64]) for i in range(0, 512, 64)]
    return setup(Factors(), nn.MSELoss(), batches, lr=1e-2)


@unseen("sequence to sequence, teacher forcing")
def _() -> Setup:
    class Translate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 16)
            self.encoder, self.decoder = nn.GRU(16, 32, batch_first=True), nn.GRU(16, 32, batch_first=True)
            self.head = nn.Linear(32, 20)

        def forward(self, source: Tensor, shifted: Tensor) -> Tensor:
            _, state = self.encoder(self.embedding(source))
            return self.head(self.decoder(self.embedding(shifted), state)[0])

    source = parts.sentences()
    target = source.flip(1)
    shifted = torch.cat([torch.zeros(len(target), 1, dtype=torch.long), target[:, :-1]], 1)
    batches = [((source[i : i + 32], shifted[i : i + 32]), target[i : i + 32]) for i in range(0, 192, 32)]
    return setup(Translate(), lambda o, t: F.cross_entropy(o.transpose(1, 2), t), batches, lr=3e-3)


@unseen("poisson regression")
def _() -> Setup:
    x, _ = parts.vectors()
    counts = torch.poisson((0.5 * x[:, :1] + 0.5).exp(), generator=parts.generator())
    return setup(mlp(16, 1), nn.PoissonNLLLoss(), loader(x, counts))


@unseen("gaussian likelihood, mean and variance")
def _() -> Setup:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        mean, log_variance = outputs.chunk(2, 1)
        return 0.5 * (log_variance + (targets - mean) ** 2 / log_variance.exp()).mean()

    return setup(mlp(10, 2), loss, loader(*parts.table("diabetes")))


@unseen("hinge loss, labels -1 and +1")
def _() -> Setup:
    x, y = parts.table("breast_cancer")
    return setup(mlp(30, 1), nn.SoftMarginLoss(), loader(x, 2.0 * y.reshape(-1, 1) - 1))


@unseen("multi-class margin loss")
def _() -> Setup:
    return setup(mlp(64, 10), nn.MultiMarginLoss(), loader(*parts.digits()))


@unseen("focal loss")
def _() -> Setup:
    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(outputs, targets, reduction="none")
        return ((1 - (-losses).exp()) ** 2 * losses).mean()

    return setup(mlp(64, 10), focal, loader(*parts.digits()))


@unseen("discriminator of a gan, spectral norm, leaky relu")
def _() -> Setup:
    x, _ = parts.digits()
    fake = torch.randn(len(x), 64, generator=parts.generator())
    both = torch.cat([x, fake])
    real = torch.cat([torch.ones(len(x), 1), torch.zeros(len(x), 1)])
    norm = nn.utils.parametrizations.spectral_norm
    model = nn.Sequential(norm(nn.Linear(64, 64)), nn.LeakyReLU(0.2), norm(nn.Linear(64, 1)))
    return setup(model, nn.BCEWithLogitsLoss(), loader(both, real), lr=2e-4, betas=(0.5, 0.999))


@unseen("weight norm, prelu, group norm")
def _() -> Setup:
    norm = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(
        *(norm(nn.Conv2d(1, 8, 3, padding=1)), nn.GroupNorm(2, 8), nn.PReLU(8)),
        *(norm(nn.Conv2d(8, 8, 3, 2, 1)), nn.GroupNorm(2, 8), nn.PReLU(8)),
        *(nn.Flatten(), nn.Linear(128, 10)),
    )
    return setup(model, CE(), loader(*parts.digit_images()), "Adamax", lr=2e-3)


@unseen("rezero: residual gates at zero, adadelta")
def _() -> Setup:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gate = nn.Linear(64, 64), nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.gate * torch.relu(self.body(x))

    model = nn.Sequential(*(Gated() for _ in range(6)), nn.Linear(64, 10))
    return setup(model, CE(), loader(*parts.digits()), "Adadelta", lr=1.0)


@unseen("tied autoencoder")
def _() -> Setup:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Linear(64, 24)
            self.bias = nn.Parameter(torch.zeros(64))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(torch.tanh(self.encode(x)), self.encode.weight.t(), self.bias)

    x, _ = parts.digits()
    return setup(Tied(), nn.MSELoss(), loader(x, x))


@unseen("packed sequences, sorted lengths")
def _() -> Setup:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 3)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True)
            return self.head(self.rnn(packed)[1][0][-1])

    x, y = parts.waves()
    lengths = torch.arange(64, 0, -1).clamp(6, 16)
    batches = [((x[i : i + 64], lengths), y[i : i + 64]) for i in range(0, 256, 64)]
    return setup(Packed(), CE(), batches, lr=3e-3)


@unseen("time first, batch second")
def _() -> Setup:
    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(1, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][-1])

    x, y = parts.waves()
    batches = [(x[i : i + 64].transpose(0, 1).contiguous(), y[i : i + 64]) for i in range(0, 256, 64)]
    return setup(TimeFirst(), CE(), batches, lr=3e-3)


@unseen("auxiliary head in train mode, dict outputs")
def _() -> Setup:
    class Aux(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
            self.head, self.extra = nn.Linear(32, 10), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.body(x)
            return {"logits": self.head(h), **({"extra": self.extra(h)} if self.training else {})}

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        value = F.cross_entropy(outputs["logits"], targets)
        return value + 0.3 * F.cross_entropy(outputs["extra"], targets) if "extra" in outputs else value

    return setup(Aux(), loss, loader(*parts.digits()))


@unseen("graph convolution, one graph")
def _() -> Setup:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
            return self.two(adjacency @ torch.relu(self.one(adjacency @ x)))

    x, y = parts.vectors()
    x, y = x[:96], y[:96]
    same = (y[:, None] == y[None]).float() * (torch.rand(96, 96, generator=parts.generator()) < 0.2)
    adjacency = same + same.t() + torch.eye(96)
    adjacency = adjacency / adjacency.sum(1, keepdim=True)
    return setup(Graph(), CE(), [((x, adjacency), y)], lr=1e-2)


@unseen("mixed float64 model")
def _() -> Setup:
    x, t = parts.table("diabetes")
    return setup(mlp(10, 1).double(), nn.SmoothL1Loss(), loader(x.double(), t.double()))
