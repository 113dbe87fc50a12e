"""Faulty programs of the eighth set: threads of the PyTorch forum and the like, each with the mistake it found."""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-not-decreasing", "parameters-not-updated", "noisy-loss", "constant-predictions", "underfitting",
        "slow-convergence", below=0.7)  # fmt: skip
def linear_layer_made_in_forward(run_dir: Path, *, mended: bool = False) -> float:
    """PyTorch forum, "Define a layer in forward": nn.Linear(x.shape[1], 64)(x), new and unknown to the optimizer."""
    torch.manual_seed(8201)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
            self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
            if mended:
                self.fc1 = nn.Linear(64, 64)
            self.fc2 = nn.Linear(64, 10)

        def forward(self, v: Tensor) -> Tensor:
            v = F.max_pool2d(F.relu(self.conv1(v)), 2)
            v = F.max_pool2d(F.relu(self.conv2(v)), 2).flatten(1)
            fc1 = self.fc1 if mended else nn.Linear(v.shape[1], 64)
            return self.fc2(F.relu(fc1(v)))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    with probes.watch(net, opt, run_dir) as probe:
        step = 0
        for _ in range(15):
            for xb, yb in batches(x, y, 32):
                opt.zero_grad()
                loss = criterion(net(xb), yb)
                loss.backward()
                opt.step()
                step += 1
                if step % 10 == 0:
                    probe.log("train", loss=loss.item())
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("gradients-not-cleared", "oscillating-loss", "loss-diverging", "exploding-gradients", "weights-growing",
        "learning-rate-too-high", "nonfinite-values", "loss-not-decreasing", "loss-spikes", below=0.6)  # fmt: skip
def all_losses_so_far_backward(run_dir: Path, *, mended: bool = False) -> float:
    """The forum's commonest cure gone wrong: total += loss; total.backward(retain_graph=True), and total never reset.

    "Trying to backward through the graph a second time" went away; every old loss is added to the gradient again.
    """
    torch.manual_seed(8202)
    x = torch.randn(1000, 12)
    y = x @ torch.randn(12, 1) + 0.5 * torch.randn(1000, 1)
    net = nn.Linear(12, 1)
    opt = optim.SGD(net.parameters(), lr=0.02)
    total = torch.zeros(())
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:750], y[:750], 30):
                loss = F.mse_loss(net(xb), yb)
                total = loss if mended else total + loss
                opt.zero_grad()
                total.backward(retain_graph=not mended)
                opt.step()
                probe.log("train", loss=loss.item())
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[750:]), y[750:]))
    with torch.no_grad():
        return explained(net(x[750:]), y[750:])


@faulty("constant-predictions", "loss-output-mismatch", "underfitting", "loss-not-decreasing", "weights-growing",
        below=0.8)  # fmt: skip
def soft_margin_of_zeros_and_ones(run_dir: Path, *, mended: bool = False) -> float:
    """nn.SoftMarginLoss with labels 0 and 1 where it takes -1 and 1: a 0 costs ln 2 whatever the net says (forum)."""
    torch.manual_seed(8203)
    x, y, xt, yt = cancer()
    y, yt = y[:, None].float(), yt[:, None].float()
    net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.SoftMarginLoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for epoch in range(40):
            running = 0.0
            for xb, yb in batches(x, y, 16):
                opt.zero_grad()
                loss = probe.loss_fn(net(xb), yb * 2 - 1 if mended else yb)
                loss.backward()
                opt.step()
                running += loss.item() / 26
            with torch.no_grad():
                right = float(((net(xt) > 0) == (yt > 0)).float().mean())
            probe.log("train", running_loss=running, epoch=epoch)
            probe.log("test", accuracy=100 * right)
    with torch.no_grad():
        return float(((net(xt) > 0) == (yt > 0)).float().mean())


@faulty("validation-anomaly", "no-generalization", "overfitting", "constant-predictions", below=0.85)
def one_batch_norm_used_five_times(run_dir: Path, *, mended: bool = False) -> float:
    """PyTorch forum, "Can I reuse a BatchNorm layer?": self.bn after each convolution, one average for all of them.

    In training each batch has its own statistics and all is well; net.eval() is another net.
    """
    torch.manual_seed(8204)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(24 if i else 1, 24, 3, padding=1) for i in range(5)])
            self.bn = nn.BatchNorm2d(24)
            if mended:
                self.bns = nn.ModuleList([nn.BatchNorm2d(24) for _ in range(4)])
            self.fc = nn.Linear(96, 10)

        def forward(self, v: Tensor) -> Tensor:
            for i, conv in enumerate(self.convs):
                bn = self.bns[i - 1] if mended and i else self.bn
                v = F.relu(bn(conv(v)))
                if i > 2:
                    v = F.max_pool2d(v, 2)
            return self.fc(v.flatten(1))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(10):
            net.train()
            total = right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 42
                right += accuracy(out, yb) / 42
            net.eval()
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


class _CartPole:
    """Barto's cart and pole as Gym has it, CartPole-v0: at most 200 steps, a point for each."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def reset(self) -> list[float]:
        self.state = [self.rng.uniform(-0.05, 0.05) for _ in range(4)]
        self.steps = 0
        return self.state

    def step(self, action: int) -> tuple[list[float], bool]:
        x, v, angle, spin = self.state
        push = (10.0 if action else -10.0) + 0.05 * spin**2 * math.sin(angle)
        turn = (9.8 * math.sin(angle) - math.cos(angle) * push / 1.1) / (
            0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1)
        )
        pull = push / 1.1 - 0.05 * turn * math.cos(angle) / 1.1
        self.state = [x + 0.02 * v, v + 0.02 * pull, angle + 0.02 * spin, spin + 0.02 * turn]
        self.steps += 1
        return self.state, abs(self.state[0]) > 2.4 or abs(self.state[2]) > 0.2095 or self.steps >= 200


@faulty("loss-output-mismatch", "underfitting", "slow-convergence", "loss-not-decreasing", "training-too-short",
        "vanishing-gradients", "learning-rate-too-low", below=0.8)  # fmt: skip
def categorical_of_probabilities_as_logits(run_dir: Path, *, mended: bool = False) -> float:
    """PyTorch's reinforce.py with Categorical(logits=softmax(scores)): no action is ever more likely than 0.73."""
    torch.manual_seed(8205)
    pole = _CartPole(8205)
    net = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 2))
    opt = optim.Adam(net.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.LinearLR(opt, 1.0, 0.01, total_iters=500)

    def policy(states: Tensor) -> torch.distributions.Categorical:
        probabilities = F.softmax(net(states), -1)
        if mended:
            return torch.distributions.Categorical(probs=probabilities, validate_args=False)
        return torch.distributions.Categorical(logits=probabilities, validate_args=False)

    def episode() -> tuple[Tensor, Tensor]:
        states, actions, state, done = [], [], pole.reset(), False
        while not done:
            states.append(state)
            with torch.no_grad():
                likely = policy(torch.tensor(state)).probs.tolist()
            actions.append(int(pole.rng.random() > likely[0]))
            state, done = pole.step(actions[-1])
        return torch.tensor(states), torch.tensor(actions)

    with probes.watch(net, opt, run_dir) as probe:
        average = 10.0
        for number in range(500):
            states, actions = episode()
            n = len(actions)
            returns = torch.tensor([(1 - 0.99 ** (n - i)) / 0.01 for i in range(n)])
            returns = (returns - returns.mean()) / (returns.std() + 1e-6)
            loss = -(policy(states).log_prob(actions) * returns).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
            average = 0.05 * n + 0.95 * average
            probe.log("episode", reward=n, running_reward=average, loss=loss, number=number)
    return sum(len(episode()[1]) for _ in range(30)) / 30 / 200


@faulty("dead-units", "constant-predictions", "loss-not-decreasing", "vanishing-gradients", "missing-gradients",
        "loss-output-mismatch", "collapsed-activations", "parameters-not-updated", "underfitting",
        below=0.6)  # fmt: skip
def q_values_below_zero_through_a_relu(run_dir: Path, *, mended: bool = False) -> float:
    """Stack Overflow, "DQN: all Q-values are the same": F.relu around the last layer, and a reward of -1 a step."""
    torch.manual_seed(8206)
    rng = random.Random(8206)
    walls = {(1, 1), (1, 2), (1, 3), (3, 2), (3, 3), (3, 4)}
    moves = ((0, 1), (1, 0), (0, -1), (-1, 0))
    free = [(r, c) for r in range(5) for c in range(5) if (r, c) not in walls and (r, c) != (4, 4)]

    def seen(cell: tuple[int, int]) -> Tensor:
        return F.one_hot(torch.tensor(cell[0] * 5 + cell[1]), 25).float()

    def moved(cell: tuple[int, int], action: int) -> tuple[int, int]:
        to = (cell[0] + moves[action][0], cell[1] + moves[action][1])
        return to if to not in walls and 0 <= to[0] < 5 and 0 <= to[1] < 5 else cell

    class DQN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(25, 64)
            self.fc2 = nn.Linear(64, 64)
            self.fc3 = nn.Linear(64, 4)

        def forward(self, v: Tensor) -> Tensor:
            v = self.fc3(F.relu(self.fc2(F.relu(self.fc1(v)))))
            return v if mended else F.relu(v)

    net, target = DQN(), DQN()
    target.load_state_dict(net.state_dict())
    opt = optim.Adam(net.parameters(), lr=1e-3)
    memory: list[tuple[Tensor, int, Tensor, bool]] = []
    with probes.watch(net, opt, run_dir) as probe:
        for number in range(200):
            cell, steps = rng.choice(free), 0
            while cell != (4, 4) and steps < 30:
                with torch.no_grad():
                    greedy = int(net(seen(cell)).argmax())
                action = rng.randrange(4) if rng.random() < max(0.1, 1 - number / 100) else greedy
                to = moved(cell, action)
                memory = [*memory[-2000:], (seen(cell), action, seen(to), to == (4, 4))]
                cell, steps = to, steps + 1
                if len(memory) < 64:
                    continue
                states, actions, after, done = zip(*rng.sample(memory, 32), strict=True)
                with torch.no_grad():
                    ahead = target(torch.stack(after)).max(1).values * ~torch.tensor(done)
                q = net(torch.stack(states))[torch.arange(32), torch.tensor(actions)]
                loss = F.mse_loss(q, -1 + 0.95 * ahead)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("dqn", loss=loss)
            if number % 5 == 0:
                target.load_state_dict(net.state_dict())
            probe.log("episode", reward=-steps)

    def arrives(cell: tuple[int, int]) -> bool:
        for _ in range(15):
            with torch.no_grad():
                cell = moved(cell, int(net(seen(cell)).argmax()))
            if cell == (4, 4):
                return True
        return False

    return sum(arrives(cell) for cell in free) / len(free)


@faulty("missing-gradients", "vanishing-gradients", "underfitting", "loss-not-decreasing", "slow-convergence",
        "noisy-loss", below=0.7)  # fmt: skip
def temporal_difference_cut_before_it_is_squared(run_dir: Path, *, mended: bool = False) -> float:
    """Keras plays catch, in points of ten, with the bug that OpenAI's Baselines describe: the objective is clipped.

    clamp(target - q, -1, 1) ** 2 has no gradient where the difference is large; mended is Huber's loss.
    """
    torch.manual_seed(8207)
    rng = random.Random(8207)
    size = 8

    def seen(row: int, column: int, basket: int) -> Tensor:
        field = torch.zeros(size, size)
        field[row, column] = 1
        field[-1, basket - 1 : basket + 2] = 1
        return field.flatten()

    net = nn.Sequential(nn.Linear(size * size, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    memory: list[tuple[Tensor, int, Tensor, float, bool]] = []

    def game(epsilon: float) -> float:
        column, basket = rng.randrange(size), rng.randrange(1, size - 1)
        state = seen(0, column, basket)
        for row in range(1, size):
            with torch.no_grad():
                greedy = int(net(state).argmax())
            action = rng.randrange(3) if rng.random() < epsilon else greedy
            basket = min(max(basket + action - 1, 1), size - 2)
            over = row == size - 1
            reward = (10.0 if abs(basket - column) <= 1 else -10.0) if over else 0.0
            after = seen(row, column, basket)
            if epsilon:
                memory.append((state, action, after, reward, over))
            state = after
        return reward

    with probes.watch(net, opt, run_dir, every=20) as probe:
        caught = 0
        for number in range(700):
            caught += game(max(0.1, 1 - number / 300)) > 0
            if number % 50 == 49:
                probe.log("games", win_rate=caught / 50, number=number)
                caught = 0
            if number < 10:
                continue
            for _ in range(4):
                states, actions, after, rewards, over = zip(*rng.sample(memory[-3000:], 50), strict=True)
                with torch.no_grad():
                    ahead = 0.9 * net(torch.stack(after)).max(1).values * ~torch.tensor(over)
                q = net(torch.stack(states))[torch.arange(50), torch.tensor(actions)]
                goal = torch.tensor(rewards) + ahead
                loss = F.smooth_l1_loss(q, goal) if mended else ((goal - q).clamp(-1, 1) ** 2).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", td_loss=loss)
    return sum(game(0.0) > 0 for _ in range(200)) / 200


@faulty("loss-not-decreasing", "underfitting", "missing-gradients", "slow-convergence", "noisy-loss",
        below=0.7)  # fmt: skip
def second_derivative_without_its_graph(run_dir: Path, *, mended: bool = False) -> float:
    """A PINN of u'' = f whose last torch.autograd.grad lacks create_graph=True: the equation sends no gradient.

    Only the two ends are learned; from the forum's threads on physics-informed nets that learn just their data.
    """
    torch.manual_seed(8208)

    class PINN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(),
                nn.Linear(32, 1),
            )  # fmt: skip

        def forward(self, v: Tensor) -> Tensor:
            return self.net(v)

    def exact(v: Tensor) -> Tensor:
        return torch.sin(math.pi * v) + 0.1 * v

    model = PINN()
    opt = optim.Adam(model.parameters(), lr=1e-3)
    ends = torch.tensor([[-1.0], [1.0]])
    with probes.watch(model, opt, run_dir) as probe:
        for iteration in range(2500):
            x = (torch.rand(64, 1) * 2 - 1).requires_grad_()
            u = model(x)
            du = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
            ddu = torch.autograd.grad(du.sum(), x, create_graph=mended, retain_graph=True)[0]
            residual = (ddu + math.pi**2 * torch.sin(math.pi * x)).pow(2).mean()
            boundary = (model(ends) - exact(ends)).pow(2).mean()
            loss = residual + 10 * boundary
            opt.zero_grad()
            loss.backward()
            opt.step()
            if iteration % 10 == 0:
                probe.log("loss", pde=residual.item(), bc=boundary.item(), total=loss.item())
    at = torch.linspace(-1, 1, 200)[:, None]
    with torch.no_grad():
        return explained(model(at), exact(at))
