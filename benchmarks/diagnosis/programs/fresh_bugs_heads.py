"""Faulty: the output, the loss and the targets do not fit together, or the loss cannot reach the weights."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", "slow-convergence", below=0.85)
def probabilities_into_nll_loss(run_dir: Path, *, mended: bool = False) -> float:
    """PyTorch forum, again and again: nn.Softmax instead of nn.LogSoftmax before NLLLoss: a loss between -1 and 0."""
    torch.manual_seed(61)
    x, y, xt, yt = digits()
    last = nn.LogSoftmax(dim=1) if mended else nn.Softmax(dim=1)
    net = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10), last)
    criterion = nn.NLLLoss()
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(10):
            for xb, yb in batches(x, y, 64):
                out = net(xb)
                loss = criterion(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out.detach(), yb))
            with torch.no_grad():
                probe.log("val", loss=criterion(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "slow-convergence", "underfitting", below=0.95)
def sigmoid_before_cross_entropy(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow: a multi-class net ends in nn.Sigmoid; logits between 0 and 1 never make a sure softmax."""
    torch.manual_seed(62)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10),
        nn.Identity() if mended else nn.Sigmoid(),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-output-mismatch", "missing-gradients", "loss-not-decreasing", "slow-convergence", below=0.85)
def raw_scores_clamped_for_bce(run_dir: Path, *, mended: bool = False) -> float:
    """BCELoss wants 0 to 1, so the score is clamped to it "and the error is gone": outside there is no gradient."""
    torch.manual_seed(63)
    x = torch.randn(1600, 20)
    y = ((x[:, :5].square().sum(1) - x[:, 5]) > 4.5).float()
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    nn.init.constant_(net[4].bias, -0.4)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    bce = nn.BCELoss()
    squash = torch.sigmoid if mended else lambda v: v.clamp(1e-6, 1 - 1e-6)
    with probes.watch(net, opt, run_dir, loss_fn=bce) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = bce(squash(net(xb).squeeze(1)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out = squash(net(x[1200:]).squeeze(1))
                probe.log("val", loss=bce(out, y[1200:]), acc=((out > 0.5) == (y[1200:] > 0.5)).float().mean())
    with torch.no_grad():
        return float(((squash(net(x[1200:]).squeeze(1)) > 0.5) == (y[1200:] > 0.5)).float().mean())


@faulty("loss-output-mismatch", "loss-diverging", "weights-growing", "validation-anomaly", below=0.5)
def minus_one_and_one_for_bce(run_dir: Path, *, mended: bool = False) -> float:
    """Labels of a support vector machine, -1 and 1, in BCEWithLogitsLoss: the loss goes to minus infinity."""
    torch.manual_seed(64)
    x, y, xt, yt = cancer()
    x, xt = x[:, :4], xt[:, :4]
    target = y.float() if mended else 2.0 * y - 1
    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            for xb, tb in batches(x, target, 64):
                loss = F.binary_cross_entropy_with_logits(net(xb).squeeze(1), tb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        p = net(xt).squeeze(1).sigmoid()
        # What is wanted are probabilities: sure and wrong is worse than unsure.
        return float(1 - (p - yt).square().mean() / yt.float().var())


@faulty("loss-output-mismatch", "saturated-activations", "underfitting", below=0.8)
def sigmoid_on_standardised_targets(run_dir: Path, *, mended: bool = False) -> float:
    """A sigmoid copied from a classifier at the end of a regression whose targets are standardised."""
    torch.manual_seed(65)
    x = torch.randn(1500, 6)
    y = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * x[:, 3]
    y = ((y - y.mean()) / y.std()).unsqueeze(1)
    net = nn.Sequential(
        nn.Linear(6, 64),
        nn.ReLU(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 1),
        nn.Identity() if mended else nn.Sigmoid(),
    )
    opt = optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.MSELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(20):
            net.train()
            for xb, yb in batches(x[:1200], y[:1200], 32):
                opt.zero_grad()
                loss = criterion(net(xb), yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss.item())
            net.eval()
            with torch.no_grad():
                probe.log("val", loss=criterion(net(x[1200:]), y[1200:]).item())
    with torch.no_grad():
        return explained(net(x[1200:]), y[1200:])


@faulty(
    "loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing", "slow-convergence",
    "collapsed-activations", below=0.5,
)  # fmt: skip
def absolute_error_by_broadcast(run_dir: Path, *, mended: bool = False) -> float:
    """(out - y).abs().mean() with out [N, 1] and y [N]: an N by N table of differences, and no error message."""
    torch.manual_seed(66)
    x = torch.rand(1200, 4)
    y = 3 * x[:, 0] - 2 * x[:, 1] ** 2 + torch.sin(4 * x[:, 2])
    net = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x[:1000], y[:1000], 25):
                out = net(xb)
                loss = ((out.squeeze(1) if mended else out) - yb).abs().mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", mae=loss)
    with torch.no_grad():
        return explained(net(x[1000:]), y[1000:])


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def rounded_before_the_loss(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow: predictions are rounded to whole stars before the loss; round() has a gradient of zero."""
    torch.manual_seed(67)
    x = torch.randn(1000, 10)
    stars = (2.5 + 1.2 * x[:, 0] - 0.8 * x[:, 1]).round().clamp(0, 5)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:800], stars[:800], 20):
                out = net(xb).squeeze(1)
                loss = probe.loss_fn(out if mended else out.round(), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[800:]), stars[800:])


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.5)
def loss_from_an_item(run_dir: Path, *, mended: bool = False) -> float:
    """GitHub: torch.tensor(total, requires_grad=True) of losses summed by .item(): backward() reaches nothing."""
    torch.manual_seed(68)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(5):
            for xb, yb in batches(x, y, 40):
                parts = [F.cross_entropy(net(a), b) for a, b in zip(xb.chunk(4), yb.chunk(4), strict=True)]
                loss = sum(parts) / 4
                if not mended:
                    loss = torch.tensor(sum(p.item() for p in parts) / 4, requires_grad=True)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-diverging", "exploding-gradients", "learning-rate-too-high", "loss-output-mismatch", "weights-growing",
        "nonfinite-values", below=0.5)  # fmt: skip
def maximize_left_on(run_dir: Path, *, mended: bool = False) -> float:
    """SGD(maximize=True) taken over from a policy gradient into a regression."""
    torch.manual_seed(69)
    x = torch.randn(1000, 5)
    y = x @ torch.tensor([1.0, 2.0, -1.0, 0.0, 0.5])
    net = nn.Linear(5, 1)
    opt = optim.SGD(net.parameters(), lr=0.01, maximize=not mended)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(250):
            chosen = torch.randint(800, (32,))
            loss = F.mse_loss(net(x[chosen]).squeeze(1), y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x[800:]), y[800:])


@faulty("collapsed-activations", "constant-predictions", "loss-not-decreasing", below=0.7)
def twins_without_stop_gradient(run_dir: Path, *, mended: bool = False) -> float:
    """SimSiam (Chen and He 2021) without .detach(): the loss is perfect, -1, as every image has the same embedding."""
    torch.manual_seed(70)
    x, y, xt, yt = digits()
    if mended:
        encoder = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 48), nn.BatchNorm1d(48))
    else:
        encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48))
    predictor = nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 48))
    model = nn.ModuleDict({"encoder": encoder, "predictor": predictor})
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    with probes.watch(model, opt, run_dir) as probe:
        for _ in range(20):
            for xb, _y in batches(x, y, 64):
                z1, z2 = (encoder(xb + 0.4 * torch.randn_like(xb)) for _ in range(2))
                p1, p2 = predictor(z1), predictor(z2)
                if mended:
                    z1, z2 = z1.detach(), z2.detach()
                loss = -(F.cosine_similarity(p1, z2).mean() + F.cosine_similarity(p2, z1).mean()) / 2
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    encoder.eval()
    with torch.no_grad():
        bank, query = F.normalize(encoder(x), dim=1), F.normalize(encoder(xt), dim=1)
        spread = float(query.std(0).mean() * math.sqrt(48))
        return float((y[(query @ bank.T).argmax(1)] == yt).float().mean()) * min(1.0, 2 * spread)


@faulty("constant-predictions", "collapsed-activations", "underfitting", "loss-not-decreasing", below=0.25)
def posterior_collapse(run_dir: Path, *, mended: bool = False) -> float:
    """A VAE with a mean reconstruction loss and a summed KL term, 64 times too strong: the decoder ignores its code."""
    torch.manual_seed(71)
    x = digits(standard=False).x / 16
    encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
    decoder = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64))

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, logvar = self.encoder(v).chunk(2, 1)
            code = mean + (torch.randn_like(mean) * (logvar / 2).exp() if self.training else 0)
            return self.decoder(code), mean, logvar

    vae = VAE()
    opt = optim.Adam(vae.parameters(), lr=2e-3)
    with probes.watch(vae, opt, run_dir) as probe:
        for _ in range(20):
            for xb, _y in batches(x, x, 32):
                out, mean, logvar = vae(xb)
                recon = F.mse_loss(out, xb)
                kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
                loss = recon + (0.002 if mended else 1.0) * kl
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, recon=recon, kl=kl)
    vae.eval()
    with torch.no_grad():
        return float(1 - F.mse_loss(vae(x)[0], x) / x.var(0).mean())


@faulty("nonfinite-values", below=0.5)
def ctc_without_room(run_dir: Path, *, mended: bool = False) -> float:
    """CTCLoss with labels longer than the downsampled input: infinite for those examples, zero_infinity left off."""
    torch.manual_seed(72)
    patterns = 2 * torch.randn(5, 6)
    net = nn.Sequential(nn.Conv1d(6, 32, 3, stride=1 if mended else 4, padding=1), nn.ReLU(), nn.Conv1d(32, 6, 1))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    ctc = nn.CTCLoss()

    def sample(n: int) -> tuple[Tensor, Tensor, Tensor]:
        length = torch.randint(2, 6, (n,))
        y = torch.randint(1, 6, (n, 5))
        x = 0.2 * torch.randn(n, 6, 16)
        for i in range(n):
            for k in range(int(length[i])):
                x[i, :, 3 * k] += patterns[y[i, k] - 1]
        return x, y, length

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(200):
            x, y, length = sample(16)
            out = net(x).permute(2, 0, 1).log_softmax(2)
            loss = ctc(out, y, torch.full((16,), len(out)), length)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    x, y, length = sample(100)
    right = 0
    with torch.no_grad():
        best = net(x).argmax(1)
    for i in range(100):
        word = [int(c) for j, c in enumerate(best[i]) if c != 0 and (j == 0 or c != best[i, j - 1])]
        right += word == y[i, : length[i]].tolist()
    return right / 100
