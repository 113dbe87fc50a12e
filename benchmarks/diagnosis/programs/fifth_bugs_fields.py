"""Faulty programs of the fifth fresh set: the usual mistakes, in agents, generators, translators and graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import faulty


@faulty("loss-output-mismatch", "constant-predictions", "underfitting", "loss-not-decreasing", "slow-convergence",
        below=0.85)  # fmt: skip
def rewards_of_every_other_transition(run_dir: Path, *, mended: bool = False) -> float:
    """Q(s, a) is [N, 1] after gather, reward + gamma * max is [N]: each value is drawn to the targets of the whole
    batch (hungtuchen/pytorch-dqn issue 3)."""
    torch.manual_seed(951)
    n, gamma = 4000, 0.6
    state = torch.randn(n, 4)
    action = torch.randint(3, (n,))
    best = (state[:, 0] > 0).long() + ((state[:, 0] > 0) & (state[:, 1] * state[:, 2] > 0)).long()
    reward = (action == best).float() + 0.1 * torch.randn(n)
    after = 0.5 * state + 0.8 * torch.randn(n, 4)
    done = (torch.rand(n) < 0.1).float()
    q = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    target = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    target.load_state_dict(q.state_dict())
    optimizer = optim.Adam(q.parameters(), lr=1e-3)
    with probes.watch(q, optimizer, run_dir) as probe:
        for step in range(1500):
            chosen = torch.randint(n, (64,))
            value = q(state[chosen]).gather(1, action[chosen, None])
            with torch.no_grad():
                ahead = target(after[chosen]).max(1)[0]
                expected = reward[chosen] + gamma * ahead * (1 - done[chosen])
            loss = F.smooth_l1_loss(value.squeeze(1) if mended else value, expected)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                target.load_state_dict(q.state_dict())
            if step % 10 == 0:
                probe.log("dqn", loss=loss, mean_q=value.mean())
    with torch.no_grad():
        return accuracy(q(state), best)


@faulty("loss-diverging", "nonfinite-values", "weights-growing", "exploding-gradients", "loss-spikes",
        "unexpected-initial-loss", "loss-output-mismatch", "saturated-activations", below=0.5)  # fmt: skip
def divergence_with_its_minus_forgotten(run_dir: Path, *, mended: bool = False) -> float:
    """KLD = 0.5 * sum(1 + logvar - mu^2 - exp(logvar)): the minus of -0.5 got lost when the VAE example was typed in,
    and the code runs away from its prior (the sign of this term fills the issues of VAE repositories)."""
    torch.manual_seed(952)
    raw, _, held_out, _ = digits(standard=False)
    x, xt = raw / 16, held_out / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(64, 96), nn.Linear(96, 8), nn.Linear(96, 8)
            self.fc3, self.fc4 = nn.Linear(8, 96), nn.Linear(96, 64)

        def decode(self, z: Tensor) -> Tensor:
            return self.fc4(F.relu(self.fc3(z)))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = F.relu(self.fc1(v))
            mu, logvar = self.fc21(h), self.fc22(h)
            return self.decode(mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)), mu, logvar

    net = VAE()
    optimizer = optim.Adam(net.parameters(), lr=1e-3)
    sign = -0.5 if mended else 0.5
    with probes.watch(net, optimizer, run_dir) as probe:
        for epoch in range(30):
            for xb, _ in batches(x, x, 32):
                recon, mu, logvar = net(xb)
                bce = F.binary_cross_entropy_with_logits(recon, xb, reduction="sum") / len(xb)
                kld = sign * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(xb)
                loss = bce + 0.3 * kld
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss.item(), epoch=epoch)
    with torch.no_grad():
        _, mu, _ = net(xt)
        return explained(net.decode(mu).sigmoid(), xt)


@faulty("loss-output-mismatch", "vanishing-gradients", "saturated-activations", "weights-growing",
        "collapsed-activations", "dead-units", below=0.7)  # fmt: skip
def generator_that_wants_to_be_caught(run_dir: Path, *, mended: bool = False) -> float:
    """label.fill_(fake_label) left as it was for the generator's step of the DCGAN tutorial, where the real label
    belongs: both nets work against the generator, and both losses are zero."""
    torch.manual_seed(953)

    def real_data(n: int) -> Tensor:
        turn = 3.14 * torch.rand(n)
        return torch.stack([2 + torch.cos(turn), -1 + torch.sin(turn)], 1) + 0.1 * torch.randn(n, 2)

    gen = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
    dis = nn.Sequential(nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))
    opt_g = optim.Adam(gen.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_d = optim.Adam(dis.parameters(), lr=1e-3, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
    with probes.watch(nn.ModuleDict({"gen": gen, "dis": dis}), [opt_g, opt_d], run_dir) as probe:
        for _ in range(1200):
            fake = gen(torch.randn(64, 4))
            opt_d.zero_grad()
            err_d = criterion(dis(real_data(64)), ones) + criterion(dis(fake.detach()), zeros)
            err_d.backward()
            opt_d.step()
            opt_g.zero_grad()
            err_g = criterion(dis(fake), ones if mended else zeros)
            err_g.backward()
            opt_g.step()
            probe.log("gan", loss_D=err_d, loss_G=err_g)
    with torch.no_grad():
        fake, real = gen(torch.randn(1000, 4)), real_data(1000)
        off = (fake.mean(0) - real.mean(0)).abs().sum() + (fake.std(0) - real.std(0)).abs().sum()
        return float(1 - off / 3)


def _energy(a: Tensor, b: Tensor) -> float:
    """Squared energy distance of two samples [N, 2] of one size, a point's distance to itself left out."""
    within = (torch.cdist(a, a).mean() + torch.cdist(b, b).mean()) * len(a) / (len(a) - 1)
    return float(2 * torch.cdist(a, b).mean() - within)


@faulty("loss-not-decreasing", "underfitting", "slow-convergence", "noisy-loss", "training-too-short", below=0.7)
def alphas_not_multiplied_up(run_dir: Path, *, mended: bool = False) -> float:
    """q(x_t | x_0) with alpha_t in the place of the product of all alphas up to t: hardly any noise is ever added, and
    it cannot be guessed ("samples are noise, the loss stays near 1", issues of diffusion models from scratch)."""
    torch.manual_seed(954)
    points = torch.tensor(make_moons(2000, noise=0.06, random_state=0)[0]).float()
    points = (points - points.mean(0)) / points.std(0)
    steps = 100
    beta = torch.linspace(1e-3, 0.12, steps)
    alpha = 1 - beta
    alpha_bar = alpha.cumprod(0) if mended else alpha

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Embedding(steps, 32)
            self.enter, self.body = nn.Linear(2, 96), nn.Sequential(nn.SiLU(), nn.Linear(96, 96), nn.SiLU())
            self.shift, self.out = nn.Linear(32, 96), nn.Linear(96, 2)

        def forward(self, v: Tensor, t: Tensor) -> Tensor:
            return self.out(self.body(self.enter(v) + self.shift(self.time(t))))

    net = Denoiser()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(3000):
            x0 = points[torch.randint(2000, (256,))]
            t = torch.randint(steps, (256,))
            noise = torch.randn_like(x0)
            scale = alpha_bar[t, None]
            loss = F.mse_loss(net(scale.sqrt() * x0 + (1 - scale).sqrt() * noise, t), noise)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", mse=loss)
    with torch.no_grad():
        x = start = torch.randn(1000, 2)
        for t in reversed(range(steps)):
            guess = net(x, torch.full((1000,), t))
            x = (x - beta[t] / (1 - alpha_bar[t]).sqrt() * guess) / alpha[t].sqrt()
            if t:
                x = x + beta[t].sqrt() * torch.randn_like(x)
        score = 1 - _energy(x, points[:1000]) / max(_energy(start, points[:1000]), 1e-6)
        return score if math.isfinite(score) else 0.0


@faulty("validation-anomaly", "no-generalization", "overfitting", below=0.8)
def decoder_fed_its_own_answers(run_dir: Path, *, mended: bool = False) -> float:
    """decoder(target) trained to say target: the shift by one, and the <sos>, were left out of the teacher forcing; the
    loss is zero at once and translations are nonsense (Stack Overflow, seq2seq questions)."""
    torch.manual_seed(955)
    letters, length, sos = 10, 5, 10

    class Seq2Seq(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(letters + 1, 24)
            self.encoder, self.decoder = nn.GRU(24, 64, batch_first=True), nn.GRU(24, 64, batch_first=True)
            self.out = nn.Linear(64, letters)

        def forward(self, source: Tensor, given: Tensor) -> Tensor:
            _, hidden = self.encoder(self.embed(source))
            return self.out(self.decoder(self.embed(given), hidden)[0])

        def translate(self, source: Tensor) -> Tensor:
            _, hidden = self.encoder(self.embed(source))
            token, said = torch.full((len(source), 1), sos), []
            for _ in range(length):
                out, hidden = self.decoder(self.embed(token), hidden)
                token = self.out(out).argmax(-1)
                said.append(token)
            return torch.cat(said, 1)

    def sums(n: int) -> tuple[Tensor, Tensor]:
        source = torch.randint(letters, (n, length))
        return source, (source.flip(1) + 3) % letters

    net = Seq2Seq()
    opt = optim.Adam(net.parameters(), lr=4e-3)
    xt, yt = sums(300)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1000):
            x, y = sums(64)
            given = torch.cat([torch.full((64, 1), sos), y[:, :-1]], 1) if mended else y
            loss = F.cross_entropy(net(x, given).flatten(0, 1), y.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    probe.log("val", token_acc=(net.translate(xt) == yt).float().mean())
    with torch.no_grad():
        return float((net.translate(xt) == yt).float().mean())


@faulty("loss-not-decreasing", "underfitting", "constant-predictions", "slow-convergence", "training-too-short",
        below=0.85)  # fmt: skip
def positions_counted_along_the_batch(run_dir: Path, *, mended: bool = False) -> float:
    """x + self.pe[: x.size(0)] of the transformer tutorial, used with batch_first=True: each example has a position,
    its tokens have none (PyTorch tutorials' issues)."""
    torch.manual_seed(956)

    class PositionalEncoding(nn.Module):
        def __init__(self, d_model: int, max_len: int = 300) -> None:
            super().__init__()
            position = torch.arange(max_len).unsqueeze(1)
            div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
            pe = torch.zeros(max_len, 1, d_model)
            pe[:, 0, 0::2], pe[:, 0, 1::2] = torch.sin(position * div_term), torch.cos(position * div_term)
            self.register_buffer("pe", pe)

        def forward(self, v: Tensor) -> Tensor:
            pe: Tensor = self.pe  # type: ignore[assignment]
            return v + (pe[: v.size(1)].transpose(0, 1) if mended else pe[: v.size(0)])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.places = nn.Embedding(16, 32), PositionalEncoding(32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(32, 16)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.encoder(self.places(self.embed(v)))[:, 0])

    def queries(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randint(8, 16, (n, 8))
        x[:, 0] = torch.randint(1, 8, (n,))
        return x, x.gather(1, x[:, :1])[:, 0]

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    xt, yt = queries(256)
    with probes.watch(net, opt, run_dir, loss_fn=criterion) as probe:
        for step in range(900):
            x, y = queries(64)
            loss = probe.loss_fn(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                with torch.no_grad():
                    out = net(xt)
                    probe.log("val", loss=criterion(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("no-generalization", "overfitting", below=0.8)
def edges_viewed_not_transposed(run_dir: Path, *, mended: bool = False) -> float:
    """edge_index = edges.view(2, -1) of a list [E, 2], where edges.t() was meant: neighbours are people who happen to
    stand next to each other in the file (PyTorch Geometric issues)."""
    torch.manual_seed(957)
    n = 600
    group = torch.randint(4, (n,))
    pairs = torch.randint(n, (24000, 2))
    same = group[pairs[:, 0]] == group[pairs[:, 1]]
    pairs = pairs[(same & (torch.rand(24000) < 0.8)) | (torch.rand(24000) < 0.05)]
    source, sink = pairs.t() if mended else pairs.contiguous().view(2, -1)
    features = F.one_hot(group, 4).float() * 0.6 + torch.randn(n, 4)
    features = torch.cat([features, torch.randn(n, 12)], 1)
    degree = torch.zeros(n).index_add(0, sink, torch.ones(len(sink))).clamp(min=1)[:, None]

    def mean_of_neighbours(h: Tensor) -> Tensor:
        return torch.zeros_like(h).index_add(0, sink, h[source]) / degree

    class Sage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own1, self.other1 = nn.Linear(16, 32), nn.Linear(16, 32)
            self.own2, self.other2 = nn.Linear(32, 4), nn.Linear(32, 4)

        def forward(self, v: Tensor) -> Tensor:
            h = F.relu(self.own1(v) + self.other1(mean_of_neighbours(v)))
            h = F.dropout(h, 0.5, self.training)
            return self.own2(h) + self.other2(mean_of_neighbours(h))

    net = Sage()
    opt = optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    train, val = torch.arange(0, 200), torch.arange(200, 600)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(120):
            net.train()
            loss = F.cross_entropy(net(features)[train], group[train])
            opt.zero_grad()
            loss.backward()
            opt.step()
            net.eval()
            with torch.no_grad():
                out = net(features)
            probe.log("train", loss=loss, acc=accuracy(out[train], group[train]), epoch=epoch)
            probe.log("val", acc=accuracy(out[val], group[val]), loss=F.cross_entropy(out[val], group[val]))
    with torch.no_grad():
        return accuracy(net(features)[val], group[val])


def _passages(policy: Callable[[Tensor], Tensor], way: Tensor, games: int) -> tuple[Tensor, Tensor, Tensor]:
    """``games`` walks of 14 steps through six doors; the right of three knobs opens a door, the last one pays.

    Returns log-probabilities, rewards and whether the game was still on, each [14, games].
    """
    at = torch.zeros(games, dtype=torch.long)
    log_probs, rewards, going = [], [], []
    for _ in range(14):
        chances = torch.distributions.Categorical(logits=policy(F.one_hot(at.clamp(max=5), 6).float()))
        knob = chances.sample()
        on = at < 6
        opened = on & (knob == way[at.clamp(max=5)])
        at = torch.where(opened, at + 1, at)
        log_probs.append(chances.log_prob(knob))
        rewards.append((opened & (at == 6)).float())
        going.append(on.float())
    return torch.stack(log_probs), torch.stack(rewards), torch.stack(going)


@faulty("vanishing-gradients", "constant-predictions", "stalled-run", "parameters-not-updated",
        "loss-not-decreasing", "underfitting", below=0.8)  # fmt: skip
def returns_added_up_from_the_start(run_dir: Path, *, mended: bool = False) -> float:
    """REINFORCE whose returns are a running sum from the first step on, not from the last one back: an action is paid
    for what came before it (Stack Overflow, "policy gradient does not learn CartPole")."""
    torch.manual_seed(958)
    way = torch.tensor([0, 2, 1, 1, 0, 2])
    net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))
    opt = optim.Adam(net.parameters(), lr=0.01)
    gamma = 0.95
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(250):
            log_probs, rewards, going = _passages(net, way, 32)
            running, returns = torch.zeros(32), []
            for reward in reversed(rewards) if mended else rewards:
                running = reward + gamma * running
                returns.append(running)
            gains = torch.stack(returns[::-1] if mended else returns)
            loss = -(log_probs * gains * going).sum(0).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, reward=rewards.sum(0).mean())
    with torch.no_grad():
        return float(_passages(net, way, 500)[1].sum(0).mean())
