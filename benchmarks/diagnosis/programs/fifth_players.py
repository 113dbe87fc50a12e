"""Healthy trainings of the fifth fresh set: agents, bandits, learners of learning, of likeness and of other nets."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits
from benchmarks.diagnosis.programs.program import healthy


def _pole(state: Tensor, push: Tensor) -> Tensor:
    """One step of Barto's cart and pole for many carts at once; states [N, 4], pushes -1 or 1 [N]."""
    x, dx, a, da = state.T
    sin, cos = a.sin(), a.cos()
    force = (10 * push + 0.05 * da**2 * sin) / 1.1
    dda = (9.8 * sin - cos * force) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    ddx = force - 0.05 * dda * cos / 1.1
    return torch.stack([x + 0.02 * dx, dx + 0.02 * ddx, a + 0.02 * da, da + 0.02 * dda], 1)


def _fallen(state: Tensor) -> Tensor:
    return (state[:, 0].abs() > 2.4) | (state[:, 2].abs() > 0.209)


@healthy(at_least=0.7)
def pole_kept_up_by_many_actors(run_dir: Path) -> float:
    """Synchronous A2C (Mnih 2016): 16 carts, 16 steps, RMSprop, entropy, clipping at a half; their length logged."""
    torch.manual_seed(61)

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 64), nn.Tanh())
            self.actor, self.critic = nn.Linear(64, 2), nn.Linear(64, 1)

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(v)
            return self.actor(h), self.critic(h).squeeze(-1)

    scale = torch.tensor([1.0, 1.0, 5.0, 1.0])
    net = Policy()
    opt = optim.RMSprop(net.parameters(), lr=3e-3, alpha=0.99, eps=1e-5)
    state, age = 0.05 * torch.randn(16, 4), torch.zeros(16)
    ended: list[float] = []
    with probes.watch(net, opt, run_dir) as probe:
        for update in range(700):
            logs, values, entropies, rewards, alive = [], [], [], [], []
            for _ in range(16):
                logits, value = net(state * scale)
                chosen = torch.distributions.Categorical(logits=logits)
                act = chosen.sample()
                state = _pole(state, act.float() * 2 - 1)
                age += 1
                down = _fallen(state)
                over = down | (age >= 200)
                ended += age[over].tolist()
                logs.append(chosen.log_prob(act))
                values.append(value)
                entropies.append(chosen.entropy())
                rewards.append(torch.where(down, 0.0, 0.1))
                alive.append((~over).float())
                state = torch.where(over[:, None], 0.05 * torch.randn(16, 4), state)
                age = torch.where(over, 0.0, age)
            with torch.no_grad():
                back = net(state * scale)[1]
            returns: list[Tensor] = []
            for reward, going in zip(reversed(rewards), reversed(alive), strict=True):
                back = reward + 0.98 * back * going
                returns.insert(0, back)
            value, goal = torch.stack(values), torch.stack(returns)
            advantage = goal - value.detach()
            policy_loss = -(torch.stack(logs) * advantage).mean()
            loss = policy_loss + 0.5 * F.mse_loss(value, goal) - 0.005 * torch.stack(entropies).mean()
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            opt.step()
            if update % 10 == 9 and ended:
                probe.log("rollout", ep_len_mean=sum(ended[-50:]) / len(ended[-50:]), policy_loss=policy_loss)
    state, up, standing = 0.05 * torch.randn(64, 4), torch.zeros(64), torch.ones(64, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(200):
            state = _pole(state, net(state * scale)[0].argmax(1).float() * 2 - 1)
            standing &= ~_fallen(state)
            up += standing
    return float(up.mean()) / 200


@healthy(at_least=0.75)
def advertisements_by_a_neural_bandit(run_dir: Path) -> float:
    """A contextual bandit: one net says what five advertisements earn, epsilon falls, clicks of the shown only."""
    torch.manual_seed(62)
    taste = torch.randn(6, 5)

    def chance(v: Tensor) -> Tensor:
        return (2 * torch.tanh(v @ taste) - 0.5).sigmoid()

    net = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 5))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for round_ in range(1500):
            x = torch.randn(32, 6)
            out = net(x)
            epsilon = max(0.05, 1 - round_ / 500)
            shown = torch.where(torch.rand(32) < epsilon, torch.randint(5, (32,)), out.detach().argmax(1))
            clicked = chance(x).gather(1, shown[:, None]).squeeze(1).bernoulli()
            loss = F.binary_cross_entropy_with_logits(out.gather(1, shown[:, None]).squeeze(1), clicked)
            opt.zero_grad()
            loss.backward()
            opt.step()
            best = chance(x).max(1).values.mean()
            probe.log(
                "bandit", reward=clicked.mean(), regret=best - chance(x).gather(1, shown[:, None]).mean(), eps=epsilon
            )
    x = torch.randn(4000, 6)
    with torch.no_grad():
        got = chance(x).gather(1, net(x).argmax(1, keepdim=True)).mean()
    mean, best = chance(x).mean(), chance(x).max(1).values.mean()
    return float((got - mean) / (best - mean))


@healthy(at_least=0.8)
def double_and_duelling_on_a_frozen_lake(run_dir: Path) -> float:
    """A duelling double DQN with soft target updates on a 5 x 5 lake with holes; batches of transitions, Huber loss."""
    torch.manual_seed(63)
    holes = torch.tensor([6, 8, 16, 13])
    moves = torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1]])

    def walk(place: Tensor, act: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = (place // 5 + moves[act, 0]).clamp(0, 4)
        after = rows * 5 + (place % 5 + moves[act, 1]).clamp(0, 4)
        won, lost = after == 24, torch.isin(after, holes)
        return after, won.float() - lost.float(), won | lost

    class Duel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(25, 64), nn.ReLU())
            self.value, self.advantage = nn.Linear(64, 1), nn.Linear(64, 4)

        def forward(self, v: Tensor) -> Tensor:
            h = self.body(v)
            a = self.advantage(h)
            return self.value(h) + a - a.mean(1, keepdim=True)

    net, eye = Duel(), torch.eye(25)
    target = copy.deepcopy(net)
    opt = optim.Adam(net.parameters(), lr=1e-3)
    place, since = torch.zeros(8, dtype=torch.int64), torch.zeros(8)
    memory = [
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0),
        place[:0],
        torch.zeros(0),
    ]
    wins, games = 0.0, 1.0
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(2500):
            with torch.no_grad():
                act = net(eye[place]).argmax(1)
            act = torch.where(torch.rand(8) < max(0.1, 1 - step / 1200), torch.randint(4, (8,)), act)
            after, reward, over = walk(place, act)
            new = (place, act, reward, after, over.float())
            memory = [torch.cat([old, row])[-8000:] for old, row in zip(memory, new, strict=True)]
            since += 1
            wins, games = wins + float((reward > 0).sum()), games + float(over.sum())
            place = torch.where(over | (since > 40), 0, after)
            since = torch.where(over | (since > 40), 0.0, since)
            s, a, r, n, end = (part[torch.randint(len(memory[0]), (64,), generator=torch.Generator().manual_seed(step))]
                               for part in memory)  # fmt: skip
            with torch.no_grad():
                best = net(eye[n]).argmax(1, keepdim=True)
                goal = r + 0.95 * (1 - end) * target(eye[n]).gather(1, best).squeeze(1)
            loss = F.smooth_l1_loss(net(eye[s]).gather(1, a[:, None]).squeeze(1), goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                for slow, fast in zip(target.parameters(), net.parameters(), strict=True):
                    slow.lerp_(fast, 0.01)
            if step % 100 == 99:
                probe.log("charts", episodic_return=wins / games, td_loss=loss, q_values=goal.mean())
                wins, games = 0.0, 1e-9
    at, won = torch.arange(24)[~torch.isin(torch.arange(24), holes)], 0.0
    start = len(at)
    with torch.no_grad():
        for _ in range(20):
            at, reward, over = walk(at, net(eye[at]).argmax(1))
            won += float((reward > 0).sum())
            at = at[~over]
    return won / start


@healthy(at_least=0.7)
def few_shots_by_maml_of_the_first_order(run_dir: Path) -> float:
    """FOMAML on sines: one inner step of gradient descent on ten points, meta-batch of four tasks, Adam outside."""
    torch.manual_seed(64)

    def task() -> tuple[float, float]:
        return 0.5 + 2 * float(torch.rand(())), math.pi * float(torch.rand(()))

    def points(amplitude: float, phase: float, n: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(n, 1) * 10 - 5
        return x, amplitude * torch.sin(x - phase)

    net = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, 1500)

    def adapted(x: Tensor, y: Tensor, steps: int) -> dict[str, Tensor]:
        inner = {name: p.detach().clone().requires_grad_() for name, p in net.named_parameters()}
        for _ in range(steps):
            grads = torch.autograd.grad(F.mse_loss(torch.func.functional_call(net, inner, x), y), list(inner.values()))
            inner = {
                n: (p - 0.02 * g).detach().requires_grad_() for (n, p), g in zip(inner.items(), grads, strict=True)
            }
        return inner

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            total = 0.0
            opt.zero_grad()
            for _ in range(4):
                which = task()
                inner = adapted(*points(*which, 10), steps=3)
                x, y = points(*which, 20)
                loss = F.mse_loss(torch.func.functional_call(net, inner, x), y)
                grads = torch.autograd.grad(loss, list(inner.values()))
                for p, g in zip(net.parameters(), grads, strict=True):
                    p.grad = g / 4 if p.grad is None else p.grad + g / 4
                total += loss.item() / 4
            opt.step()
            cosine.step()
            probe.log("meta", outer_loss=total)
    before, after = 0.0, 0.0
    for _ in range(100):
        which = task()
        inner = adapted(*points(*which, 10), steps=10)
        x, y = points(*which, 100)
        before += float((y**2).mean())
        after += float(F.mse_loss(torch.func.functional_call(net, inner, x), y))
    return 1 - after / before


@healthy(at_least=0.8)
def turned_by_how_many_quarters(run_dir: Path) -> float:
    """RotNet (Gidaris 2018): digits turned by 0, 90, 180, 270 degrees; no labels but the turn."""
    torch.manual_seed(65)
    x, _, xt, _ = digits(flat=False)

    def turned(v: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([v.rot90(k, (2, 3)) for k in range(4)]), torch.arange(4).repeat_interleave(len(v))

    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 32, 3, 2, 1), nn.BatchNorm2d(32),
        nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, 4),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = optim.lr_scheduler.MultiStepLR(opt, [9, 12], 0.2)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            net.train()
            for xb, _ in batches(x, x, 16):
                images, labels = turned(xb)
                loss = F.cross_entropy(net(images), labels)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("pretext", loss=loss)
            steps.step()
            net.eval()
            with torch.no_grad():
                images, labels = turned(xt)
                probe.log("pretext", val_acc=accuracy(net(images), labels))
    with torch.no_grad():
        return accuracy(net(images), labels)


@healthy(at_least=0.9)
def faces_apart_by_an_angular_margin(run_dir: Path) -> float:
    """ArcFace's loss on digits: cosines times thirty minus a margin, so the loss begins far above log 10."""
    torch.manual_seed(66)
    x, y, xt, yt = digits()
    body = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.PReLU(), nn.Linear(128, 16), nn.BatchNorm1d(16))
    centres = nn.Parameter(0.1 * torch.randn(10, 16))

    class Arc(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.centres = body, centres

        def forward(self, v: Tensor, labels: Tensor | None = None) -> Tensor:
            cosine = F.linear(F.normalize(self.body(v)), F.normalize(self.centres)).clamp(-0.999, 0.999)
            if labels is not None:
                cosine = torch.where(F.one_hot(labels, 10) > 0, (cosine.acos() + 0.3).cos(), cosine)
            return 30 * cosine

    net = Arc()
    opt = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.StepLR(opt, 8, 0.3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            net.train()
            total = 0.0
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb, yb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 42
            scheduler.step()
            net.eval()
            with torch.no_grad():
                probe.log("train", arcface_loss=total)
                probe.log("val", rank1=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def neighbours_that_agree(run_dir: Path) -> float:
    """Supervised contrastive learning (Khosla 2020) in batches of 128; loss well above zero; nearest count."""
    torch.manual_seed(67)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32))
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)

    def supcon(out: Tensor, labels: Tensor) -> Tensor:
        z = F.normalize(out)
        likeness = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
        same = (labels[:, None] == labels).float() * (1 - torch.eye(len(z)))
        return -(likeness.log_softmax(1) * same).sum(1).div(same.sum(1).clamp(min=1)).mean()

    def nearest() -> float:
        with torch.no_grad():
            likeness = F.normalize(net(xt)) @ F.normalize(net(x)).T
        return float((y[likeness.topk(5).indices].mode(1).values == yt).float().mean())

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(30):
            for xb, yb in batches(x, y, 128):
                loss = supcon(net(xb + 0.1 * torch.randn_like(xb)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("supcon", loss=loss)
            if epoch % 5 == 4:
                probe.log("knn", top1=nearest())
    return nearest()


@healthy(at_least=0.9)
def small_net_after_the_features_of_a_large_one(run_dir: Path) -> float:
    """FitNets (Romero 2014): a thin student learns the teacher's middle layer, then its answers."""
    torch.manual_seed(68)
    x, y, xt, yt = digits()
    wide = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10))
    quick = optim.Adam(wide.parameters(), lr=1e-3)
    for _ in range(12):
        for xb, yb in batches(x, y, 32):
            quick.zero_grad()
            F.cross_entropy(wide(xb), yb).backward()
            quick.step()
    wide.eval().requires_grad_(False)

    class Student(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.thin = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU())
            self.hint, self.head = nn.Linear(24, 256), nn.Linear(24, 10)

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            h = self.thin(v)
            return self.head(h), self.hint(h)

    net = Student()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(35):
            for xb, yb in batches(x, y, 32):
                xb = xb + 0.2 * torch.randn_like(xb)
                answer, middle = net(xb)
                hint = F.mse_loss(middle, wide[:2](xb))
                soft = F.kl_div((answer / 3).log_softmax(1), (wide(xb) / 3).softmax(1), reduction="batchmean") * 9
                loss = hint + min(1.0, epoch / 8) * (0.9 * soft + 0.1 * F.cross_entropy(answer, yb))
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                probe.log("student", hint=hint, kd=soft, test_acc=accuracy(net(xt)[0], yt))
    with torch.no_grad():
        return accuracy(net(xt)[0], yt)


@healthy(at_least=0.8)
def strategies_evolve_without_a_gradient_of_their_own(run_dir: Path) -> float:
    """Evolution strategies (Salimans 2017): mirrored noise gives `grad`, SGD steps; no backward anywhere."""
    torch.manual_seed(69)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    size = sum(p.numel() for p in net.parameters())
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scale = torch.tensor([1.0, 1.0, 5.0, 1.0])

    def lived(many: Tensor, carts: int = 4) -> Tensor:
        """Mean length of life of each parameter vector's carts, as a share of 200 steps; [N, size] to [N]."""
        n = len(many)
        w1, b1, w2, b2 = many.split([32, 8, 8, 1], 1)
        state, standing, up = (
            0.05 * torch.randn(n * carts, 4),
            torch.ones(n * carts, dtype=torch.bool),
            torch.zeros(n * carts),
        )
        for _ in range(200):
            h = torch.einsum("nij,nkj->nki", w1.view(n, 8, 4), (state * scale).view(n, carts, 4)) + b1[:, None]
            push = (h.tanh() * w2[:, None]).sum(2) + b2
            state = _pole(state, push.reshape(-1).sign())
            standing = standing & ~_fallen(state)
            if not standing.any():
                break
            up += standing
        return up.view(n, carts).mean(1) / 200

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            middle = nn.utils.parameters_to_vector(net.parameters()).detach()
            noise = torch.randn(24, size)
            noise = torch.cat([noise, -noise])
            score = lived(middle + 0.3 * noise)
            rank = score.argsort().argsort().float() / 47 - 0.5
            nn.utils.vector_to_parameters(middle, net.parameters())
            step = -(rank[:, None] * noise).mean(0) / 0.3
            start = 0
            for p in net.parameters():
                p.grad = step[start : start + p.numel()].view_as(p).clone()
                start += p.numel()
            opt.step()
            probe.log("es", fitness_mean=score.mean(), fitness_max=score.max())
    return float(lived(nn.utils.parameters_to_vector(net.parameters()).detach()[None], carts=64))
