"""Healthy trainings of the tenth set: short ones that do their job, long ones of tiny steps, and much that is noise."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as pictures
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.3)
def three_numbers_that_calibrate_a_naive_bayes(run_dir: Path) -> float:
    """Beta calibration (Kull et al. 2017): a, b and c make the scores of an overconfident naive Bayes honest."""
    torch.manual_seed(3301)
    x, y = make_classification(3000, 20, n_informative=5, n_redundant=12, flip_y=0.25, random_state=1)
    bayes = GaussianNB().fit(x[:1000], y[:1000])
    p = torch.tensor(bayes.predict_proba(x)[:, 1], dtype=torch.float32).clamp(1e-6, 1 - 1e-6)
    target = torch.tensor(y, dtype=torch.float32)

    class BetaCalibration(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.ones(()))
            self.b = nn.Parameter(torch.ones(()))
            self.c = nn.Parameter(torch.zeros(()))

        def forward(self, p: Tensor) -> Tensor:
            return self.a * p.log() - self.b * (1 - p).log() + self.c

    calibrator = BetaCalibration()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(calibrator.parameters(), lr=0.05)
    with torch.no_grad():
        before = criterion(calibrator(p[2000:]), target[2000:])
    with probes.watch(calibrator, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(80):
            optimizer.zero_grad()
            loss = probe.loss_fn(calibrator(p[1000:2000]), target[1000:2000])
            loss.backward()
            optimizer.step()
            probe.log("calibration", nll=loss.item())
    with torch.no_grad():
        return float(1 - criterion(calibrator(p[2000:]), target[2000:]) / before)


@healthy(at_least=0.95)
def bricks_painted_by_their_gram_matrices(run_dir: Path) -> float:
    """Texture synthesis (Gatys 2015, random filters as Ustyuzhaninov 2016): the image is the parameter, L-BFGS."""
    torch.manual_seed(3302)
    brick = torch.tensor(pictures.brick()[100:196, 100:196].astype(np.float32))[None, None]
    brick = F.avg_pool2d(brick, 2)
    brick = (brick - brick.mean()) / brick.std()
    filters = [torch.randn(24, 1, k, k) / k for k in (3, 7, 11)]

    def grams(picture: Tensor) -> list[Tensor]:
        made = []
        for w in filters:
            h = F.relu(F.conv2d(picture, w)).flatten(2)[0]
            made.append(h @ h.T / h.shape[1])
        return made

    class Canvas(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Parameter(torch.randn(1, 1, 48, 48))

        def forward(self) -> list[Tensor]:
            return grams(self.image)

    goal = grams(brick)
    canvas = Canvas()
    opt = optim.LBFGS([canvas.image], lr=1.0, max_iter=5, history_size=20, line_search_fn="strong_wolfe")

    def style() -> Tensor:
        return torch.stack([F.mse_loss(g, t) for g, t in zip(canvas(), goal, strict=True)]).sum()

    def closure() -> Tensor:
        opt.zero_grad()
        loss = 1e3 * style()
        loss.backward()
        return loss

    first = style().item()
    with probes.watch(canvas, opt, run_dir) as probe:
        for _ in range(40):
            probe.log("style", loss=opt.step(closure))
    return 1 - style().item() / first


@healthy(at_least=0.67)
def rows_four_thousand_at_a_time(run_dir: Path) -> float:
    """A Kaggle "tabular playground" starter: 40,000 rows, batch 4,096, AdamW under OneCycle; 0.7 is the limit."""
    torch.manual_seed(3303)
    x = torch.randn(40000, 18)
    x[:, 12:] = (x[:, 12:] > 0.3).float()
    logit = (
        0.6 * x[:, 0]
        - 0.7 * x[:, 1]
        + 0.6 * torch.tanh(2 * x[:, 2])
        + 0.5 * x[:, 12] * x[:, 3]
        - 0.4 * x[:, 4].clamp(min=0)
    )
    y = (torch.rand(40000) < torch.sigmoid(logit + 0.3)).float()
    model = nn.Sequential(
        nn.BatchNorm1d(18),
        nn.Linear(18, 128),
        nn.SiLU(),
        nn.Dropout(0.1),
        nn.Linear(128, 64),
        nn.SiLU(),
        nn.Linear(64, 1),
    )
    opt = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    epochs, bs = 9, 4096
    scheduler = optim.lr_scheduler.OneCycleLR(opt, max_lr=1e-2, total_steps=epochs * (32000 // bs))
    valid = 0.0
    with probes.watch(model, opt, run_dir, config={"epochs": epochs, "batch_size": bs}) as probe:
        for epoch in range(epochs):
            model.train()
            running = []
            for xb, yb in batches(x[:32000], y[:32000], bs):
                opt.zero_grad(set_to_none=True)
                loss = F.binary_cross_entropy_with_logits(model(xb).squeeze(1), yb)
                loss.backward()
                opt.step()
                scheduler.step()
                running.append(loss.item())
            model.eval()
            with torch.no_grad():
                out = model(x[32000:]).squeeze(1)
                valid = float(((out > 0) == (y[32000:] > 0)).float().mean())
                val_loss = F.binary_cross_entropy_with_logits(out, y[32000:])
            probe.log("fold0", epoch=epoch, train_logloss=np.mean(running), valid_logloss=val_loss, valid_acc=valid)
    return valid


@healthy(at_least=0.93)
def a_body_held_still_in_evaluation_mode(run_dir: Path) -> float:
    """Keras' transfer learning guide: a body that learned digits 0 to 4 is frozen, training=False; 5 to 9 are new."""
    torch.manual_seed(3304)
    x, y, xt, yt = digits(flat=False)
    body = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 48, 3, padding=1),
        nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(48, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    old = nn.Sequential(body, nn.Linear(768, 5))
    before = optim.Adam(old.parameters(), lr=1e-3)
    for _ in range(6):
        for xb, yb in batches(x[y < 5], y[y < 5], 32):
            before.zero_grad()
            F.cross_entropy(old(xb), yb).backward()
            before.step()

    body.requires_grad_(False)
    model = nn.Sequential(body, nn.Dropout(0.2), nn.Linear(768, 5))
    opt = optim.RMSprop([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    xn, yn, xv, yv = x[y > 4], y[y > 4] - 5, xt[yt > 4], yt[yt > 4] - 5
    with probes.watch(model, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(4):
            model.train()
            body.eval()
            for xb, yb in batches(xn, yn, 32):
                out = model(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, accuracy=accuracy(out, yb))
            model.eval()
            with torch.no_grad():
                out = model(xv)
            probe.log("val", loss=F.cross_entropy(out, yv), accuracy=accuracy(out, yv))
    return accuracy(out, yv)


@healthy(at_least=0.93)
def rows_of_weights_no_longer_than_three(run_dir: Path) -> float:
    """Srivastava 2014: 2.4 million weights, a fifth of the input, half of each layer dropped, max-norm, high rate."""
    torch.manual_seed(3305)
    x, y, xt, yt = digits(flat=False, standard=False)

    def large(v: Tensor) -> Tensor:
        return F.interpolate(v / 16, size=(28, 28), mode="bilinear").flatten(1)

    x, xt = large(x), large(xt)
    net = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(784, 1200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1200, 1200), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(1200, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    decay = optim.lr_scheduler.ExponentialLR(opt, 0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            net.train()
            for xb, yb in batches(x, y, 100):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                with torch.no_grad():
                    for layer in net:
                        if isinstance(layer, nn.Linear):
                            layer.weight.copy_(torch.renorm(layer.weight, 2, 0, 3.0))
                probe.log("train", loss=loss)
            decay.step()
            net.eval()
            with torch.no_grad():
                probe.log("test", error_percent=100 * (1 - accuracy(net(xt), yt)))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def an_epidemic_in_three_numbers(run_dir: Path) -> float:
    """An SIR model fitted to sixty days of counts by Rprop, then asked for the thirty days after."""
    torch.manual_seed(3306)

    class Epidemic(nn.Module):
        def __init__(self, contact: float, recovery: float, start: float) -> None:
            super().__init__()
            self.log_contact = nn.Parameter(torch.tensor(math.log(contact)))
            self.log_recovery = nn.Parameter(torch.tensor(math.log(recovery)))
            self.log_start = nn.Parameter(torch.tensor(math.log(start)))

        def forward(self, days: int) -> Tensor:
            contact, recovery = self.log_contact.exp(), self.log_recovery.exp()
            ill = self.log_start.exp()
            healthy_share = 1 - ill
            course = []
            for _ in range(days):
                for _ in range(2):
                    new = 0.5 * contact * healthy_share * ill
                    healthy_share, ill = healthy_share - new, ill + new - 0.5 * recovery * ill
                course.append(ill)
            return torch.stack(course)

    with torch.no_grad():
        truth = Epidemic(0.32, 0.12, 0.002)(90)
        seen = truth * (0.12 * torch.randn(90)).exp()
    model = Epidemic(0.6, 0.3, 0.001)
    opt = optim.Rprop(model.parameters(), lr=0.01)
    with probes.watch(model, opt, run_dir) as probe:
        for step in range(150):
            opt.zero_grad()
            loss = 1e4 * F.mse_loss(model(60), seen[:60])
            loss.backward()
            opt.step()
            if step % 10 == 0:
                probe.log("fit", mse_per_10000=loss, r0=(model.log_contact - model.log_recovery).exp())
    with torch.no_grad():
        return explained(model(90)[60:], truth[60:])


@healthy(at_least=0.66)
def deep_and_cross_for_clicks(run_dir: Path) -> float:
    """DCN (Wang 2017) for advertisements: one pass over 60,000 of them by Adagrad, a tenth clicked, AUC 0.7 is good."""
    torch.manual_seed(3307)
    n, sizes = 64000, (300, 40, 120, 12, 24, 7)
    ids = torch.stack([(torch.rand(n) ** 2 * s).long() for s in sizes], 1)
    dense = torch.randn(n, 5)
    effects = [torch.randn(s) * 0.4 for s in sizes]
    pair = 0.5 * torch.randn(sizes[3], sizes[4])
    logit = -2.5 + sum(e[ids[:, i]] for i, e in enumerate(effects)) + pair[ids[:, 3], ids[:, 4]] + 0.3 * dense[:, 0]
    y = (torch.rand(n) < torch.sigmoid(logit)).float()

    class DeepCross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList(nn.Embedding(s, 8) for s in sizes)
            for table in self.tables:
                nn.init.normal_(table.weight, std=0.1)
            width = 8 * len(sizes) + 5
            self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
            self.deep = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
            self.out = nn.Linear(width + 32, 1)

        def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
            x0 = torch.cat([t(ids[:, i]) for i, t in enumerate(self.tables)] + [dense], 1)
            x = x0
            for layer in self.cross:
                x = x0 * layer(x) + x
            return self.out(torch.cat([x, self.deep(x0)], 1)).squeeze(1)

    net = DeepCross()
    opt = optim.Adagrad(net.parameters(), lr=0.03)
    criterion = nn.BCEWithLogitsLoss()
    auc = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for step in range(600):
            part = slice(100 * step, 100 * step + 100)
            loss = probe.loss_fn(net(ids[part], dense[part]), y[part])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", logloss=loss)
            if step % 100 == 99:
                with torch.no_grad():
                    out = net(ids[60000:], dense[60000:])
                auc = float(roc_auc_score(y[60000:].numpy(), out.numpy()))
                probe.log("valid", logloss=criterion(out, y[60000:]), auc=auc)
    return auc


@healthy(at_least=0.85)
def neighbours_out_of_a_queue(run_dir: Path) -> float:
    """NNCLR (Dwibedi 2021) of digits: the positive is the nearest in a queue of 512; bfloat16, warm-up and cosine."""
    torch.manual_seed(3308)
    x, y, xt, yt = digits()

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU())
            self.project = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
            self.predict = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            z = self.project(self.body(v))
            return F.normalize(z, dim=1), F.normalize(self.predict(z), dim=1)

    def view(v: Tensor) -> Tensor:
        moved = torch.roll(v.view(-1, 8, 8), int(torch.randint(-1, 2, ())), int(torch.randint(1, 3, ()))).flatten(1)
        return (moved + 0.3 * torch.randn_like(moved)) * (torch.rand_like(moved) > 0.15)

    net = Encoder()
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    steps = 400
    scheduler = optim.lr_scheduler.SequentialLR(
        opt,
        [optim.lr_scheduler.LinearLR(opt, 0.05, 1.0, 40), optim.lr_scheduler.CosineAnnealingLR(opt, steps - 40)],
        milestones=[40],
    )
    queue = F.normalize(torch.randn(512, 32), dim=1)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(steps):
            chosen = x[torch.randint(len(x), (128,))]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                z1, p1 = net(view(chosen))
                z2, p2 = net(view(chosen))
            z1, z2, p1, p2 = z1.float(), z2.float(), p1.float(), p2.float()
            with torch.no_grad():
                near1, near2 = queue[(z1 @ queue.T).argmax(1)], queue[(z2 @ queue.T).argmax(1)]
            same = torch.arange(128)
            loss = (F.cross_entropy(near1 @ p2.T / 0.1, same) + F.cross_entropy(near2 @ p1.T / 0.1, same)) / 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            queue = torch.cat([z1.detach(), queue])[:512]
            if step % 10 == 0:
                probe.log("ssl", nnclr_loss=loss.item(), lr=scheduler.get_last_lr()[0])
    net.eval()
    with torch.no_grad():
        inside, outside = net.body(x).numpy(), net.body(xt).numpy()
    return float(LogisticRegression(max_iter=500).fit(inside, y.numpy()).score(outside, yt.numpy()))


@healthy(at_least=0.95)
def hidden_layers_mixed_at_a_random_depth(run_dir: Path) -> float:
    """Manifold mixup (Verma 2019) with smoothed labels, milestones, and weights averaged for the evaluation."""
    torch.manual_seed(3309)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
                for i, o in ((1, 16), (16, 32), (32, 32))
            )
            self.head = nn.Linear(32 * 4, 10)

        def forward(self, v: Tensor, at: int = -1, share: float = 1.0, other: Tensor | None = None) -> Tensor:
            for depth, block in enumerate(self.blocks):
                if depth == at and other is not None:
                    v = share * v + (1 - share) * v[other]
                v = block(v)
            return self.head(F.adaptive_avg_pool2d(v, 2).flatten(1))

    net = Net()
    average = copy.deepcopy(net)
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.MultiStepLR(opt, [10, 15], 0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(18):
            net.train()
            losses = []
            for xb, yb in batches(x, y, 64):
                share = float(np.random.default_rng(int(torch.randint(1 << 30, ()))).beta(2.0, 2.0))
                other = torch.randperm(len(xb))
                out = net(xb, int(torch.randint(3, ())), share, other)
                loss = share * F.cross_entropy(out, yb, label_smoothing=0.1)
                loss = loss + (1 - share) * F.cross_entropy(out, yb[other], label_smoothing=0.1)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
                with torch.no_grad():
                    for kept, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                        kept.lerp_(now, 0.05) if kept.is_floating_point() else kept.copy_(now)
            scheduler.step()
            average.eval()
            with torch.no_grad():
                out = average(xt)
            probe.log("epoch", train_loss=sum(losses) / len(losses), val_loss=F.cross_entropy(out, yt),
                      val_acc=accuracy(out, yt), number=epoch)  # fmt: skip
    return accuracy(out, yt)


class AdaBelief(optim.Optimizer):
    """Zhuang 2020, as people copy it: steps are small where the gradient was not expected."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, m=torch.zeros_like(p), s=torch.zeros_like(p))
                state["t"] += 1
                state["m"].lerp_(p.grad, 1 - b1)
                surprise = p.grad - state["m"]
                state["s"].mul_(b2).addcmul_(surprise, surprise, value=1 - b2).add_(1e-16)
                root = (state["s"] / (1 - b2 ** state["t"])).sqrt_().add_(1e-8)
                p.addcdiv_(state["m"], root, value=-group["lr"] / (1 - b1 ** state["t"]))


@healthy(at_least=0.85)
def upright_shapes_first(run_dir: Path) -> float:
    """Curriculum learning (Bengio 2009): squares, circles, triangles first; any, turned and pale, from step 250."""
    torch.manual_seed(3310)
    across = torch.linspace(-1, 1, 20)
    rows, columns = torch.meshgrid(across, across, indexing="ij")

    def shapes(n: int, hard: bool) -> tuple[Tensor, Tensor]:
        y = torch.randint(3, (n,))
        turn = (6.3 * torch.rand(n) if hard else torch.zeros(n))[:, None, None]
        size = 0.4 + 0.25 * torch.rand(n, 1, 1)
        stretch = 1 + (0.5 * torch.rand(n, 1, 1) if hard else torch.zeros(n, 1, 1))
        middle = 0.2 * torch.randn(n, 2, 1, 1) if hard else torch.zeros(n, 2, 1, 1)
        u, v = rows - middle[:, 0], columns - middle[:, 1]
        u, v = (u * turn.cos() - v * turn.sin()) / size * stretch, (u * turn.sin() + v * turn.cos()) / size
        square = torch.maximum(u.abs(), v.abs()) < 0.9
        circle = u**2 + v**2 < 1
        triangle = (u > -0.6) & (1.7 * v.abs() + u < 1.1)
        inside = torch.stack([square, circle, triangle], 1)[torch.arange(n), y].float()
        ground = 0.5 * torch.rand(n, 1, 1) if hard else torch.zeros(n, 1, 1)
        contrast = (0.3 + 0.4 * torch.rand(n, 1, 1)) if hard else torch.ones(n, 1, 1)
        return (ground + contrast * inside - 0.4)[:, None] / 0.3, y

    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32),
        nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 3),
    )  # fmt: skip
    opt = AdaBelief(net.parameters(), lr=1e-3)
    xt, yt = shapes(600, True)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(2000):
            x, y = shapes(32, step >= 250)
            loss = F.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("train", loss=loss)
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def shortest_ways_out_of_random_walks(run_dir: Path) -> float:
    """The decision transformer's first example (Chen 2021): random walks, conditioned on the steps still to go."""
    torch.manual_seed(3311)
    nodes, length = 20, 10
    ring = torch.arange(nodes)
    near = torch.stack([(ring - 1) % nodes, (ring + 1) % nodes, torch.randperm(nodes)], 1)
    distance = torch.full((nodes,), 99)
    distance[0] = 0
    for _ in range(nodes):
        distance = torch.minimum(distance, distance[near].min(1).values + 1)
        distance[0] = 0

    n = 6000
    walk = [torch.randint(1, nodes, (n,))]
    acts = []
    for _ in range(length):
        act = torch.randint(3, (n,))
        acts.append(act)
        walk.append(torch.where(walk[-1] == 0, 0, near[walk[-1], act]))
    states, moves = torch.stack(walk[:-1], 1), torch.stack(acts, 1)
    said = torch.where(states == 0, -100, moves)  # nothing to be learned after the arrival
    arrived = (torch.stack(walk, 1) == 0).long()
    when = torch.where(arrived.any(1), arrived.argmax(1), length + 1)
    to_go = (when[:, None] - torch.arange(length)).clamp(0, length + 1)

    class DecisionTransformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state, self.rest = nn.Embedding(nodes, 48), nn.Embedding(length + 2, 48)
            self.place = nn.Parameter(0.02 * torch.randn(length, 48))
            layer = nn.TransformerEncoderLayer(48, 2, 96, 0.1, batch_first=True, activation="gelu", norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(48), enable_nested_tensor=False)
            self.head = nn.Linear(48, 3)

        def forward(self, s: Tensor, r: Tensor) -> Tensor:
            t = s.shape[1]
            mask = nn.Transformer.generate_square_subsequent_mask(t)
            return self.head(self.blocks(self.state(s) + self.rest(r) + self.place[:t], mask=mask, is_causal=True))

    net = DecisionTransformer()
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    warm_up = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 100, 1))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(700):
            ix = torch.randint(n, (64,))
            loss = F.cross_entropy(net(states[ix], to_go[ix]).flatten(0, 1), said[ix].flatten(), ignore_index=-100)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            opt.step()
            warm_up.step()
            if step % 10 == 9:
                probe.log("training", action_loss=loss)
    net.eval()
    here = torch.arange(1, nodes)
    passed, left = here[:, None], distance[here][:, None]
    with torch.no_grad():
        for _ in range(int(distance.max())):
            act = net(passed, left)[:, -1].argmax(1)
            after = torch.where(passed[:, -1] == 0, 0, near[passed[:, -1], act])
            passed = torch.cat([passed, after[:, None]], 1)[:, -length:]
            left = torch.cat([left, (left[:, -1:] - 1).clamp(min=0)], 1)[:, -length:]
    return float((passed[:, -1] == 0).float().mean())


@healthy(at_least=0.68)
def three_hundred_genes_and_a_heavy_decay(run_dir: Path) -> float:
    """Logistic regression on 300 genes that move together, with the decay that cross-validation picks: a half."""
    torch.manual_seed(3312)
    loadings = torch.randn(10, 300) * 0.5
    effect = torch.randn(10)

    def patients(n: int) -> tuple[Tensor, Tensor]:
        pathways = torch.randn(n, 10)
        genes = pathways @ loadings + torch.randn(n, 300)
        risk = pathways @ effect / effect.norm() * 1.3
        return genes / 1.9, (torch.rand(n) < torch.sigmoid(risk)).float()

    x, y = patients(600)
    xv, yv = patients(1500)
    model = nn.Linear(300, 1)
    opt = optim.SGD(model.parameters(), lr=0.02, weight_decay=0.5)
    criterion = nn.BCEWithLogitsLoss()
    with probes.watch(model, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(25):
            for xb, yb in batches(x, y, 20):
                loss = probe.loss_fn(model(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
    with torch.no_grad():
        return float(((model(xv).squeeze(1) > 0) == (yv > 0)).float().mean())


@healthy(at_least=0.85)
def a_tree_of_sigmoids_grown_by_descent(run_dir: Path) -> float:
    """A soft decision tree (Frosst & Hinton 2017) of depth five: gates should become sure, and that is saturation."""
    torch.manual_seed(3313)
    x, y, xt, yt = digits()
    depth = 5

    class SoftTree(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.splits = nn.Linear(64, 2**depth - 1)
            self.gate = nn.Sigmoid()
            self.leaves = nn.Parameter(0.01 * torch.randn(2**depth, 10))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            right = self.gate(self.splits(v))
            reach, first, penalty = torch.ones(len(v), 1), 0, torch.zeros(())
            for level in range(depth):
                g = right[:, first : first + 2**level]
                share = ((reach * g).sum(0) / reach.sum(0).clamp(min=1e-6)).clamp(0.01, 0.99)
                penalty = penalty - 0.5**level * 0.5 * (share.log() + (1 - share).log()).mean()
                reach = torch.stack([reach * (1 - g), reach * g], 2).flatten(1)
                first += 2**level
            return reach, self.leaves.log_softmax(1), penalty

    tree = SoftTree()
    opt = optim.NAdam(tree.parameters(), lr=0.01)
    with probes.watch(tree, opt, run_dir) as probe:
        for epoch in range(40):
            for xb, yb in batches(x, y, 64):
                reach, leaves, penalty = tree(xb)
                loss = -(reach * leaves[:, yb].T).sum(1).mean() + 0.1 * penalty
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            if epoch % 5 == 4:
                with torch.no_grad():
                    reach, leaves, _ = tree(xt)
                probe.log("test", acc=100 * accuracy(leaves[reach.argmax(1)], yt))
    return accuracy(leaves[reach.argmax(1)], yt)


@healthy(at_least=0.65)
def twenty_features_in_five_dimensions(run_dir: Path) -> float:
    """Toy models of superposition (Elhage 2022): relu(W'Wx + b) of features seldom there; most outputs are 0."""
    torch.manual_seed(3314)
    importance = 0.9 ** torch.arange(20.0)

    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(5, 20))
            nn.init.xavier_normal_(self.w)
            self.b = nn.Parameter(torch.zeros(20))
            self.relu = nn.ReLU()

        def forward(self, v: Tensor) -> Tensor:
            return self.relu(v @ self.w.T @ self.w + self.b)

    def features(n: int) -> Tensor:
        return torch.rand(n, 20) * (torch.rand(n, 20) < 0.05)

    toy = Toy()
    steps = 3000
    opt = optim.AdamW(toy.parameters(), lr=3e-3, weight_decay=1e-2)
    scheduler = optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, steps)
    with probes.watch(toy, opt, run_dir) as probe:
        for step in range(steps):
            x = features(512)
            loss = (importance * (x - toy(x)) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            scheduler.step()
            if step % 20 == 0:
                probe.log("toy", loss=loss)
    x = features(20000)
    with torch.no_grad():
        return float(1 - (importance * (x - toy(x)) ** 2).mean() / (importance * (x - x.mean(0)) ** 2).mean())


@healthy(at_least=0.15)
def wind_of_tomorrow_with_warm_restarts(run_dir: Path) -> float:
    """A fifth of the variance can be known at all: SGD, Huber loss, restarts after 100, 200 and 400 steps."""
    torch.manual_seed(3315)

    def days(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 10)
        signal = 0.6 * x[:, 0] + 0.5 * torch.tanh(2 * x[:, 1]) - 0.4 * x[:, 2] * (x[:, 3] > 0)
        return x, (signal + 1.5 * torch.randn(n)) / 2

    x, y = days(8000)
    xv, yv = days(2000)
    net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    restarts = optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=100, T_mult=2)
    criterion = nn.HuberLoss()
    r2 = 0.0
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for step in range(700):
            ix = torch.randint(len(x), (64,))
            loss = probe.loss_fn(net(x[ix]).squeeze(1), y[ix])
            opt.zero_grad()
            loss.backward()
            opt.step()
            restarts.step()
            probe.log("train", huber=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    out = net(xv).squeeze(1)
                r2 = explained(out, yv)
                probe.log("val", huber=criterion(out, yv), r2=r2)
    return r2


@healthy(at_least=0.75)
def concrete_until_patience_ends(run_dir: Path) -> float:
    """180 mixes of concrete: RAdam, a smaller rate on a plateau, stopped after 30 epochs without gain, best kept."""
    torch.manual_seed(3316)

    def mixes(n: int) -> tuple[Tensor, Tensor]:
        cement, water, age, fly, slag, sand = torch.rand(6, n)
        strength = 40 * cement * (1.4 - water) + 14 * torch.log1p(6 * age) + 10 * slag * age - 6 * fly
        return torch.stack([cement, water, age, fly, slag, sand], 1) * 3.4 - 1.7, (
            strength + 4 * torch.randn(n) - 32
        ) / 14

    x, y = mixes(180)
    xv, yv = mixes(80)
    xt, yt = mixes(400)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.RAdam(net.parameters(), lr=3e-3, weight_decay=1e-4)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(opt, patience=10, factor=0.5)
    best, since, kept = math.inf, 0, copy.deepcopy(net.state_dict())
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(300):
            total = 0.0
            for xb, yb in batches(x, y, 15):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 12
            with torch.no_grad():
                val = float(F.mse_loss(net(xv).squeeze(1), yv))
            probe.log("epoch", loss=total, val_loss=val, lr=opt.param_groups[0]["lr"])
            plateau.step(val)
            since += 1
            if val < best - 1e-4:
                best, since, kept = val, 0, copy.deepcopy(net.state_dict())
            if since >= 30:
                break
    net.load_state_dict(kept)
    with torch.no_grad():
        return explained(net(xt).squeeze(1), yt)


@healthy(at_least=0.98)
def an_oscillator_in_its_ground_state(run_dir: Path) -> float:
    """Variational Monte Carlo for x^2/2 + x^4: walkers, local energies; it is as good as it gets at 0.8038."""
    torch.manual_seed(3317)

    class Psi(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
            self.spread = nn.Parameter(torch.zeros(()))

        def forward(self, v: Tensor) -> Tensor:
            return self.net(v).squeeze(1) - 0.5 * F.softplus(self.spread) * v.squeeze(1) ** 2

    psi = Psi().double()
    opt = optim.Adam(psi.parameters(), lr=5e-3)
    walkers = torch.randn(400, 1, dtype=torch.float64)
    recent = []
    with probes.watch(psi, opt, run_dir) as probe:
        for step in range(900):
            with torch.no_grad():
                now = psi(walkers)
                for _ in range(8):
                    there = walkers + 0.9 * torch.randn_like(walkers)
                    new = psi(there)
                    go = torch.rand(400, dtype=torch.float64) < (2 * (new - now)).exp()
                    walkers, now = torch.where(go[:, None], there, walkers), torch.where(go, new, now)
            at = walkers.clone().requires_grad_()
            log_psi = psi(at)
            slope = torch.autograd.grad(log_psi.sum(), at, create_graph=True)[0]
            bend = torch.autograd.grad(slope.sum(), at, retain_graph=True)[0]
            with torch.no_grad():
                v = walkers.squeeze(1)
                energy = -0.5 * (bend + slope**2).squeeze(1) + 0.5 * v**2 + v**4
            loss = 2 * ((energy - energy.mean()) * log_psi).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            recent.append(float(energy.mean()))
            if step % 5 == 0:
                probe.log("vmc", energy=energy.mean(), variance=energy.var())
    return 1 - abs(float(np.mean(recent[-100:])) - 0.80377) / 0.80377


@healthy(at_least=0.69)
def pima_as_in_the_first_keras_tutorial(run_dir: Path) -> float:
    """Brownlee's first network, made-up patients: 12 and 8 ReLUs, a sigmoid, batch 10; three in four is the limit."""
    torch.manual_seed(3318)

    def patients(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 8)
        risk = 1.1 * x[:, 1] + 0.6 * x[:, 5] + 0.4 * x[:, 7] + 0.3 * x[:, 6] - 0.3 * x[:, 7] ** 2 - 0.5
        return x, (torch.rand(n) < torch.sigmoid(risk)).float()[:, None]

    x, y = patients(768)
    xt, yt = patients(2000)
    model = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    loss_fn = nn.BCELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.001)
    with probes.watch(model, optimizer, run_dir) as probe:
        for epoch in range(40):
            losses = []
            for xb, yb in batches(x, y, 10):
                loss = loss_fn(model(xb), yb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            with torch.no_grad():
                acc = (model(x).round() == y).float().mean()
            probe.log("train", epoch=epoch, loss=sum(losses) / len(losses), accuracy=acc)
    with torch.no_grad():
        return float((model(xt).round() == yt).float().mean())


@healthy(at_least=0.95)
def an_echo_cancelled_while_somebody_speaks(run_dir: Path) -> float:
    """Widrow and Hoff's filter, 50,000 samples one by one: the error that is left is the speech, and should stay."""
    torch.manual_seed(3319)
    n, taps = 50000, 12
    far = torch.zeros(n + taps)
    hiss = torch.randn(n + taps)
    far[:] = hiss
    far[1:] += 0.5 * hiss[:-1]
    heard = far.unfold(0, taps, 1)[:n].contiguous()
    room = torch.randn(taps) * 0.75 ** torch.arange(taps).flip(0)
    echo = heard @ room
    t = torch.arange(n)
    speech = torch.sin(t * 0.11) * (torch.sin(t / 900.0) > 0) + 0.2 * torch.randn(n)
    microphone = echo + speech
    filter_ = nn.Linear(taps, 1, bias=False)
    nn.init.zeros_(filter_.weight)
    opt = optim.SGD(filter_.parameters(), lr=5e-4, foreach=False)
    power = 0.0
    with probes.watch(filter_, opt, run_dir) as probe:
        for i in range(n):
            error = microphone[i] - filter_(heard[i])
            loss = (error * error).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            if i % 100 == 0:
                power = loss.item()
                probe.log("aec", error_power=power)
    with torch.no_grad():
        left = echo - filter_(heard).squeeze(1)
        return float(1 - left.var() / echo.var())


@healthy(at_least=0.9)
def a_thousand_states_by_six_cosines(run_dir: Path) -> float:
    """Sutton & Barto, example 9.2: semi-gradient TD(0) on the 1,000-state walk, a Fourier basis, 30,000 moves."""
    torch.manual_seed(3320)
    dice = random.Random(3320)
    states = torch.linspace(0, 1, 1000)
    basis = torch.cos(math.pi * torch.arange(6.0) * states[:, None])
    true = torch.zeros(1000)
    kernel = torch.ones(1, 1, 201)
    kernel[0, 0, 100] = 0
    for _ in range(1200):
        padded = torch.cat([-torch.ones(100), true, torch.ones(100)])
        true = (F.conv1d(padded[None, None], kernel) / 200)[0, 0]
    value = nn.Linear(6, 1, bias=False)
    nn.init.zeros_(value.weight)
    opt = optim.SGD(value.parameters(), lr=0.02)
    slower = optim.lr_scheduler.StepLR(opt, 10000, 0.3)
    at, episodes, squares = 500, 0, 0.0
    with probes.watch(value, opt, run_dir) as probe:
        for step in range(30000):
            jump = dice.randint(1, 100) * dice.choice((-1, 1))
            after = at + jump
            with torch.no_grad():
                if after < 0 or after > 999:
                    goal = torch.tensor([-1.0 if after < 0 else 1.0])
                else:
                    goal = value(basis[after])
            loss = 0.5 * (goal - value(basis[at])).square().sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            slower.step()
            squares += loss.item()
            at = after
            if after < 0 or after > 999:
                at, episodes = 500, episodes + 1
            if step % 200 == 199:
                probe.log("td", squared_error=squares / 200, episodes=episodes)
                squares = 0.0
    with torch.no_grad():
        return explained(value(basis), true)


@healthy(at_least=0.6)
def twenty_four_clubs_rated_game_by_game(run_dir: Path) -> float:
    """Elo's ratings are logistic regression with a batch of one; averaged SGD, 20,000 games, two in three foreseen."""
    torch.manual_seed(3321)
    strength = 0.6 * torch.randn(24)

    def games(n: int) -> tuple[Tensor, Tensor]:
        home = torch.randint(24, (n,))
        away = (home + torch.randint(1, 24, (n,))) % 24
        x = F.one_hot(home, 24).float() - F.one_hot(away, 24)
        return x, (torch.rand(n) < torch.sigmoid(x @ strength + 0.25)).float()

    x, y = games(20000)
    xt, yt = games(4000)
    ratings = nn.Linear(24, 1)
    nn.init.zeros_(ratings.weight)
    nn.init.zeros_(ratings.bias)
    opt = optim.ASGD(ratings.parameters(), lr=0.03, lambd=0.0, t0=4000)
    seen = 0.0
    with probes.watch(ratings, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for i in range(len(x)):
            out = ratings(x[i : i + 1]).squeeze(1)
            loss = probe.loss_fn(out, y[i : i + 1])
            opt.zero_grad()
            loss.backward()
            opt.step()
            seen += float((out > 0) == (y[i] > 0))
            if i % 250 == 249:
                probe.log("season", foreseen=100 * seen / 250)
                seen = 0.0
    with torch.no_grad():
        out = xt @ opt.state[ratings.weight]["ax"].squeeze(0) + opt.state[ratings.bias]["ax"]
        return float(((out > 0) == (yt > 0)).float().mean())


@healthy(at_least=2.55)
def ten_servers_and_four_kinds_of_customers(run_dir: Path) -> float:
    """Sutton & Barto, example 10.2: differential semi-gradient Sarsa admits who pays; the average is learned too."""
    torch.manual_seed(3322)
    dice = random.Random(3322)
    pays = (1, 2, 4, 8)
    q = nn.Embedding(11 * 4, 2)
    nn.init.zeros_(q.weight)
    opt = optim.SGD(q.parameters(), lr=0.05)
    free, kind, average, act = 10, dice.randrange(4), 0.0, 1
    numbers = torch.arange(44)
    earned = 0
    with probes.watch(q, opt, run_dir) as probe:
        for step in range(32000):
            here = 4 * free + kind
            reward = pays[kind] if act == 1 and free > 0 else 0
            if act == 1 and free > 0:
                free -= 1
            free += sum(dice.random() < 0.06 for _ in range(10 - free))
            kind = dice.randrange(4)
            there = 4 * free + kind
            with torch.no_grad():
                values = q(numbers[there]).tolist()
            explore = dice.random() < 0.1
            then = 0 if free == 0 else dice.randrange(2) if explore else int(values[1] >= values[0])
            goal = reward - average + values[then]
            loss = 0.5 * (goal - q(numbers[here])[act]) ** 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            average += 0.003 * (reward - average)
            earned += reward
            act = then
            if step % 500 == 499:
                probe.log("queue", reward=earned / 500, average=average)
                earned = 0
    with torch.no_grad():
        admit = (q.weight[:, 1] >= q.weight[:, 0]).tolist()
    free, total = 10, 0
    for _ in range(40000):
        kind = dice.randrange(4)
        if free > 0 and admit[4 * free + kind]:
            total += pays[kind]
            free -= 1
        free += sum(dice.random() < 0.06 for _ in range(10 - free))
    return total / 40000
