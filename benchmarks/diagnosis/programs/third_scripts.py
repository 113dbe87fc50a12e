"""Healthy trainings of the third fresh set, logged the way people's own scripts and trainers log, or not at all."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import Tensor, nn, optim
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset, random_split

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.9)
def as_a_trainer_reports(run_dir: Path) -> float:
    """As Hugging Face's Trainer logs: mean loss, gradient norm and rate of ten steps; accumulation; linear decay."""
    torch.manual_seed(661)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Dropout(0.1), nn.Linear(96, 96), nn.Tanh(), nn.Linear(96, 10))
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    total, accumulate = 400, 4
    sched = optim.lr_scheduler.LambdaLR(opt, lambda t: 1 - t / total)
    logged = 0.0
    with probes.watch(net, opt, run_dir, config={"gradient_accumulation_steps": 4, "max_steps": total}) as probe:
        for step in range(1, total + 1):
            for _ in range(accumulate):
                chosen = torch.randint(len(x), (8,))
                loss = F.cross_entropy(net(x[chosen]), y[chosen]) / accumulate
                loss.backward()
                logged += loss.item() / 10
            norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            rate = sched.get_last_lr()[0]
            sched.step()
            opt.zero_grad()
            if step % 10 == 0:
                probe.log("train", loss=round(logged, 4), grad_norm=norm, learning_rate=rate, epoch=step * 32 / len(x))
                logged = 0.0
            if step % 80 == 0:
                net.eval()
                with torch.no_grad():
                    out = net(xt)
                    probe.log("eval", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
                net.train()
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def packed_sequences_unlogged(run_dir: Path) -> float:
    """A bidirectional LSTM over brackets of unequal length, packed: are they balanced? Nothing is logged at all."""
    torch.manual_seed(662)

    def sample(n: int) -> tuple[Tensor, Tensor, Tensor]:
        length = torch.randint(4, 13, (n,)) * 2
        x, y = torch.zeros(n, 24, dtype=torch.long), torch.zeros(n)
        for i, size in enumerate(length.tolist()):
            depth, row = 0, []
            for left in range(size, 0, -1):
                up = depth == 0 or (depth < left and torch.rand(()) < 0.5)
                depth += 1 if up else -1
                row.append(1 if up else 2)
            y[i] = float(torch.rand(()) < 0.5)
            if not y[i]:
                place = int(torch.randint(size, ()))
                row[place] = 3 - row[place]
            x[i, :size] = torch.tensor(row)
        return x, length, y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(3, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 32, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(64, 1)

        def forward(self, x: Tensor, length: Tensor) -> Tensor:
            packed = pack_padded_sequence(self.embed(x), length, batch_first=True, enforce_sorted=False)
            _, (last, _) = self.lstm(packed)
            return self.fc(torch.cat([last[0], last[1]], 1)).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    x, length, y = sample(2000)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(10):
            for rows in torch.randperm(2000).split(50):
                loss = probe.loss_fn(net(x[rows], length[rows]), y[rows])
                opt.zero_grad()
                loss.backward()
                opt.step()
    x, length, y = sample(500)
    with torch.no_grad():
        return float(((net(x, length) > 0) == (y > 0)).float().mean())


@healthy(at_least=0.6)
def attention_on_a_graph(run_dir: Path) -> float:
    """GAT (Velickovic et al. 2018) on one made-up graph: dropout of 0.6, 200 full-batch epochs, 80 labels, printed."""
    torch.manual_seed(663)
    n = 400
    y = torch.arange(n) % 4
    same = (y[:, None] == y).float()
    links = torch.triu((torch.rand(n, n) < 0.004 + 0.026 * same).float(), 1)
    links = links + links.t() + torch.eye(n)
    x = torch.randn(n, 40)
    x[:, :4] += 1.2 * F.one_hot(y, 4)

    class Layer(nn.Module):
        def __init__(self, inside: int, outside: int, heads: int) -> None:
            super().__init__()
            self.heads, self.lin = heads, nn.Linear(inside, heads * outside, bias=False)
            self.ends = nn.Parameter(0.1 * torch.randn(2, heads, outside))

        def forward(self, v: Tensor) -> Tensor:
            h = self.lin(F.dropout(v, 0.6, self.training)).view(len(v), self.heads, -1)
            a, b = (h * self.ends[0]).sum(-1), (h * self.ends[1]).sum(-1)
            e = F.leaky_relu(a[:, None] + b[None], 0.2).masked_fill(links[..., None] == 0, -1e9)
            return torch.einsum("ijh,jhc->ihc", F.dropout(e.softmax(1), 0.6, self.training), h)

    class GAT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = Layer(40, 8, 4), Layer(32, 4, 1)

        def forward(self, v: Tensor) -> Tensor:
            return self.two(F.elu(self.one(v).flatten(1))).squeeze(1)

    net = GAT()
    opt = optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    train, val, test = slice(0, 80), slice(80, 180), slice(180, n)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(1, 201):
            net.train()
            loss = F.cross_entropy(net(x)[train], y[train])
            opt.zero_grad()
            loss.backward()
            opt.step()
            net.eval()
            with torch.no_grad():
                out = net(x)
            probe.log("train", loss=loss, acc=accuracy(out[train], y[train]), epoch=epoch)
            probe.log("val", acc=accuracy(out[val], y[val]))
    return accuracy(out[test], y[test])


@healthy(at_least=0.85)
def colours_of_a_photograph(run_dir: Path) -> float:
    """An image as a function (tiny-cuda-nn's example): grids of features at four scales, 1% of its pixels a step."""
    torch.manual_seed(664)
    picture = torch.tensor(load_sample_image("flower.jpg")[::4, ::4] / 255.0).float().permute(2, 0, 1)
    height, width = picture.shape[1:]

    class Grids(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grids = nn.ParameterList([1e-4 * torch.randn(1, 4, s, s) for s in (8, 16, 32, 64)])
            self.mlp = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3), nn.Sigmoid())

        def forward(self, v: Tensor) -> Tensor:
            found = [F.grid_sample(g, v[None, None], align_corners=True)[0, :, 0].t() for g in self.grids]
            return self.mlp(torch.cat(found, 1))

    net = Grids()
    opt = optim.Adam(net.parameters(), lr=1e-2, eps=1e-15)
    with probes.watch(net, opt, run_dir, every=10) as probe:
        for step in range(1000):
            r, c = torch.randint(height, (256,)), torch.randint(width, (256,))
            place = torch.stack([c / (width - 1), r / (height - 1)], 1) * 2 - 1
            loss = F.mse_loss(net(place), picture[:, r, c].t())
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 100 == 0:
                probe.log("train", mse=loss, psnr=-10 * torch.log10(loss.detach()))
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    with torch.no_grad():
        return explained(net(torch.stack([columns, rows], 2).flatten(0, 1)), picture.flatten(1).t())


@healthy(at_least=0.8)
def swing_by_deterministic_policy(run_dir: Path) -> float:
    """DDPG (Lillicrap et al. 2016): a cart driven to the middle; the actor's "loss" is minus a value, and wanders."""
    torch.manual_seed(665)
    actor = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Tanh())
    critic = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    slow_actor = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1), nn.Tanh())
    slow_critic = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    slow_actor.load_state_dict(actor.state_dict())
    slow_critic.load_state_dict(critic.state_dict())
    opt_a, opt_c = optim.Adam(actor.parameters(), lr=1e-3), optim.Adam(critic.parameters(), lr=2e-3)

    def move(s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        speed = 0.9 * s[:, 1] + 0.3 * a.squeeze(1)
        place = s[:, 0] + 0.3 * speed
        return torch.stack([place, speed], 1), 1 - place.abs().clamp(max=3)

    def score() -> float:
        s, total = torch.rand(200, 2) * 4 - 2, 0.0
        with torch.no_grad():
            for t in range(40):
                s, reward = move(s, actor(s))
                total += float(reward.mean()) * (t >= 20) / 20
        return total

    s = torch.rand(16, 2) * 4 - 2
    kept: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    with probes.watch(nn.ModuleDict({"actor": actor, "critic": critic}), [opt_c, opt_a], run_dir) as probe:
        for step in range(1500):
            with torch.no_grad():
                a = (actor(s) + 0.4 * torch.randn(16, 1)).clamp(-1, 1)
            after, reward = move(s, a)
            kept = [*kept[-299:], (s, a, reward, after)]
            s = torch.rand(16, 2) * 4 - 2 if step % 25 == 24 else after
            if step < 20:
                continue
            picks = torch.randint(len(kept), (4,)).tolist()
            sb, ab, rb, nb = (torch.cat(part) for part in zip(*(kept[i] for i in picks), strict=True))
            with torch.no_grad():
                goal = rb + 0.95 * slow_critic(torch.cat([nb, slow_actor(nb)], 1)).squeeze(1)
            loss_c = F.mse_loss(critic(torch.cat([sb, ab], 1)).squeeze(1), goal)
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()
            loss_a = -critic(torch.cat([sb, actor(sb)], 1)).mean()
            opt_a.zero_grad()
            loss_a.backward()
            opt_a.step()
            with torch.no_grad():
                for slow, fast in ((slow_actor, actor), (slow_critic, critic)):
                    for p, q in zip(slow.parameters(), fast.parameters(), strict=True):
                        p.lerp_(q, 0.01)
            probe.log("losses", critic=loss_c, actor=loss_a)
    return score()


@healthy(at_least=0.4)
def masked_patches(run_dir: Path) -> float:
    """A masked autoencoder (He et al. 2022): three patches in four are hidden, drawn from the rest; R^2."""
    torch.manual_seed(666)
    x, _y, xt, _yt = digits(flat=False, standard=False)
    x, xt = x / 16, xt / 16
    cut = lambda v: F.unfold(v, 2, stride=2).transpose(1, 2)  # noqa: E731 - 16 patches of 4 pixels

    class MAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.place = nn.Linear(4, 48), nn.Parameter(0.02 * torch.randn(16, 48))
            self.mask = nn.Parameter(torch.zeros(48))
            one, two, three = (
                nn.TransformerEncoderLayer(48, 4, 96, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(3)
            )
            self.encoder, self.decoder = nn.ModuleList([one, two]), three
            self.out = nn.Linear(48, 4)

        def forward(self, patches: Tensor, order: Tensor) -> Tensor:
            n, rows = len(patches), torch.arange(len(patches))[:, None]
            seen = (self.embed(patches) + self.place)[rows, order[:, :4]]
            for layer in self.encoder:
                seen = layer(seen)
            whole = self.mask.expand(n, 16, 48).clone()
            whole[rows, order[:, :4]] = seen
            return self.out(self.decoder(whole + self.place))

    net = MAE()
    opt = optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05)
    sched = optim.lr_scheduler.OneCycleLR(opt, 3e-3, total_steps=40 * (len(x) // 64))
    loader = DataLoader(TensorDataset(cut(x)), batch_size=64, shuffle=True, drop_last=True)

    def hidden_error(patches: Tensor) -> tuple[Tensor, Tensor]:
        order = torch.rand(len(patches), 16).argsort(1)
        rows = torch.arange(len(patches))[:, None]
        guess, truth = net(patches, order)[rows, order[:, 4:]], patches[rows, order[:, 4:]]
        return F.mse_loss(guess, truth), truth

    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(40):
            mean = 0.0
            for (patches,) in loader:
                loss, _ = hidden_error(patches)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                mean += loss.item() / len(loader)
            probe.log("epoch", train_loss=mean, number=epoch)
    with torch.no_grad():
        error, truth = hidden_error(cut(xt))
        return 1 - float(error / truth.var())


@healthy(at_least=0.95)
def smooth_law_by_second_order(run_dir: Path) -> float:
    """LBFGS with 20 inner iterations a step, 15 steps in all, full batch: a smooth law of two inputs, loss printed."""
    torch.manual_seed(667)
    x = torch.rand(400, 2) * 4 - 2
    y = torch.sin(x[:, 0]) * x[:, 1] + 0.3 * x[:, 0]
    net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
    opt = optim.LBFGS(net.parameters(), lr=1.0, max_iter=20, history_size=10, line_search_fn="strong_wolfe")
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):

            def closure() -> Tensor:
                opt.zero_grad()
                loss = F.mse_loss(net(x[:300]).squeeze(1), y[:300])
                loss.backward()
                return loss

            loss = opt.step(closure)
            probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[300:]).squeeze(1), y[300:]))
    with torch.no_grad():
        return explained(net(x[300:]), y[300:])


@healthy(at_least=0.6)
def hazard_of_every_month(run_dir: Path) -> float:
    """Gensheimer and Narasimhan 2019: a hazard for each of 12 months, those who left early are masked; concordance."""
    torch.manual_seed(668)
    x = torch.randn(8000, 8)
    risk = 0.8 * x[:, 0] + 0.6 * x[:, 1].abs() - 0.5 * x[:, 2] * (x[:, 3] > 0)
    time = 8 * torch.rand(8000).log().neg() * torch.exp(-risk)
    censored = 14 * torch.rand(8000)
    month, dead = torch.minimum(time, censored).clamp(max=11.9).long(), (time < censored) & (time < 12)
    months = torch.arange(12)
    at_risk = (months <= month[:, None]).float()
    dies = ((months == month[:, None]) & dead[:, None]).float()
    net = nn.Sequential(nn.Linear(8, 32), nn.SELU(), nn.Dropout(0.1), nn.Linear(32, 12))
    data = TensorDataset(x, at_risk, dies)
    train, val = random_split(data, [6000, 2000])
    opt = optim.RMSprop(net.parameters(), lr=5e-4, momentum=0.5, centered=True)

    def nll(batch: list[Tensor]) -> Tensor:
        each = F.binary_cross_entropy_with_logits(net(batch[0]), batch[2], reduction="none")
        return (each * batch[1]).sum(1).mean()

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            net.train()
            running = 0.0
            loader = DataLoader(train, batch_size=100, shuffle=True)
            for batch in loader:
                loss = nll(batch)
                opt.zero_grad()
                loss.backward()
                opt.step()
                running += loss.item()
            net.eval()
            with torch.no_grad():
                probe.log("loss", train=running / len(loader), val=nll(list(data[val.indices])))
    rows = torch.tensor(val.indices)
    with torch.no_grad():
        expected = torch.sigmoid(net(x[rows])).sum(1)
    earlier = (month[rows][:, None] < month[rows]) & dead[rows][:, None]
    return float((expected[:, None] > expected)[earlier].float().mean())


@healthy(at_least=0.5)
def sum_of_squares_at_a_small_rate(run_dir: Path) -> float:
    """A linear autoencoder; errors are summed over batch and raw pixels, so the rate is a millionth; R^2."""
    torch.manual_seed(669)
    x, _y, xt, _yt = digits(standard=False)
    mean = x.mean(0)
    net = nn.Sequential(nn.Linear(64, 12, bias=False), nn.Linear(12, 64, bias=False))
    opt = optim.SGD(net.parameters(), lr=1e-6, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, _ in batches(x - mean, x, 64):
                loss = ((net(xb) - xb) ** 2).sum()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", sse=loss)
            with torch.no_grad():
                probe.log("test", sse=((net(xt - mean) - (xt - mean)) ** 2).sum())
    with torch.no_grad():
        return float(1 - ((net(xt - mean) - (xt - mean)) ** 2).sum() / ((xt - mean) ** 2).sum())
