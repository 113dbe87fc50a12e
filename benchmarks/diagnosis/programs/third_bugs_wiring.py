"""Faulty programs of the third fresh set: gradients that do not arrive, and parameters that nobody moves."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, cancer, digits, explained
from benchmarks.diagnosis.programs.program import faulty
from benchmarks.diagnosis.programs.second_textbook import letters_of


@faulty("parameters-not-updated", "missing-gradients", "vanishing-gradients", "loss-not-decreasing",
        below=0.2)  # fmt: skip
def cleared_before_a_decaying_step(run_dir: Path, *, mended: bool = False) -> float:
    """backward, clip, zero_grad(set_to_none=False), AdamW.step: the weights do move, by the decay alone."""
    torch.manual_seed(441)
    data, size = letters_of(20000)

    class Chars(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(size, 32)
            self.lstm = nn.LSTM(32, 64, batch_first=True)
            self.out = nn.Linear(64, size)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(v))[0])

    net = Chars()
    opt = optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.01)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(300):
            piece = torch.stack([data[s : s + 31] for s in torch.randint(17000, (16,))])
            loss = F.cross_entropy(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            if mended:
                opt.step()
            opt.zero_grad(set_to_none=False)
            if not mended:
                opt.step()
            if step % 5 == 0:
                probe.log("train", loss=loss, perplexity=math.exp(float(loss)))
    held = data[17100:19890].view(-1, 31)
    with torch.no_grad():
        return float(1 - F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten()) / math.log(size))


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "loss-not-decreasing", below=0.75)
def decoder_never_stepped(run_dir: Path, *, mended: bool = False) -> float:
    """Two optimizers, as in the PyTorch seq2seq tutorial; decoder_optimizer.step() was lost in a merge."""
    torch.manual_seed(442)

    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(13, 24)
            self.gru = nn.GRU(24, 48, batch_first=True)

        def forward(self, v: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
            out, state = self.gru(self.embed(v), state)
            return out, state

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder, self.out = Coder(), Coder(), nn.Linear(48, 12)

        def forward(self, source: Tensor, shifted: Tensor) -> Tensor:
            return self.out(self.decoder(shifted, self.encoder(source)[1])[0])

    def pairs(n: int) -> tuple[Tensor, Tensor, Tensor]:
        source = torch.randint(12, (n, 4))
        target = source.sort(1).values
        return source, torch.cat([torch.full((n, 1), 12), target[:, :-1]], 1), target

    net = Pair()
    encoder_opt = optim.Adam(net.encoder.parameters(), lr=4e-3)
    decoder_opt = optim.Adam([*net.decoder.parameters(), *net.out.parameters()], lr=4e-3)
    with probes.watch(net, [encoder_opt, decoder_opt], run_dir) as probe:
        for _ in range(600):
            source, shifted, target = pairs(32)
            encoder_opt.zero_grad()
            decoder_opt.zero_grad()
            loss = F.cross_entropy(net(source, shifted).flatten(0, 1), target.flatten())
            loss.backward()
            encoder_opt.step()
            if mended:
                decoder_opt.step()
            probe.log("train", loss=loss)
    source, shifted, target = pairs(300)
    with torch.no_grad():
        return accuracy(net(source, shifted), target)


@faulty("parameters-not-updated", "underfitting", "slow-convergence", "loss-not-decreasing", below=0.85)
def thawed_but_not_handed_over(run_dir: Path, *, mended: bool = False) -> float:
    """Gradual unfreezing: the optimizer got filter(requires_grad) at the start and never hears of the thawed body."""
    torch.manual_seed(443)
    x, y, xt, yt = digits(flat=False)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(body, nn.Linear(6, 10))
    for p in body.parameters():
        p.requires_grad_(False)
    opt = optim.Adam(filter(lambda p: p.requires_grad, net.parameters()), lr=5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(25):
            if epoch == 3:
                for p in body.parameters():
                    p.requires_grad_(True)
                if mended:
                    opt.add_param_group({"params": body.parameters(), "lr": 5e-3})
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                net.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("missing-gradients", "parameters-not-updated", "collapsed-activations", "underfitting", "slow-convergence",
        below=0.5)  # fmt: skip
def code_book_without_a_way_back(run_dir: Path, *, mended: bool = False) -> float:
    """A VQ-VAE (van den Oord et al. 2017) without its straight-through line: argmin has no gradient."""
    torch.manual_seed(444)
    x, _, xt, _ = digits(standard=False)
    x, xt = x / 16, xt / 16

    class VQ(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
            self.book = nn.Embedding(32, 4)
            nn.init.uniform_(self.book.weight, -0.2, 0.2)
            self.decoder = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encoder(v).view(-1, 8, 4)
            q = self.book(torch.cdist(z, self.book.weight[None]).argmin(-1))
            extra = F.mse_loss(q, z.detach())
            if mended:
                extra = extra + 0.25 * F.mse_loss(z, q.detach())
                q = z + (q - z).detach()
            return self.decoder(q.flatten(1)), extra

    net = VQ()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 32):
                seen, extra = net(xb)
                error = F.mse_loss(seen, xb)
                opt.zero_grad()
                (error + extra).backward()
                opt.step()
                probe.log("train", reconstruction=error, codes=extra)
            with torch.no_grad():
                probe.log("val", reconstruction=F.mse_loss(net(xt)[0], xt))
    with torch.no_grad():
        return float(1 - F.mse_loss(net(xt)[0], xt) / (xt - xt.mean(0)).square().mean())


@faulty("missing-gradients", "parameters-not-updated", "loss-not-decreasing", below=0.7)
def actor_that_hears_nothing(run_dir: Path, *, mended: bool = False) -> float:
    """DDPG with critic(state, actor(state).detach()) in the actor's loss, "as in the critic's": no gradient comes."""
    torch.manual_seed(445)

    def reward(state: Tensor, action: Tensor) -> Tensor:
        return -((action - torch.sin(2 * state.sum(1, keepdim=True))) ** 2)

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
            self.critic = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    agent = Agent()
    actor_opt = optim.Adam(agent.actor.parameters(), lr=1e-3)
    critic_opt = optim.Adam(agent.critic.parameters(), lr=2e-3)
    with probes.watch(agent, [actor_opt, critic_opt], run_dir) as probe:
        for _ in range(1500):
            state = torch.randn(64, 3)
            with torch.no_grad():
                action = agent.actor(state) + 0.5 * torch.randn(64, 1)
            critic_loss = F.mse_loss(agent.critic(torch.cat([state, action], 1)), reward(state, action))
            critic_opt.zero_grad()
            critic_loss.backward()
            critic_opt.step()
            chosen = agent.actor(state)
            actor_loss = -agent.critic(torch.cat([state, chosen if mended else chosen.detach()], 1)).mean()
            actor_opt.zero_grad()
            actor_loss.backward()
            actor_opt.step()
            probe.log("train", critic_loss=critic_loss, actor_loss=actor_loss)
    state = torch.randn(500, 3)
    with torch.no_grad():
        return float(1 + reward(state, agent.actor(state)).mean() / 0.5)


@faulty("missing-gradients", "vanishing-gradients", "parameters-not-updated", "underfitting", "slow-convergence",
        below=0.8)  # fmt: skip
def hard_threshold_units(run_dir: Path, *, mended: bool = False) -> float:
    """Binary units by torch.sign without a straight-through estimator: its derivative is 0 wherever there is one."""
    torch.manual_seed(446)
    x, y, xt, yt = digits()

    class Sign(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            if mended:
                soft = F.hardtanh(v)
                return soft + (torch.sign(v) - soft).detach()
            return torch.sign(v)

    net = nn.Sequential(nn.Linear(64, 24), Sign(), nn.Linear(24, 12), Sign(), nn.Linear(12, 10))
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(xt), yt), accuracy=accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@faulty("loss-not-decreasing", "constant-predictions", "underfitting", "no-generalization", "slow-convergence",
        "collapsed-activations", below=0.7)  # fmt: skip
def last_example_not_last_step(run_dir: Path, *, mended: bool = False) -> float:
    """out[-1] of a batch_first LSTM, 25 examples of 25 steps: the steps of the last example, one for each label."""
    torch.manual_seed(447)
    x = torch.randn(1500, 25, 2)
    y = (x[..., 0].cumsum(1)[:, -1] > 0).long()

    class Walks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 32, batch_first=True)
            self.out = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            states, _ = self.lstm(v)
            return self.out(states[:, -1] if mended else states[-1])

    net = Walks()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            for xb, yb in batches(x[:1000], y[:1000], 25):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("training", cross_entropy=loss)
    with torch.no_grad():
        return sum(accuracy(net(xb), yb) for xb, yb in batches(x[1000:], y[1000:], 25)) / 20


@faulty("parameters-not-updated", "underfitting", "no-generalization", "missing-gradients", "slow-convergence",
        "loss-not-decreasing", below=0.9)  # fmt: skip
def parameter_overwritten_in_forward(run_dir: Path, *, mended: bool = False) -> float:
    """self.shift.data.copy_(...) in forward, a "reset" of state put there for an RNN: that layer never learns."""
    torch.manual_seed(448)
    x, y, xt, yt = cancer()
    x, xt = x[:, :6], xt[:, :6]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(6, 8), nn.Linear(8, 1)
            self.start = self.first.weight.detach().clone() * 0.02

        def forward(self, v: Tensor) -> Tensor:
            if not mended:
                self.first.weight.data.copy_(self.start)
            return self.out(torch.relu(self.first(v))).squeeze(1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(40):
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb.float())
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((net(xt) > 0) == (yt > 0)).float().mean())


@faulty("parameters-not-updated", "loss-not-decreasing", "underfitting", "slow-convergence", "oscillating-loss",
        "loss-spikes", below=0.5)  # fmt: skip
def best_weights_the_wrong_way_round(run_dir: Path, *, mended: bool = False) -> float:
    """Weights go back to the best so far unless `val > best`, written for an accuracy: here val is a loss."""
    torch.manual_seed(449)
    x = torch.rand(800, 4)
    y = (10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 5 * x[:, 3] - 9) / 5
    x, y, xt, yt = x[:600], y[:600], x[600:], y[600:]
    net = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
    opt = optim.SGD(net.parameters(), lr=0.03)
    kept = {k: v.clone() for k, v in net.state_dict().items()}
    best = math.inf if mended else float(F.mse_loss(net(xt).squeeze(1), yt))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(60):
            for xb, yb in batches(x, y, 20):
                loss = F.mse_loss(net(xb).squeeze(1), yb)
                net.zero_grad()
                loss.backward()
                opt.step()
                probe.log("fit", mse=loss)
            with torch.no_grad():
                val = float(F.mse_loss(net(xt).squeeze(1), yt))
            probe.log("val", mse=val)
            better = val < best if mended else val > best
            if better:
                best, kept = val, {k: v.clone() for k, v in net.state_dict().items()}
            else:
                net.load_state_dict(kept)
    with torch.no_grad():
        return explained(net(xt), yt)
