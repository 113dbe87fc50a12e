"""Trainings with a known verdict: `HEALTHY` name -> maker, `ILL` name -> (slugs any of which is right,
maker).

A maker takes a seed, trains for real, and returns the run as a `RunView`.
"""

from __future__ import annotations

import inspect

import torch
from models import Attention, Letters, Recurrent, autoencoder, cnn, initialised, mlp, resnet
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from trainings import digits, train

HEALTHY: dict = {}
ILL: dict = {}


def healthy(name, model, optimizer, schedule=None, **options):
    HEALTHY[name] = _maker(model, optimizer, schedule, options)


def ill(name, slugs, model, optimizer, schedule=None, **options):
    ILL[name] = (frozenset(slugs.split()), _maker(model, optimizer, schedule, options))


def _maker(model, optimizer, schedule, options):
    def make(seed):
        torch.manual_seed(seed)
        net = model()
        chosen = optimizer([p for p in net.parameters() if p.requires_grad])
        made = {k: v() if k in ("data", "validation", "transform") else v for k, v in options.items()}
        return train(net, chosen, schedule=schedule(chosen) if schedule else None, seed=seed, **made)

    return make


def sgd(lr=0.1, **k):
    return lambda p: SGD(p, lr=lr, **k)


def adam(lr=3e-3, **k):
    return lambda p: Adam(p, lr=lr, **k)


def table(load, classes):
    def data():
        raw = load()
        x = torch.tensor(raw.data, dtype=torch.float32)
        x = (x - x.mean(0)) / x.std(0)
        y = torch.tensor(raw.target)
        y = y.long() if classes else ((y.float() - y.float().mean()) / y.float().std())[:, None]
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
        return x[order], y[order]

    return {"data": lambda: tuple(t[: int(len(t) * 0.7)] for t in data()),
                "validation": lambda: tuple(t[int(len(t) * 0.7) :] for t in data())}  # fmt: skip


def text():
    raw = " ".join(inspect.getdoc(inspect).split() + inspect.getdoc(inspect.signature).split()).lower()
    raw = (raw + " ".join(inspect.getdoc(torch).lower().split()))[:900]
    letters = sorted(set(raw))
    codes = torch.tensor([letters.index(c) for c in raw])
    windows = codes.unfold(0, 17, 3)
    return windows[:, :-1], windows[:, 1:]


def picture():
    x, _ = digits()
    return x[:1400], x[:1400].flatten(1)


def hold(x):
    return (x[1400:], x[1400:].flatten(1))


CANCER, DIABETES = table(load_breast_cancer, True), table(load_diabetes, False)
TEXT = {"data": lambda: tuple(t[:220] for t in text()), "validation": lambda: tuple(t[220:] for t in text())}
PICTURE = {"data": picture, "validation": lambda: hold(digits()[0]), "loss_fn": nn.MSELoss()}
NUMBERS = {
    "data": lambda: (digits()[0][:1400], digits()[1][:1400, None].float()),
    "validation": lambda: (digits()[0][1400:], digits()[1][1400:, None].float()),
    "loss_fn": nn.MSELoss(),
}
he, xavier = nn.init.kaiming_normal_, nn.init.xavier_uniform_


def frozen(model, layers):
    for parameter in list(model.parameters())[:layers]:
        parameter.requires_grad_(False)
    return model


def zero_head(model):
    nn.init.zeros_(list(model.parameters())[-2])
    return model


def augmented(x, y):
    return torch.roll(x, int(torch.randint(-1, 2, ())), -1) + 0.3 * torch.randn_like(x), y


def warmup(optimizer):
    return LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 40))


def cosine(steps):
    return lambda optimizer: CosineAnnealingLR(optimizer, steps)


healthy("softmax", lambda: mlp(0), sgd())
healthy("softmax-zero-init", lambda: initialised(mlp(0), nn.init.zeros_), sgd(0.5))
healthy("mlp-sgd", mlp, sgd())
healthy("mlp-sgd-high-but-fine", mlp, sgd(0.5))
healthy("mlp-nesterov", mlp, sgd(0.05, momentum=0.9, nesterov=True))
healthy("mlp-adam", mlp, adam())
healthy("mlp-30-steps", mlp, adam(), steps=30, log_val=5)
healthy("mlp-sgd-30-steps", mlp, sgd(), steps=30, log_val=5)
healthy("mlp-converged", mlp, sgd(0.3), steps=900, every=5, log_val=30)
healthy("mlp-converged-adam", mlp, adam(), steps=900, every=5, log_val=30)
healthy("mlp-weight-decay", mlp, lambda p: AdamW(p, lr=3e-3, weight_decay=0.1))
healthy("mlp-dropout", lambda: mlp(3, 128, dropout=0.5), adam(), steps=250)
healthy("mlp-tiny-batch", mlp, sgd(0.02), batch=2, steps=400, every=4)
healthy("mlp-full-batch", mlp, sgd(0.5), batch=1400, steps=150)
healthy("mlp-cosine-to-zero", mlp, sgd(0.3, momentum=0.9), cosine(300), steps=300)
healthy("mlp-label-smoothing", mlp, adam(), loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2))
healthy("mlp-noisy-labels", mlp, sgd(0.05), label_noise=0.3)
healthy("mlp-zero-head", lambda: zero_head(mlp(4)), sgd())
healthy("mlp-frozen-first", lambda: frozen(mlp(3), 2), adam())
healthy("mlp-sigmoid-2", lambda: mlp(2, act="sigmoid", init=xavier), sgd(0.5, momentum=0.9), steps=300)
healthy("mlp-sigmoid-adam", lambda: mlp(2, act="sigmoid"), adam(1e-2), steps=200)
healthy("mlp-tanh-8-xavier", lambda: mlp(8, 48, "tanh", init=xavier), sgd())
healthy("mlp-tanh-8-adam", lambda: mlp(8, 48, "tanh", init=xavier), adam(1e-3), steps=200)
healthy("mlp-relu-10-he", lambda: mlp(10, 64, init=he), adam(1e-3), steps=250)
healthy("mlp-relu-10-batchnorm", lambda: mlp(10, 64, norm="batch"), sgd(), steps=250)
healthy("mlp-sigmoid-6-layernorm-adam-900", lambda: mlp(6, 64, "sigmoid", "layer"), adam(5e-3), steps=900, every=5)
healthy("mlp-elu", lambda: mlp(4, act="elu"), sgd(0.05))
healthy("mlp-gelu", lambda: mlp(4, act="gelu"), adam())
healthy("mlp-rmsprop", mlp, lambda p: RMSprop(p, lr=1e-3))
healthy("mlp-adagrad", mlp, lambda p: Adagrad(p, lr=0.02))
healthy("mlp-wide", lambda: mlp(1, 1024), adam(1e-3))
healthy("mlp-clipped", mlp, sgd(0.3), clip=0.5)
healthy("cnn-sgd", cnn, sgd(0.1), steps=250)
healthy("cnn-adam", cnn, adam())
healthy("cnn-bn-momentum", lambda: cnn(True), sgd(0.05, momentum=0.9))
healthy("cnn-bn-30", lambda: cnn(True), adam(), steps=30, log_val=5)
healthy("cnn-tanh", lambda: cnn(act="tanh"), sgd(0.1, momentum=0.9))
healthy("cnn-augmented", cnn, adam(), steps=300, transform=lambda: augmented)
healthy("resnet-layer", resnet, sgd(0.05, momentum=0.9))
healthy("resnet-zero-blocks", lambda: resnet(8, zero=True), sgd(0.1))
healthy("resnet-batch-adam", lambda: resnet(8, norm="batch"), adam(1e-3))
healthy("resnet-20", lambda: resnet(20, 32), adam(1e-3))
healthy("resnet-no-norm", lambda: resnet(6, norm=None, zero=True), sgd(0.02))
healthy("lstm-adam", Recurrent, adam(1e-2), steps=200)
healthy("lstm-sgd-clipped", Recurrent, sgd(0.5, momentum=0.9), clip=1.0, steps=300)
healthy("gru-adam", lambda: Recurrent("GRU"), adam(1e-2), steps=200)
healthy("rnn-adam", lambda: Recurrent("RNN"), adam(3e-3), steps=200)
healthy("attention-adam", Attention, adam(), steps=200)
healthy("attention-warmup", lambda: Attention(depth=3), lambda p: AdamW(p, lr=3e-3), warmup, steps=250)
healthy("attention-post-norm", lambda: Attention(norm_first=False), adam(1e-3), warmup, steps=250)
healthy("attention-30", Attention, adam(1e-3), steps=30, log_val=5)
healthy("letters-gru", Letters, adam(1e-2), steps=60, batch=32, **TEXT)
healthy("letters-sgd", Letters, sgd(1.0), steps=200, batch=32, clip=1.0, **TEXT)
healthy("cancer-mlp", lambda: mlp(2, 16, inputs=30, outputs=2), sgd(), batch=32, **CANCER)
healthy("cancer-softmax", lambda: mlp(0, inputs=30, outputs=2), adam(1e-2), batch=32, **CANCER)
healthy(
    "diabetes-linear",
    lambda: mlp(0, inputs=10, outputs=1),
    sgd(0.05),
    loss_fn=nn.MSELoss(),
    batch=32,
    **DIABETES,
)
healthy(
    "diabetes-mlp",
    lambda: mlp(1, 8, inputs=10, outputs=1),
    adam(1e-2),
    loss_fn=nn.MSELoss(),
    batch=32,
    **DIABETES,
)
healthy(
    "diabetes-l1",
    lambda: mlp(1, 8, inputs=10, outputs=1),
    adam(1e-2),
    loss_fn=nn.L1Loss(),
    batch=32,
    **DIABETES,
)
healthy("autoencoder-adam", autoencoder, adam(), steps=200, **PICTURE)
healthy("autoencoder-sgd", autoencoder, sgd(0.3, momentum=0.9), steps=250, **PICTURE)
healthy("mlp-sparse-frames", mlp, sgd(), steps=400, every=40)
healthy("mlp-slow-but-sure", mlp, sgd(0.02), steps=400, every=4)

nonfinite = "nonfinite-values"
explodes = "exploding-gradients learning-rate-too-high loss-diverging poor-initialization"
vanishes = "vanishing-gradients"
overfits = "overfitting"


class LogOfSoftmax(nn.Module):
    """The textbook mistake: log(softmax) in two steps, without epsilon."""

    def forward(self, scores, targets):
        return -scores.softmax(1).log().gather(1, targets[:, None]).mean()


def poisoned(at):
    count = [0]

    def transform(x, y):
        count[0] += 1
        if count[0] == at:
            x = x.clone()
            x[0, 0] = float("nan")
        return x, y

    return transform


def few(n):
    return lambda: tuple(t[:n] for t in digits())


def big(std):
    return lambda w: nn.init.normal_(w, 0.0, std)


ill("log-of-softmax", nonfinite, lambda: mlp(2), sgd(30.0), loss_fn=LogOfSoftmax())
ill("log-of-softmax-late", nonfinite, lambda: mlp(2), sgd(2.0), loss_fn=LogOfSoftmax(), steps=900, every=5)
ill("nan-batch-100", nonfinite, mlp, adam(), steps=150, transform=lambda: poisoned(100))
ill("nan-cnn-60", nonfinite, cnn, sgd(), steps=100, transform=lambda: poisoned(60))
ill("nan-lstm-20", nonfinite, Recurrent, adam(), steps=60, transform=lambda: poisoned(20))
for _lr in (0.3, 1.0, 5.0):
    ill(f"regression-sgd-{_lr}", f"{explodes} {nonfinite}", lambda: mlp(3, outputs=1), sgd(_lr), **NUMBERS)
ill(
    "autoencoder-sgd-20",
    f"{explodes} {nonfinite}",
    autoencoder,
    sgd(20.0, momentum=0.9),
    steps=100,
    **PICTURE,
)
ill("autoencoder-sgd-100", f"{explodes} {nonfinite}", autoencoder, sgd(100.0), steps=100, **PICTURE)
ill("diabetes-sgd-2", f"{explodes} {nonfinite}", lambda: mlp(2, 32, inputs=10, outputs=1), sgd(2.0),
    loss_fn=nn.MSELoss(), batch=32, **DIABETES)  # fmt: skip
ill("mlp-sgd-20", explodes + " dead-units", mlp, sgd(20.0))
ill("mlp-sgd-100", explodes + " dead-units", mlp, sgd(100.0))
ill("mlp-adam-1", explodes + " dead-units", lambda: mlp(4), adam(1.0))
ill("cnn-sgd-10", explodes + " dead-units", cnn, sgd(10.0))
ill("cnn-adam-0.3", explodes + " dead-units loss-not-decreasing", cnn, adam(0.3))
ill("lstm-adam-1", explodes + " loss-not-decreasing saturated-activations", Recurrent, adam(1.0))
ill("attention-adam-0.5", explodes + " loss-not-decreasing", Attention, adam(0.5), steps=150)
ill("attention-sgd-10", explodes + " loss-not-decreasing", Attention, sgd(10.0), steps=150)
ill(
    "rnn-large-recurrent",
    explodes + " " + nonfinite + " saturated-activations",
    lambda: Recurrent("RNN", scale=20),
    sgd(1.0),
)
ill("mlp-large-init-sgd", explodes + " dead-units " + nonfinite, lambda: mlp(5, init=big(1.0)), sgd(0.1))
ill(
    "mlp-large-init-momentum",
    explodes + " dead-units " + nonfinite,
    lambda: mlp(3, init=big(1.0)),
    sgd(0.1, momentum=0.9),
)
ill("resnet-sgd-5", explodes + " " + nonfinite, lambda: resnet(8, norm=None), sgd(5.0))
ill("late-rate-jump", explodes + " dead-units " + nonfinite, lambda: mlp(3), sgd(0.1),
    lambda o: LambdaLR(o, lambda s: 1.0 if s < 100 else 300.0), steps=200)  # fmt: skip
ill("late-rate-jump-cnn", explodes + " dead-units " + nonfinite, cnn, sgd(0.1),
    lambda o: LambdaLR(o, lambda s: 1.0 if s < 120 else 200.0), steps=200)  # fmt: skip
for _depth in (5, 6, 8, 12, 20):
    ill(f"sigmoid-{_depth}-sgd", vanishes, lambda d=_depth: mlp(d, 48, "sigmoid"), sgd(0.1), steps=200)
ill("sigmoid-6-momentum", vanishes, lambda: mlp(6, 48, "sigmoid"), sgd(0.1, momentum=0.9), steps=200)
ill("sigmoid-12-adam", vanishes, lambda: mlp(12, 48, "sigmoid"), adam(1e-3), steps=200)
ill("sigmoid-8-xavier", vanishes, lambda: mlp(8, 48, "sigmoid", init=xavier), sgd(0.1), steps=200)
ill("sigmoid-10-30-steps", vanishes, lambda: mlp(10, 48, "sigmoid"), sgd(0.1), steps=30)
ill("tanh-10-small-init", vanishes, lambda: mlp(10, 48, "tanh", init=big(0.05)), sgd(0.1), steps=200)
ill("relu-10-small-init", vanishes, lambda: mlp(10, 64, init=big(0.05)), sgd(0.1), steps=200)
ill("relu-20-default", vanishes, lambda: mlp(20, 32), sgd(0.1), steps=200)
ill("elu-12-small-init", vanishes, lambda: mlp(12, 48, "elu", init=big(0.05)), sgd(0.05), steps=200)
for _n in (20, 40, 60):
    ill(
        f"overfit-{_n}-adam",
        overfits,
        lambda: mlp(2, 256),
        adam(3e-3),
        data=few(_n),
        steps=400,
        batch=30,
        every=5,
    )
ill(
    "overfit-noise",
    overfits,
    lambda: mlp(2, 256),
    adam(3e-3),
    data=few(300),
    label_noise=0.4,
    steps=500,
    every=5,
)
ill("overfit-noise-cnn", overfits, cnn, adam(1e-2), data=few(300), label_noise=0.4, steps=400, every=5)
ill("overfit-noise-sgd", overfits, lambda: mlp(2, 256), sgd(0.2, momentum=0.9), data=few(300), label_noise=0.4,
    steps=500, every=5)  # fmt: skip
ill("overfit-letters", overfits, lambda: Letters(width=128), adam(1e-2), steps=300, batch=32, every=5, **TEXT)
ill("overfit-diabetes", overfits, lambda: mlp(2, 128, inputs=10, outputs=1), adam(3e-3), loss_fn=nn.MSELoss(), batch=32,
    steps=600, every=5, **DIABETES)  # fmt: skip
ill(
    "overfit-lstm",
    overfits,
    lambda: Recurrent(width=64),
    adam(1e-2),
    data=few(100),
    label_noise=0.3,
    steps=400,
    every=5,
)


class Cut(nn.Module):
    """Its body is cut off the graph."""

    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(2, outputs=32), nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.body(x).detach())


def replaced(place):
    """An optimizer of the parameters as they were before the layer at ``place`` was replaced."""

    def optimizer(parameters):
        return SGD([p for i, p in enumerate(parameters) if i // 2 != place], lr=0.1)

    return optimizer


def biased(model, value=-20.0):
    with torch.no_grad():
        list(model.parameters())[3].fill_(value)
    return model


stuck = "loss-not-decreasing"
dead = "dead-units poor-initialization learning-rate-too-high"
saturated = "saturated-activations poor-initialization"
ill("cut-graph", "missing-gradients", Cut, sgd())
ill("forgotten-first", "parameters-not-updated", lambda: mlp(3), replaced(0))
ill("forgotten-middle", "parameters-not-updated", lambda: mlp(3), replaced(1))
ill("forgotten-last", "parameters-not-updated", lambda: mlp(3), replaced(3))
ill("rate-zero", f"parameters-not-updated learning-rate-too-low {stuck}", mlp, sgd(0.0))
ill("dead-on-arrival", dead, lambda: biased(mlp(3)), sgd())
ill("dead-on-arrival-adam", dead, lambda: biased(mlp(3), -60.0), adam())
ill("saturated-tanh", f"{saturated} {stuck}", lambda: mlp(4, 48, "tanh", init=big(10.0)), sgd(0.01), steps=200)
ill(
    "saturated-sigmoid",
    f"{saturated} {stuck}",
    lambda: mlp(4, 48, "sigmoid", init=big(10.0)),
    sgd(0.01),
    steps=200,
)
ill("raw-pixels-tanh", f"{saturated} {stuck} unnormalized-inputs", lambda: mlp(3, 48, "tanh", init=big(0.5)), sgd(0.01),
    steps=200, transform=lambda: lambda x, y: (x * 255, y))  # fmt: skip
ill("shuffled-labels", stuck, mlp, sgd(0.05), steps=200,
    transform=lambda: lambda x, y: (x, y[torch.randperm(len(y))]))  # fmt: skip
ill("all-zero", f"symmetric-initialization missing-gradients {stuck} dead-units",
    lambda: initialised(mlp(2), nn.init.zeros_), sgd(), steps=150)  # fmt: skip
ill("all-constant", f"symmetric-initialization {stuck}",
    lambda: initialised(mlp(2), lambda w: nn.init.constant_(w, 0.01)), sgd(), steps=150)  # fmt: skip
ill("all-constant-tanh", f"symmetric-initialization {stuck}",
    lambda: initialised(mlp(2, act="tanh"), lambda w: nn.init.constant_(w, 0.1)), sgd(), steps=150)  # fmt: skip
ill("sigmoid-6-layernorm-300", "training-too-short", lambda: mlp(6, 64, "sigmoid", "layer"), adam(5e-3), steps=300)
ill("wrong-sign", "loss-diverging " + explodes, lambda: mlp(2), lambda p: SGD(p, lr=0.05, maximize=True))
ill("wrong-sign-lstm", "loss-diverging " + explodes, Recurrent, lambda p: Adam(p, lr=3e-3, maximize=True))
