"""Healthy programs of the second fresh set: tutorials and book chapters that run as they are printed."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import probes
from benchmarks.diagnosis.programs.data import Split, accuracy, batches, digits, explained, moons
from benchmarks.diagnosis.programs.program import healthy


def many_digits(n: int, seed: int = 0) -> Split:
    """n digits of 16x16 pixels in 0..1, shifted, noisy; 1,000 more to test on, made of digits that are not in the n."""
    g = torch.Generator().manual_seed(seed)
    x, y, xt, yt = digits(flat=False, standard=False)

    def make(images: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
        i = torch.randint(len(images), (k,), generator=g)
        big = F.interpolate(images[i] / 16, scale_factor=2, mode="bilinear")
        shift = torch.randint(3, (k, 1, 1, 1), generator=g)
        big = torch.where(shift == 0, big, torch.where(shift == 1, big.roll(1, 3), big.roll(-1, 3)))
        return (big + 0.1 * torch.rand(big.shape, generator=g)).clamp(0, 1), labels[i]

    return Split(*make(x, y, n), *make(xt, yt, 1000))


def letters_of(n: int, start: int = 0) -> tuple[Tensor, int]:
    """Characters of a module of the standard library as numbers, and how many different there are."""
    text = Path(ast.__file__).read_text(encoding="utf-8")[start : start + n].lower()
    known = sorted(set(text))
    return torch.tensor([known.index(c) for c in text]), len(known)


@healthy(at_least=0.6)
def pytorch_quickstart(run_dir: Path) -> float:
    """PyTorch's Quickstart: 512-512 ReLU net, SGD, batches of 64, five epochs, a line every 100 batches."""
    torch.manual_seed(201)
    x, y, xt, yt = many_digits(24000)
    train = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    test = DataLoader(TensorDataset(xt, yt), batch_size=64)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=loss_fn) as probe:
        for _ in range(5):
            model.train()
            for batch, (xb, yb) in enumerate(train):
                loss = loss_fn(model(xb), yb)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if batch % 100 == 0:
                    probe.log("train", loss=loss.item())
            model.eval()
            test_loss = correct = 0.0
            with torch.no_grad():
                for xb, yb in test:
                    out = model(xb)
                    test_loss += loss_fn(out, yb).item()
                    correct += (out.argmax(1) == yb).float().sum().item()
            probe.log("test", accuracy=100 * correct / len(xt), avg_loss=test_loss / len(test))
    return correct / len(xt)


@healthy(at_least=0.85)
def lenet_of_dive_into_deep_learning(run_dir: Path) -> float:
    """D2L 7.6: LeNet with sigmoids, average pooling, Xavier weights and a rate of 0.9; long at ln 10."""
    torch.manual_seed(202)
    x, y, xt, yt = many_digits(6000)
    x, xt = (x - x.mean()) / x.std(), (xt - x.mean()) / x.std()
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5, padding=2), nn.Sigmoid(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip
    for m in net:
        if isinstance(m, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(m.weight)
    opt = optim.SGD(net.parameters(), lr=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            net.train()
            for xb, yb in batches(x, y, 16):
                opt.zero_grad()
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                probe.log("test", acc=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.3)
def rnn_from_scratch_with_rate_one(run_dir: Path) -> float:
    """D2L 9.5: a character RNN, plain SGD with a rate of 1, gradients clipped to 1 by hand."""
    torch.manual_seed(203)
    data, size = letters_of(30000)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(size, 128)
            self.out = nn.Linear(128, size)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.rnn(F.one_hot(v.T, size).float())[0])

    net = Net()
    with probes.watch(net, run_dir=run_dir) as probe:
        for step in range(700):
            start = torch.randint(27000 - 33, (32,))
            both = torch.stack([data[s : s + 33] for s in start])
            loss = F.cross_entropy(net(both[:, :-1]).flatten(0, 1), both[:, 1:].T.flatten())
            net.zero_grad()
            loss.backward()
            norm = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
            with torch.no_grad():
                for p in net.parameters():
                    p -= 1.0 * p.grad * min(1.0, 1.0 / norm)
            probe.log("train", loss=loss, perplexity=loss.exp())
            if step % 100 == 99:
                with torch.no_grad():
                    held = data[27000:29970].view(-1, 33)
                    val = F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].T.flatten())
                probe.log("val", perplexity=val.exp())
    return 1 - float(val) / math.log(size)


@healthy(at_least=0.95)
def micrograd_moons(run_dir: Path) -> float:
    """Karpathy's micrograd demo: 2-16-16-1, max-margin loss and L2, full batch, rate 1.0 to 0.1, 100 steps."""
    torch.manual_seed(204)
    x, y, xt, yt = moons(200, 0.1)
    sign = 2.0 * y - 1
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    opt = optim.SGD(net.parameters(), lr=1.0)
    with probes.watch(net, opt, run_dir) as probe:
        for k in range(100):
            score = net(x).squeeze(1)
            data_loss = F.relu(1 - sign * score).mean()
            total = data_loss + 1e-4 * sum((p * p).sum() for p in net.parameters())
            opt.param_groups[0]["lr"] = 1.0 - 0.9 * k / 100
            opt.zero_grad()
            total.backward()
            opt.step()
            probe.log("train", loss=total, accuracy=((score > 0) == (y > 0)).float().mean())
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


@healthy(at_least=0.3)
def makemore_twenty_thousand_steps(run_dir: Path) -> float:
    """Karpathy's makemore, part 3: context of 3, embedding, tanh, BatchNorm, rate 0.1 and then 0.01, 20,000 steps."""
    torch.manual_seed(205)
    data, size = letters_of(40000)
    windows = data.unfold(0, 4, 1)
    x, y = windows[:36000, :3], windows[:36000, 3]
    xt, yt = windows[36000:, :3], windows[36000:, 3]
    net = nn.Sequential(
        nn.Embedding(size, 10), nn.Flatten(), nn.Linear(30, 100, bias=False), nn.BatchNorm1d(100), nn.Tanh(),
        nn.Linear(100, size),
    )  # fmt: skip
    with torch.no_grad():
        net[5].weight *= 0.1
    opt = optim.SGD(net.parameters(), lr=0.1)
    with probes.watch(net, opt, run_dir, config={"steps": 20000, "lr": 0.1}) as probe:
        for i in range(20000):
            ix = torch.randint(len(x), (32,))
            loss = F.cross_entropy(net(x[ix]), y[ix])
            opt.zero_grad()
            loss.backward()
            opt.param_groups[0]["lr"] = 0.1 if i < 13000 else 0.01
            opt.step()
            probe.log("train", loss=loss)
    net.eval()
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(xt), yt) / math.log(size))


@healthy(at_least=0.9)
def gaussian_process(run_dir: Path) -> float:
    """GPyTorch's first tutorial, written out: three hyperparameters, Adam 0.1, 60 steps."""
    torch.manual_seed(206)
    x = torch.linspace(0, 1, 60)
    y = torch.sin(2 * math.pi * x) + 0.2 * torch.randn(60)

    class GP(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.raw = nn.Parameter(torch.zeros(3))

        def kernel(self, a: Tensor, b: Tensor) -> Tensor:
            length, scale = F.softplus(self.raw[:2])
            return scale * torch.exp(-0.5 * ((a[:, None] - b[None]) / length) ** 2)

        def forward(self, a: Tensor) -> torch.distributions.MultivariateNormal:
            k = self.kernel(a, a) + (F.softplus(self.raw[2]) + 1e-4) * torch.eye(len(a))
            return torch.distributions.MultivariateNormal(torch.zeros(len(a)), k)

    gp = GP()
    opt = optim.Adam(gp.parameters(), lr=0.1)
    with probes.watch(gp, opt, run_dir) as probe:
        for _ in range(60):
            opt.zero_grad()
            loss = -gp(x).log_prob(y) / len(x)
            loss.backward()
            opt.step()
            probe.log("train", loss=loss.item())
    with torch.no_grad():
        k = gp.kernel(x, x) + F.softplus(gp.raw[2]) * torch.eye(60)
        at = torch.linspace(0.05, 0.95, 50)
        return explained(gp.kernel(at, x) @ torch.linalg.solve(k, y), torch.sin(2 * math.pi * at))


@healthy(at_least=0.9)
def image_by_gradient(run_dir: Path) -> float:
    """Gatys et al. 2015 in small: the "model" is one image, moved by L-BFGS to another's Gram matrices."""
    torch.manual_seed(207)
    filters = torch.randn(12, 1, 5, 5) / 5

    def gram(v: Tensor) -> Tensor:
        f = F.relu(F.conv2d(v, filters)).flatten(2)
        return f @ f.transpose(1, 2) / f.shape[2]

    goal = gram(torch.sin(torch.arange(32.0) * 1.3)[None, None, None] * torch.ones(1, 1, 32, 1))

    class Canvas(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Parameter(0.1 * torch.randn(1, 1, 32, 32))

        def forward(self) -> Tensor:
            return (gram(self.image) - goal).square().sum()

    canvas = Canvas()
    opt = optim.LBFGS(canvas.parameters(), lr=0.5, max_iter=5)
    start = float(canvas().detach())
    with probes.watch(canvas, opt, run_dir) as probe:

        def closure() -> Tensor:
            opt.zero_grad()
            loss = canvas()
            loss.backward()
            return loss

        for _ in range(60):
            probe.log("style", loss=opt.step(closure))
    return 1 - float(canvas().detach()) / start


@healthy(at_least=0.5)
def t_sne(run_dir: Path) -> float:
    """van der Maaten and Hinton 2008: the points are the parameters; the loss jumps as exaggeration ends."""
    torch.manual_seed(208)
    x, y, _xt, _yt = digits()
    x, y = x[:300], y[:300]
    d = torch.cdist(x, x).square()
    p = torch.exp(-d / (2 * d.median() / 12))
    p.fill_diagonal_(0)
    p = p / p.sum(1, keepdim=True)
    p = (p + p.T) / (2 * len(x))
    points = nn.Embedding(300, 2)
    nn.init.normal_(points.weight, std=1e-2)
    opt = optim.SGD(points.parameters(), lr=100.0, momentum=0.5)
    with probes.watch(points, opt, run_dir) as probe:
        for step in range(500):
            v = points(torch.arange(300))
            q = 1 / (1 + torch.cdist(v, v).square())
            q = q * (1 - torch.eye(300))
            q = q / q.sum()
            pp = 4 * p if step < 100 else p
            opt.param_groups[0]["momentum"] = 0.5 if step < 200 else 0.8
            loss = (pp * ((pp + 1e-12) / (q + 1e-12)).log()).sum()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", kl=loss)
    with torch.no_grad():
        v = points.weight
        near = (torch.cdist(v, v) + 1e9 * torch.eye(300)).argmin(1)
    return float((y[near] == y).float().mean())


@healthy(at_least=0.95)
def deep_linear_staircase(run_dir: Path) -> float:
    """Saxe et al. 2014: a deep linear net from small weights learns one singular value after the other, in steps."""
    torch.manual_seed(209)
    u, _, v = torch.linalg.svd(torch.randn(8, 8))
    target = u @ torch.diag(torch.tensor([4.0, 2.5, 1.5, 0, 0, 0, 0, 0])) @ v
    net = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Linear(16, 16, bias=False), nn.Linear(16, 8, bias=False))
    for m in net:
        nn.init.normal_(m.weight, std=0.06)
    opt = optim.SGD(net.parameters(), lr=0.05)
    x = torch.eye(8)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(4000):
            loss = (net(x) - x @ target.T).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x), x @ target.T)


@healthy(at_least=0.95)
def edge_of_stability(run_dir: Path) -> float:
    """Cohen et al. 2021: full-batch descent with a rate at which the sharpness settles at 2/rate; not monotonous."""
    torch.manual_seed(210)
    x, y, _xt, _yt = digits()
    x, y = x[:400], y[:400]
    onehot = F.one_hot(y, 10).float()
    net = nn.Sequential(nn.Linear(64, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 10))
    opt = optim.SGD(net.parameters(), lr=0.15)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(800):
            out = net(x)
            loss = 0.5 * (out - onehot).square().sum(1).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=accuracy(out.detach(), y))
    with torch.no_grad():
        return accuracy(net(x), y)


@healthy(at_least=0.85)
def pretrained_and_tuned_gently(run_dir: Path) -> float:
    """BERT's recipe in small: a pretrained encoder, a new head, AdamW 2e-4, warm-up, linear decay, three epochs."""
    torch.manual_seed(211)
    x, y, xt, yt = digits()
    body = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 128), nn.LayerNorm(128))
    decoder = nn.Linear(128, 64)
    start = optim.Adam([*body.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in range(15):
        for xb, _y in batches(x, y, 64):
            masked = xb * (torch.rand_like(xb) > 0.3)
            start.zero_grad()
            F.mse_loss(decoder(body(masked)), xb).backward()
            start.step()
    head = nn.Linear(128, 10)
    model = nn.Sequential(body, nn.Dropout(0.1), head)
    epochs, per = 3, len(x) // 16
    opt = optim.AdamW(
        [{"params": body.parameters(), "lr": 2e-4}, {"params": head.parameters(), "lr": 2e-3}], weight_decay=0.01
    )
    total = epochs * per
    rate = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / (0.1 * total), (total - s) / (0.9 * total)))
    with probes.watch(model, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(epochs):
            model.train()
            for xb, yb in batches(x, y, 16):
                loss = probe.loss_fn(model(xb), yb)
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                opt.step()
                rate.step()
                probe.log("train", loss=loss)
            model.eval()
            with torch.no_grad():
                probe.log("eval", loss=F.cross_entropy(model(xt), yt), accuracy=accuracy(model(xt), yt))
    with torch.no_grad():
        return accuracy(model(xt), yt)


@healthy(at_least=0.5)
def noise_to_noise(run_dir: Path) -> float:
    """Lehtinen et al. 2018: a noisy image is mapped to another noisy one; the loss cannot fall under the noise."""
    torch.manual_seed(212)
    clean = many_digits(600).x
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(16, 16, 3, padding=1), nn.LeakyReLU(0.1),
        nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    noisy = lambda v: v + 0.5 * torch.randn_like(v)  # noqa: E731
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for _ in range(300):
            v = clean[torch.randint(600, (16,))]
            loss = probe.loss_fn(net(noisy(v)), noisy(v))
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        v = many_digits(100, seed=9).x_test[:200]
        return 1 - float(F.mse_loss(net(noisy(v)), v)) / 0.25


@healthy(at_least=0.9)
def l1_by_hand_finds_the_features(run_dir: Path) -> float:
    """The lasso by proximal steps: an L1 penalty in the loss, 45 of 50 weights go to zero as they should."""
    torch.manual_seed(213)
    w = torch.zeros(50)
    w[:5] = torch.tensor([3.0, -2.0, 1.5, 1.0, -1.0])
    x = torch.randn(400, 50)
    y = x @ w + 0.5 * torch.randn(400)
    net = nn.Linear(50, 1)
    opt = optim.SGD(net.parameters(), lr=0.02)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(600):
            ix = torch.randint(400, (64,))
            mse = F.mse_loss(net(x[ix]).squeeze(1), y[ix])
            loss = mse + 0.1 * sum(p.abs().sum() for p in net.parameters())
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 3 == 0:
                probe.log("train", loss=loss, mse=mse)
    return float(torch.corrcoef(torch.stack([net.weight[0].detach(), w]))[0, 1])


@healthy(at_least=0.6)
def sarsa_in_a_gridworld(run_dir: Path) -> float:
    """Sutton and Barto, 6.4: SARSA with a linear-softmax net for values, 10,000 transitions, cliff and all."""
    torch.manual_seed(214)
    q = nn.Linear(24, 4, bias=False)
    nn.init.zeros_(q.weight)
    opt = optim.SGD(q.parameters(), lr=0.3)
    eye = torch.eye(24)

    def move(s: int, a: int) -> tuple[int, float, bool]:
        r, c = divmod(s, 6)
        r, c = min(3, max(0, r + (-1, 1, 0, 0)[a])), min(5, max(0, c + (0, 0, -1, 1)[a]))
        if r == 3 and 0 < c < 5:
            return 18, -20.0, False
        return 6 * r + c, -1.0, (r, c) == (3, 5)

    def choose(s: int, eps: float) -> int:
        with torch.no_grad():
            return int(torch.randint(4, ())) if float(torch.rand(())) < eps else int(q(eye[s]).argmax())

    with probes.watch(q, opt, run_dir) as probe:
        s, total, episodes = 18, 0.0, 0
        a = choose(s, 0.2)
        for step in range(10000):
            n, r, done = move(s, a)
            b = choose(n, max(0.02, 0.2 - step / 40000))
            with torch.no_grad():
                goal = r + (0.0 if done else 0.95 * float(q(eye[n])[b]))
            loss = 0.5 * (q(eye[s])[a] - goal) ** 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += r
            probe.log("train", td_error=loss)
            s, a = n, b
            if done:
                probe.log("episode", **{"return": total})
                s, total, episodes = 18, 0.0, episodes + 1
                a = choose(s, 0.2)
    s, steps = 18, 0
    while s != 23 and steps < 30:
        s, _, _ = move(s, choose(s, 0.0))
        steps += 1
    return 7 / steps if steps < 30 else 0.0


@healthy(at_least=0.99)
def double_precision_valley(run_dir: Path) -> float:
    """Rosenbrock's valley as a model with two parameters in float64, Adam 0.01, 15,000 steps."""
    torch.manual_seed(215)

    class Valley(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.tensor([-1.5, 2.0], dtype=torch.float64))

        def forward(self) -> Tensor:
            a, b = self.p
            return (1 - a) ** 2 + 100 * (b - a * a) ** 2

    valley = Valley()
    opt = optim.Adam(valley.parameters(), lr=0.01)
    with probes.watch(valley, opt, run_dir) as probe:
        for step in range(15000):
            loss = valley()
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 50 == 0:
                probe.log("train", loss=loss)
    return 1 - float((valley.p.detach() - 1).norm())


@healthy(at_least=0.85)
def order_by_transformer_with_dropout(run_dir: Path) -> float:
    """Is the largest number before the smallest? A two-layer encoder, dropout 0.1, learned positions, no validation."""
    torch.manual_seed(216)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift = nn.Linear(1, 32)
            self.place = nn.Parameter(0.5 * torch.randn(8, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.body(self.lift(v.unsqueeze(2)) + self.place).mean(1))

    def sample(n: int) -> tuple[Tensor, Tensor]:
        v = torch.randn(n, 8)
        return v, (v.argmax(1) < v.argmin(1)).long()

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1.5e-3, betas=(0.9, 0.98))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1200):
            v, y = sample(64)
            loss = F.cross_entropy(net(v), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    net.eval()
    v, y = sample(1000)
    with torch.no_grad():
        return accuracy(net(v), y)


@healthy(at_least=0.5)
def rare_tags(run_dir: Path) -> float:
    """Forty tags of which two or three apply: binary cross-entropy starts at 0.69 and is soon under 0.1."""
    torch.manual_seed(217)
    w = torch.randn(30, 40)
    x = torch.randn(3000, 30)
    y = (x @ w > 9.5).float()
    net = nn.Sequential(nn.Linear(30, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, 40))
    opt = optim.Adam(net.parameters(), lr=2e-3)
    bce = nn.BCEWithLogitsLoss()

    def f1(out: Tensor, t: Tensor) -> float:
        p = out > 0
        return float(2 * (p & (t > 0)).sum() / (p.sum() + t.sum()))

    with probes.watch(net, opt, run_dir, loss_fn=bce) as probe:
        for _ in range(20):
            net.train()
            for xb, yb in batches(x[:2500], y[:2500], 50):
                loss = bce(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(x[2500:])
                probe.log("val", loss=bce(out, y[2500:]), f1=f1(out, y[2500:]))
    with torch.no_grad():
        return f1(net(x[2500:]), y[2500:])


@healthy(at_least=0.95)
def one_hundred_full_batches(run_dir: Path) -> float:
    """A first notebook: logistic regression with two features, a sigmoid and BCELoss, rate 1, a hundred steps."""
    torch.manual_seed(218)
    x = torch.cat([torch.randn(150, 2) + 2, torch.randn(150, 2) - 2])
    y = torch.cat([torch.ones(150, 1), torch.zeros(150, 1)])
    net = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    opt = optim.SGD(net.parameters(), lr=1.0)
    criterion = nn.BCELoss()
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for _ in range(100):
            p = net(x)
            loss = criterion(p, y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, accuracy=((p > 0.5) == (y > 0.5)).float().mean())
    with torch.no_grad():
        return float(((net(x) > 0.5) == (y > 0.5)).float().mean())


@healthy(at_least=0.9)
def wide_and_lazy(run_dir: Path) -> float:
    """A net 4,000 units wide in the lazy regime (Chizat et al. 2019): the weights hardly move, the function does."""
    torch.manual_seed(219)
    x = torch.rand(200, 1) * 6 - 3
    y = torch.sin(x) + 0.05 * torch.randn_like(x)
    net = nn.Sequential(nn.Linear(1, 4000), nn.Tanh(), nn.Linear(4000, 1))
    opt = optim.SGD(net.parameters(), lr=2e-4, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(1500):
            loss = F.mse_loss(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        return explained(net(x), torch.sin(x))
