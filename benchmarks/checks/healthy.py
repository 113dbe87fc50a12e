"""Healthy set-ups: nothing here may fail, and a warning needs a reason (given in `WARNS`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.checks import parts
from benchmarks.checks.parts import loader, mlp

Setup = dict[str, Any]
HEALTHY: dict[str, Callable[[], Setup]] = {}
# Warnings that are right although the set-up trains well: name -> check -> why.
WARNS: dict[str, dict[str, str]] = {}


def healthy(name: str) -> Callable[[Callable[[], Setup]], Callable[[], Setup]]:
    def register(function: Callable[[], Setup]) -> Callable[[], Setup]:
        HEALTHY[name] = function
        return function

    return register


def setup(model: nn.Module, loss_fn: Any, data: Any, optimizer: str = "Adam", **options: Any) -> Setup:
    """`optimizer` is a class of torch.optim; its options are taken from `options`, the rest goes to `check`."""
    rest = {key: options.pop(key) for key in ("forward", "unpack", "expected_loss") if key in options}
    options.setdefault("lr", 1e-3)
    made = getattr(torch.optim, optimizer)(model.parameters(), **options)
    return {"model": model, "loss_fn": loss_fn, "data": data, "optimizer": made, **rest}


CE = nn.CrossEntropyLoss


@healthy("softmax regression, digits")
def _() -> Setup:
    return setup(nn.Linear(64, 10), CE(), loader(*parts.digits()), "SGD", lr=0.05)


@healthy("mlp relu, digits, adam")
def _() -> Setup:
    return setup(mlp(64, 10), CE(), loader(*parts.digits()))


@healthy("mlp relu, digits in [0, 1], sgd with momentum")
def _() -> Setup:
    x, y = parts.digits()
    x = (x - x.min()) / (x.max() - x.min())
    return setup(mlp(64, 10), CE(), loader(x, y), "SGD", lr=0.05, momentum=0.9)


@healthy("mlp tanh, xavier, nesterov")
def _() -> Setup:
    model = mlp(64, 10, activation=nn.Tanh)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.xavier_uniform_(p)
    return setup(model, CE(), loader(*parts.digits()), "SGD", lr=0.02, momentum=0.9, nesterov=True)


@healthy("mlp he, zero last layer")
def _() -> Setup:
    model = mlp(64, 10)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p)
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return setup(model, CE(), loader(*parts.digits()))


@healthy("mlp gelu, layer norm, dropout, adamw")
def _() -> Setup:
    model = nn.Sequential(
        nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU(), nn.Dropout(0.3), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10)
    )
    return setup(model, CE(label_smoothing=0.1), loader(*parts.digits()), "AdamW", weight_decay=0.05)


@healthy("mlp silu, rmsprop")
def _() -> Setup:
    return setup(mlp(64, 10, activation=nn.SiLU), CE(), loader(*parts.digits()), "RMSprop")


@healthy("mlp elu, adagrad")
def _() -> Setup:
    return setup(mlp(64, 10, activation=nn.ELU), CE(), loader(*parts.digits()), "Adagrad", lr=0.01)


@healthy("cnn, digits")
def _() -> Setup:
    return setup(parts.cnn(), CE(), loader(*parts.digit_images()))


@healthy("cnn with batch norm and dropout")
def _() -> Setup:
    model = parts.cnn(norm=True)
    model.insert(len(model) - 1, nn.Dropout(0.5))
    return setup(model, CE(), loader(*parts.digit_images()), "SGD", lr=0.02, momentum=0.9, weight_decay=5e-4)


@healthy("resnet, zero-gain residual branches")
def _() -> Setup:
    blocks = [parts.Residual(8) for _ in range(3)]
    stem = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
    return setup(nn.Sequential(*stem, *blocks, *head), CE(), loader(*parts.digit_images()), "SGD", lr=0.05)


@healthy("batch norm first, raw inputs")
def _() -> Setup:
    x, y = parts.digits()
    return setup(nn.Sequential(nn.BatchNorm1d(64), *mlp(64, 10)), CE(), loader(100 * x + 300, y))


@healthy("the model scales its inputs itself")
def _() -> Setup:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x / 255 - 0.5)

    x, y = parts.digits()
    pixels = (x - x.min()) / (x.max() - x.min()) * 255
    return setup(Scaled(), CE(), loader(pixels, y))


@healthy("wine, class weights")
def _() -> Setup:
    return setup(mlp(13, 3), CE(weight=torch.tensor([1.0, 0.8, 1.5])), loader(*parts.table("wine"), 32))


@healthy("breast cancer, one score")
def _() -> Setup:
    x, y = parts.table("breast_cancer")
    return setup(mlp(30, 1), nn.BCEWithLogitsLoss(), loader(x, y.float().reshape(-1, 1)))


@healthy("breast cancer, sigmoid and bce")
def _() -> Setup:
    x, y = parts.table("breast_cancer")
    model = nn.Sequential(*mlp(30, 1), nn.Sigmoid())
    return setup(model, nn.BCELoss(), loader(x, y.float().reshape(-1, 1)))


@healthy("imbalanced, weighted")
def _() -> Setup:
    x, y = parts.vectors(2)
    keep = (y == 0) | (torch.arange(len(y)) % 16 == 1)
    rare = (y[keep] == 1).float().reshape(-1, 1)
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([8.0]))
    return setup(mlp(16, 1), loss, loader(x[keep], rare))


@healthy("multi-label")
def _() -> Setup:
    x, _ = parts.vectors()
    targets = (x[:, :6] > 0.5).float()
    return setup(mlp(16, 6), nn.BCEWithLogitsLoss(), loader(x, targets))


@healthy("diabetes, mse")
def _() -> Setup:
    return setup(mlp(10, 1), nn.MSELoss(), loader(*parts.table("diabetes")))


@healthy("diabetes, linear regression, l1")
def _() -> Setup:
    return setup(nn.Linear(10, 1), nn.L1Loss(), loader(*parts.table("diabetes")), lr=0.01)


@healthy("0-1 regression through a sigmoid, huber")
def _() -> Setup:
    x, _ = parts.vectors()
    targets = torch.sigmoid(x[:, :1] - x[:, 1:2])
    return setup(nn.Sequential(*mlp(16, 1), nn.Sigmoid()), nn.HuberLoss(), loader(x, targets))


@healthy("nll with log-softmax")
def _() -> Setup:
    return setup(nn.Sequential(*mlp(64, 10), nn.LogSoftmax(1)), nn.NLLLoss(), loader(*parts.digits()))


@healthy("distillation, kl divergence")
def _() -> Setup:
    x, y = parts.vectors()
    soft = (3.0 * F.one_hot(y, 4).float() + 0.2 * x[:, :4]).softmax(1)
    return setup(nn.Sequential(*mlp(16, 4), nn.LogSoftmax(1)), nn.KLDivLoss(reduction="batchmean"), loader(x, soft))


@healthy("autoencoder")
def _() -> Setup:
    x, _ = parts.digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 64))
    return setup(model, nn.MSELoss(), loader(x, x))


@healthy("convolutional autoencoder, bce on pixels")
def _() -> Setup:
    x, _ = parts.digit_images()
    pixels = (x - x.min()) / (x.max() - x.min())
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 2, 2)
    )
    return setup(model, nn.BCEWithLogitsLoss(), loader(pixels, pixels), lr=3e-3)


@healthy("variational autoencoder")
def _() -> Setup:
    def loss(outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> dict[str, Tensor]:
        reconstruction, mean, log_variance = outputs
        error = F.mse_loss(reconstruction, targets, reduction="none").sum(1).mean()
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        return {"loss": error + 0.1 * divergence, "error": error, "divergence": divergence}

    x, _ = parts.digits()
    return setup(parts.Variational(), loss, loader(x, x))


@healthy("rnn on waves")
def _() -> Setup:
    return setup(parts.Recurrent(nn.RNN, 1, 3), CE(), loader(*parts.waves()), lr=3e-3)


@healthy("lstm, two layers, dropout")
def _() -> Setup:
    return setup(parts.Recurrent(nn.LSTM, 1, 3, num_layers=2, dropout=0.2), CE(), loader(*parts.waves()), lr=3e-3)


@healthy("gru, bidirectional")
def _() -> Setup:
    return setup(parts.Recurrent(nn.GRU, 1, 3, bidirectional=True), CE(), loader(*parts.waves()), lr=3e-3)


@healthy("conv1d on waves")
def _() -> Setup:
    x, y = parts.waves()
    model = nn.Sequential(nn.Conv1d(1, 16, 5), nn.ReLU(), nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Linear(32, 3))
    return setup(model, CE(), loader(x.transpose(1, 2).contiguous(), y))


@healthy("next token, transformer")
def _() -> Setup:
    tokens = parts.sentences()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    return setup(parts.Transformer(), loss, loader(tokens[:, :-1], tokens[:, 1:].contiguous(), 32), "AdamW")


@healthy("tagging with padding, ignore_index")
def _() -> Setup:
    tokens = parts.sentences().clone()
    lengths = 4 + torch.arange(len(tokens)) % 9
    tokens[torch.arange(12) >= lengths[:, None]] = 0
    targets = torch.where(tokens == 0, -100, (tokens + 3) % 20)
    model = parts.Tagger(padding=0)
    return setup(model, lambda o, t: F.cross_entropy(o.transpose(1, 2), t), loader(tokens, targets, 32))


@healthy("dict inputs with a mask")
def _() -> Setup:
    tokens = parts.sentences()
    mask = torch.arange(12) < (4 + torch.arange(len(tokens)) % 9)[:, None]
    labels = ((tokens * mask).sum(1) / mask.sum(1) > 10).long()
    batches = [({"ids": tokens[i : i + 32], "mask": mask[i : i + 32]}, labels[i : i + 32]) for i in range(0, 192, 32)]
    return setup(parts.Pooled(), CE(), batches)


@healthy("two inputs")
def _() -> Setup:
    x, y = parts.digit_images()
    vector = torch.randn(len(x), 4, generator=parts.generator())
    batches = [((x[i : i + 64], vector[i : i + 64]), y[i : i + 64]) for i in range(0, 512, 64)]
    return setup(parts.Both(), CE(), batches)


@healthy("fine-tuning: frozen backbone, new head")
def _() -> Setup:
    model = mlp(64, 10, hidden=64)
    for layer in list(model)[:-1]:
        layer.requires_grad_(False)
    result = setup(model, CE(), loader(*parts.digits()))
    result["optimizer"] = torch.optim.Adam(model[-1].parameters(), lr=1e-2)
    return result


@healthy("segmentation, imbalanced pixels")
def _() -> Setup:
    x, _ = parts.digit_images()
    targets = (x[:, 0] > 1.6).long()
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
    return setup(model, CE(), loader(x, targets), lr=3e-3)


@healthy("custom loss")
def _() -> Setup:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().pow(1.5).mean()

    return setup(mlp(10, 1), loss, loader(*parts.table("diabetes")))


@healthy("a generator, tiny batches")
def _() -> Setup:
    x, y = parts.vectors()
    batches = ((x[i : i + 4], y[i : i + 4]) for i in range(0, 400, 4))
    return setup(mlp(16, 4), CE(), batches)


@healthy("warm-up from zero")
def _() -> Setup:
    result = setup(mlp(64, 10), CE(), loader(*parts.digits()))
    torch.optim.lr_scheduler.LambdaLR(result["optimizer"], lambda step: min(1.0, step / 10))
    return result


@healthy("lbfgs")
def _() -> Setup:
    return setup(nn.Linear(64, 10), CE(), loader(*parts.digits()), "LBFGS", lr=0.1)


@healthy("spiking dropout: alpha dropout and selu")
def _() -> Setup:
    model = mlp(64, 10, activation=nn.SELU)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p, nonlinearity="linear")
    model.insert(4, nn.AlphaDropout(0.05))
    return setup(model, CE(), loader(*parts.digits()))
