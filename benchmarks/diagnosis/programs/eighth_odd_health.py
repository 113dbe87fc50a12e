"""Healthy trainings of the eighth fresh set that look ill: odd rates, noise, floors, losses that rise, zeros."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, MultiStepLR

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _jolted(images: Tensor, noise: float = 0.4) -> Tensor:
    """Digits moved by up to one pixel each way, brighter or darker, with noise over them."""
    padded = F.pad(images, (1, 1, 1, 1), value=float(images.min()))
    rows = torch.randint(3, (len(images), 1, 1)) + torch.arange(8)[None, :, None]
    columns = torch.randint(3, (len(images), 1, 1)) + torch.arange(8)[None, None, :]
    moved = padded[torch.arange(len(images))[:, None, None], 0, rows, columns][:, None]
    return moved * (0.8 + 0.4 * torch.rand(len(images), 1, 1, 1)) + noise * torch.randn_like(moved)


def _body(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, width), nn.BatchNorm1d(width), nn.ReLU(),
    )  # fmt: skip


@healthy(at_least=0.88)
def probe_on_a_frozen_body_at_rate_thirty(run_dir: Path) -> float:
    """MoCo's linear classification: a body trained without labels, frozen; a linear layer on it with SGD at rate 30."""
    torch.manual_seed(8201)
    data = digits(flat=False)
    body = _body(64)
    project = nn.Linear(64, 32)
    before = optim.Adam([*body.parameters(), *project.parameters()], lr=2e-3)
    for _ in range(8):
        for xb, _ in batches(data.x, data.y, 128):
            one, two = (F.normalize(project(body(_jolted(xb)))) for _ in range(2))
            loss = F.cross_entropy(one @ two.T / 0.2, torch.arange(len(one)))
            before.zero_grad()
            loss.backward()
            before.step()

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder_q = body
            self.fc = nn.Linear(64, 10)
            nn.init.normal_(self.fc.weight, std=0.01)
            nn.init.zeros_(self.fc.bias)

        def forward(self, v: Tensor) -> Tensor:
            return self.fc(F.normalize(self.encoder_q(v)))

    model = Probe()
    for name, p in model.named_parameters():
        p.requires_grad = name.startswith("fc.")
    model.eval()
    criterion = nn.CrossEntropyLoss()
    sgd = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=30.0, momentum=0.9, weight_decay=0.0)
    steps = MultiStepLR(sgd, [18, 24])
    with probes.watch(model, sgd, run_dir, loss_fn=criterion) as probe:
        for epoch in range(30):
            for xb, yb in batches(data.x, data.y, 256):
                loss = probe.loss_fn(model(xb), yb)
                sgd.zero_grad()
                loss.backward()
                sgd.step()
                probe.log("train", loss=loss.item())
            steps.step()
            with torch.no_grad():
                out = model(data.x_test)
            probe.log("val", acc1=100 * accuracy(out, data.y_test), loss=F.cross_entropy(out, data.y_test), epoch=epoch)
    return accuracy(out, data.y_test)


@healthy(at_least=0.9)
def ruin_of_a_gambler_in_thirty_thousand_steps(run_dir: Path) -> float:
    """Sutton and Barto, chapter 9: temporal differences, one coin a step, to the chance of leaving the table rich."""
    torch.manual_seed(8202)
    size, heads = 16, 0.47
    rich = ((1 - heads) / heads) ** torch.arange(0.0, size + 1)
    truth = (1 - rich) / (1 - rich[-1])
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=0.05)
    total = 30_000
    slower = LambdaLR(opt, lambda s: 1 / (1 + 9 * s / total))
    purse, sum_of_squares = size // 2, 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1, total + 1):
            after = purse + (1 if float(torch.rand(())) < heads else -1)
            v = net(torch.tensor([[2 * purse / size - 1]]))
            if 0 < after < size:
                with torch.no_grad():
                    target = net(torch.tensor([[2 * after / size - 1]]))
            else:
                target = torch.full((1, 1), float(after == size))
            loss = F.mse_loss(v, target)
            opt.zero_grad()
            loss.backward()
            opt.step()
            slower.step()
            sum_of_squares += loss.item()
            purse = after if 0 < after < size else int(torch.randint(1, size, ()))
            if step % 50 == 0:
                probe.log("train", td_error=math.sqrt(sum_of_squares / 50), loss=loss)
                sum_of_squares = 0.0
    with torch.no_grad():
        return explained(net(2 * torch.arange(1.0, size)[:, None] / size - 1), truth[1:-1])


@healthy(at_least=0.9)
def labels_wrong_by_a_known_matrix(run_dir: Path) -> float:
    """Patrini et al.: two labels in five are the next class's, and the loss knows it ("forward correction")."""
    torch.manual_seed(8203)
    data = digits(flat=False)
    moves = 0.6 * torch.eye(10) + 0.4 * torch.eye(10).roll(1, 1)
    noisy = torch.multinomial(moves[data.y], 1).squeeze(1)
    x, y, x_val, y_val = data.x[:1100], noisy[:1100], data.x[1100:], noisy[1100:]
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
    epochs = 25
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, epochs)

    def forward_corrected(scores: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss((scores.softmax(-1) @ moves).clamp(min=1e-7).log(), labels)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(epochs):
            net.train()
            for xb, yb in batches(x, y, 50):
                loss = forward_corrected(net(_jolted(xb, 0.2)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            cosine.step()
            net.eval()
            with torch.no_grad():
                out = net(x_val)
            given = (out.softmax(-1) @ moves).log()
            probe.log("val", loss=F.nll_loss(given, y_val), acc=accuracy(given, y_val))
    with torch.no_grad():
        return accuracy(net(data.x_test), data.y_test)


@healthy(at_least=0.9)
def shots_that_go_in_six_times_in_ten(run_dir: Path) -> float:
    """Basketball shots (made up after the Kaggle set): 62% right is all there is; batches of 8,192, sixty steps."""
    torch.manual_seed(8204)
    n = 60_000
    feet = 28 * torch.rand(n) ** 0.8
    angle, clock, guard = torch.rand(n) * math.pi, 24 * torch.rand(n), torch.rand(n) * 8
    home, tired = (torch.rand(n) < 0.5).float(), torch.rand(n)
    score = (
        0.75 - 0.06 * feet + 0.9 * torch.exp(-feet / 3) + 0.06 * guard - 0.3 * (clock < 3) + 0.05 * home - 0.15 * tired
    )
    y = (torch.rand(n) < score.sigmoid()).float()
    x = torch.stack([feet, angle.cos(), clock, guard, home, tired], 1)
    x = (x - x.mean(0)) / x.std(0)
    cut = 49_152
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    epochs = 10
    once = optim.lr_scheduler.OneCycleLR(opt, 0.5, total_steps=epochs * 6, pct_start=0.2)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(epochs):
            for xb, yb in batches(x[:cut], y[:cut], 8192):
                loss = probe.loss_fn(net(xb).squeeze(1), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                once.step()
                probe.log("train", logloss=loss.item())
            with torch.no_grad():
                out = net(x[cut:]).squeeze(1)
            right = ((out > 0) == (y[cut:] > 0.5)).float().mean()
            probe.log("val", logloss=F.binary_cross_entropy_with_logits(out, y[cut:]), accuracy=right)
    rate = y[:cut].mean()
    nothing = F.binary_cross_entropy(rate.expand(n - cut), y[cut:])
    best = F.binary_cross_entropy_with_logits(score[cut:], y[cut:])
    return float((nothing - F.binary_cross_entropy_with_logits(out, y[cut:])) / (nothing - best))


@healthy(at_least=0.93)
def snapshots_of_six_cycles(run_dir: Path) -> float:
    """Huang et al.: the rate from 0.1 to nothing six times over, a copy at the end of each, and their joint vote."""
    torch.manual_seed(8205)
    data = digits(flat=False)
    net = nn.Sequential(_body(64), nn.Linear(64, 10))
    sgd = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    per = len(data.x) // 64
    restarts = CosineAnnealingWarmRestarts(sgd, 5 * per)
    kept: list[nn.Module] = []
    with probes.watch(net, sgd, run_dir) as probe:
        for epoch in range(30):
            net.train()
            seen = 0.0
            for xb, yb in batches(data.x, data.y, 64):
                loss = F.cross_entropy(net(_jolted(xb, 0.6)), yb)
                sgd.zero_grad()
                loss.backward()
                sgd.step()
                probe.log("opt", lr=restarts.get_last_lr()[0])
                restarts.step()
                seen += loss.item() / per
            net.eval()
            with torch.no_grad():
                out = net(data.x_test)
            if epoch % 5 == 4:
                kept.append(copy.deepcopy(net))
            probe.log(
                "epoch", loss=seen, val_loss=F.cross_entropy(out, data.y_test), val_acc=accuracy(out, data.y_test)
            )
    with torch.no_grad():
        votes = torch.stack([one(data.x_test).softmax(1) for one in kept])
    return accuracy(votes.mean(0), data.y_test)


@healthy(at_least=0.8)
def attack_that_grows_from_epoch_to_epoch(run_dir: Path) -> float:
    """TRADES with a radius that grows: the loss rises on purpose, and the answers become harder to change."""
    torch.manual_seed(8206)
    data = digits(flat=False, standard=False)
    x, x_test = data.x / 16, data.x_test / 16
    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 48, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(768, 96), nn.ReLU(), nn.Linear(96, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4)
    epochs, widest = 24, 0.12
    later = MultiStepLR(opt, [18, 22])

    def attacked(clean: Tensor, labels: Tensor | None, radius: float, times: int) -> Tensor:
        with torch.no_grad():
            scores = net(clean).softmax(1)
        moved = (clean + 0.001 * torch.randn_like(clean)).clamp(0, 1)
        for _ in range(times):
            moved.requires_grad_(True)
            out = net(moved)
            if labels is None:
                gain = F.kl_div(out.log_softmax(1), scores, reduction="sum")
            else:
                gain = F.cross_entropy(out, labels)
            (slope,) = torch.autograd.grad(gain, moved)
            change = (moved.detach() + 2.5 * radius / times * slope.sign() - clean).clamp(-radius, radius)
            moved = (clean + change).clamp(0, 1).detach()
        return moved

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(epochs):
            radius = widest * min(1.0, max(0, epoch - 1) / 13)
            for xb, yb in batches(x, data.y, 64):
                moved = attacked(xb, None, radius, 4) if radius else xb
                out = net(xb)
                natural = F.cross_entropy(out, yb)
                robust = F.kl_div(net(moved).log_softmax(1), out.softmax(1), reduction="batchmean")
                loss = natural + 4 * robust
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, natural=natural, robust=robust)
            later.step()
            with torch.no_grad():
                probe.log("test", acc=100 * accuracy(net(x_test), data.y_test), eps=radius)
    with torch.no_grad():
        harmless = accuracy(net(x_test), data.y_test)
    with torch.enable_grad():
        hard = attacked(x_test, data.y_test, widest, 15)
    with torch.no_grad():
        return min(harmless, accuracy(net(hard), data.y_test))


@healthy(at_least=0.85)
def four_orders_of_the_pixels_with_elastic_weights(run_dir: Path) -> float:
    """Kirkpatrick et al.: permuted digits one after another, what mattered before is held by a spring."""
    torch.manual_seed(8207)
    data = digits()
    orders = [torch.arange(64), *(torch.randperm(64) for _ in range(3))]
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    held: list[tuple[list[Tensor], list[Tensor]]] = []

    def spring() -> Tensor:
        pull = torch.zeros(())
        for places, stiff in held:
            for p, was, s in zip(net.parameters(), places, stiff, strict=True):
                pull = pull + (s * (p - was) ** 2).sum()
        return pull

    def known(tasks: int) -> list[float]:
        with torch.no_grad():
            return [accuracy(net(data.x_test[:, order]), data.y_test) for order in orders[:tasks]]

    with probes.watch(net, opt, run_dir) as probe:
        for task, order in enumerate(orders):
            for _ in range(15):
                for xb, yb in batches(data.x[:, order], data.y, 32):
                    loss = F.cross_entropy(net(xb + 0.3 * torch.randn_like(xb)), yb) + 250 * spring()
                    opt.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                    opt.step()
                    probe.log("train", loss=loss.item())
                so_far = known(task + 1)
                probe.log("val", acc=sum(so_far) / len(so_far), first_task=so_far[0])
            stiff = [torch.zeros_like(p) for p in net.parameters()]
            for i in torch.randperm(len(data.x))[:300].tolist():
                scores = net(data.x[i : i + 1, order]).log_softmax(1)
                drawn = torch.multinomial(scores.exp().detach(), 1).squeeze(1)
                slopes = torch.autograd.grad(F.nll_loss(scores, drawn), list(net.parameters()))
                for s, slope in zip(stiff, slopes, strict=True):
                    s += slope**2 / 300
            held.append(([p.detach().clone() for p in net.parameters()], stiff))
    every = known(len(orders))
    return sum(every) / len(every)


class _Blackjack:
    """Many hands at once, cards drawn from an endless deck; the dealer draws to seventeen."""

    def __init__(self, hands: int) -> None:
        self.dealer = self.card(hands)
        self.total, self.ace = torch.zeros(hands, dtype=torch.int64), torch.zeros(hands, dtype=torch.bool)
        everybody = torch.ones(hands, dtype=torch.bool)
        self.total, self.ace = self.dealt(self.total, self.ace, everybody)
        while bool((self.total < 12).any()):
            self.total, self.ace = self.dealt(self.total, self.ace, self.total < 12)

    @staticmethod
    def card(hands: int) -> Tensor:
        return torch.randint(1, 14, (hands,)).clamp(max=10)

    @classmethod
    def dealt(cls, total: Tensor, ace: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        drawn = cls.card(len(total)) * who
        total = total + drawn
        new = (drawn == 1) & ~ace & (total + 10 <= 21)
        total, ace = total + 10 * new, ace | new
        back = ace & (total > 21)
        return total - 10 * back, ace & ~back

    def seen(self) -> Tensor:
        total = F.one_hot(self.total.clamp(max=21) - 12, 10)
        return torch.cat([total, F.one_hot(self.dealer - 1, 10), self.ace[:, None]], 1).float()

    def reward(self) -> Tensor:
        total, ace = self.dealer + 10 * (self.dealer == 1), self.dealer == 1
        while bool((total < 17).any()):
            total, ace = self.dealt(total, ace, total < 17)
        won = (total > 21) | (self.total > total)
        reward = won.float() - ((total <= 21) & (self.total < total)).float()
        return torch.where(self.total > 21, torch.tensor(-1.0), reward)


def _play(net: nn.Module, hands: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States and actions of all decisions, what each brought in the end, and the result of every hand."""
    game = _Blackjack(hands)
    going = torch.ones(hands, dtype=torch.bool)
    states, actions, whose = [], [], []
    while bool(going.any()):
        seen = game.seen()
        with torch.no_grad():
            action = net(seen).argmax(1)
        action = torch.where(torch.rand(hands) < epsilon, torch.randint(2, (hands,)), action)
        where = going.nonzero().squeeze(1)
        states.append(seen[where])
        actions.append(action[where])
        whose.append(where)
        hit = going & (action == 1)
        game.total, game.ace = game.dealt(game.total, game.ace, hit)
        going = hit & (game.total <= 21)
    reward = game.reward()
    return torch.cat(states), torch.cat(actions), reward[torch.cat(whose)], reward


@healthy(at_least=0.85)
def blackjack_where_the_house_wins(run_dir: Path) -> float:
    """Monte Carlo control (Sutton and Barto 5.1) by a net: the best there is still loses a twentieth of every stake."""
    torch.manual_seed(8208)
    q = nn.Sequential(nn.Linear(21, 64), nn.ReLU(), nn.Linear(64, 2))
    adam = optim.Adam(q.parameters(), lr=1e-3)
    steps = 2000
    falling = optim.lr_scheduler.LinearLR(adam, 1.0, 0.05, steps)
    by_chance = float(_play(q, 20_000, 1.0)[3].mean())
    window = []
    with probes.watch(q, adam, run_dir) as probe:
        for step in range(steps):
            s, a, g, reward = _play(q, 64, max(0.1, 1 - step / 800))
            loss = F.mse_loss(q(s).gather(1, a[:, None]).squeeze(1), g)
            adam.zero_grad()
            loss.backward()
            adam.step()
            falling.step()
            window.append(float(reward.mean()))
            if step % 10 == 9:
                probe.log("train", loss=loss.item(), reward=sum(window[-50:]) / len(window[-50:]))
    greedy = float(_play(q, 40_000, 0.0)[3].mean())
    return (greedy - by_chance) / (-0.045 - by_chance)


@healthy(at_least=0.87)
def views_alike_but_varied_and_uncorrelated(run_dir: Path) -> float:
    """VICReg without labels, 25, 25 and 1 as its weights: a loss that starts above twenty and stays near fifteen."""
    torch.manual_seed(8209)
    data = digits(flat=False)
    body = _body(128)
    expander = nn.Sequential(nn.Linear(128, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256))
    net = nn.Sequential(body, expander)
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    epochs, per = 50, len(data.x) // 128
    rate = LambdaLR(opt, lambda s: min(1.0, (s + 1) / 30) * 0.5 * (1 + math.cos(math.pi * s / (epochs * per))))

    def spread(z: Tensor) -> tuple[Tensor, Tensor]:
        z = z - z.mean(0)
        covariance = z.T @ z / (len(z) - 1)
        apart = covariance - torch.diag(covariance.diagonal())
        return F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean(), (apart**2).sum() / z.shape[1]

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(epochs):
            for xb, _ in batches(data.x, data.y, 128):
                one, two = net(_jolted(xb)), net(_jolted(xb))
                (v1, c1), (v2, c2) = spread(one), spread(two)
                alike = F.mse_loss(one, two)
                loss = 25 * alike + 25 * (v1 + v2) / 2 + c1 + c2
                opt.zero_grad()
                loss.backward()
                opt.step()
                rate.step()
                probe.log("train", loss=loss.detach(), invariance=alike.detach(), covariance=(c1 + c2).detach())
    body.eval()
    with torch.no_grad():
        shelf, asked = F.normalize(body(_jolted(data.x))), F.normalize(body(_jolted(data.x_test)))
    near = (asked @ shelf.T).topk(10).indices
    return accuracy(F.one_hot(data.y[near], 10).sum(1), data.y_test)


@healthy(at_least=0.85)
def eight_largest_of_two_hundred_and_fifty_six(run_dir: Path) -> float:
    """A sparse autoencoder after Gao et al.: eight units of 256 speak for each example, the others are set to zero."""
    torch.manual_seed(8210)
    causes = F.normalize(torch.randn(160, 48))

    def draw(n: int) -> Tensor:
        on = torch.rand(n, 160).argsort(1) < 4
        return (on * (1 + torch.rand(n, 160))) @ causes + 0.05 * torch.randn(n, 48)

    class Largest(nn.Module):
        def __init__(self, k: int) -> None:
            super().__init__()
            self.k = k

        def forward(self, v: Tensor) -> Tensor:
            values, where = v.topk(self.k, dim=-1)
            return torch.zeros_like(v).scatter(-1, where, values)

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b_pre = nn.Parameter(torch.zeros(48))
            self.encode, self.largest, self.act = nn.Linear(48, 256), Largest(8), nn.ReLU()
            self.decode = nn.Linear(256, 48, bias=False)
            self.decode.weight.data = F.normalize(torch.randn(48, 256), dim=0)
            self.encode.weight.data = self.decode.weight.data.T.clone()
            nn.init.zeros_(self.encode.bias)

        def forward(self, v: Tensor) -> Tensor:
            return self.decode(self.act(self.largest(self.encode(v - self.b_pre)))) + self.b_pre

    sae = Autoencoder()
    adam = optim.Adam(sae.parameters(), lr=1e-3, eps=6.25e-10)
    held = draw(1000)
    with probes.watch(sae, adam, run_dir) as probe:
        for step in range(2200):
            xb = draw(256)
            loss = ((sae(xb) - xb) ** 2).mean() / xb.var()
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                sae.decode.weight.copy_(F.normalize(sae.decode.weight, dim=0))
            if step % 20 == 0:
                probe.log("train", fvu=loss.item())
    with torch.no_grad():
        return explained(sae(held), held)


@healthy(at_least=0.93)
def two_pupils_teach_each_other(run_dir: Path) -> float:
    """Deep mutual learning: two nets, two optimizers, each learns from labels and from the other; nothing logged."""
    torch.manual_seed(8211)
    data = digits(flat=False)
    pupils = nn.ModuleList(nn.Sequential(_body(width), nn.Linear(width, 10)) for width in (24, 48))
    opts = [optim.SGD(pupil.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4) for pupil in pupils]
    with probes.watch(pupils, opts, run_dir):
        for epoch in range(16):
            for group in (group for opt in opts for group in opt.param_groups):
                group["lr"] = 0.03 * 0.1 ** (epoch // 7)
            for xb, yb in batches(data.x, data.y, 32):
                pictures = _jolted(xb)
                said = [pupil(pictures) for pupil in pupils]
                for me, opt in enumerate(opts):
                    other = said[1 - me].detach().softmax(1)
                    loss = F.cross_entropy(said[me], yb)
                    loss = loss + F.kl_div(said[me].log_softmax(1), other, reduction="batchmean")
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
    pupils.eval()
    with torch.no_grad():
        return min(accuracy(pupil(data.x_test), data.y_test) for pupil in pupils)
