"""Healthy programs of the second fresh set that look ill to whoever judges by single numbers."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.9)
def agent_with_its_target(run_dir: Path) -> float:
    """Double DQN as one module that holds the target net too: half of its parameters are copied, never optimised."""
    torch.manual_seed(281)

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online = nn.Sequential(nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 2))
            self.target = copy.deepcopy(self.online)

    agent = Agent()
    opt = optim.Adam(agent.online.parameters(), lr=2e-3)
    eye = torch.eye(10)
    with probes.watch(agent, opt, run_dir) as probe:
        for step in range(1500):
            s, a = torch.randint(9, (64,)), torch.randint(2, (64,))
            n = (s + 2 * a - 1).clamp(0, 9)
            done = (n == 9).float()
            with torch.no_grad():
                best = agent.online(eye[n]).argmax(1, keepdim=True)
                goal = done + 0.9 * (1 - done) * agent.target(eye[n]).gather(1, best).squeeze(1)
            loss = F.huber_loss(agent.online(eye[s]).gather(1, a[:, None]).squeeze(1), goal)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 50 == 49:
                agent.target.load_state_dict(agent.online.state_dict())
            probe.log("train", td=loss)
    with torch.no_grad():
        return explained(agent.online(eye[:9]).max(1).values, 0.9 ** (8 - torch.arange(9.0)))


@healthy(at_least=0.9)
def heads_by_turns(run_dir: Path) -> float:
    """Two tasks share a body; even steps train one head, odd ones the other, which then gets no gradient at all."""
    torch.manual_seed(282)
    x, y, xt, yt = digits()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
            self.digit, self.even = nn.Linear(64, 10), nn.Linear(64, 2)

        def forward(self, v: Tensor, task: int) -> Tensor:
            return (self.digit, self.even)[task](self.body(v))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(14):
            for xb, yb in batches(x, y, 32):
                task = step % 2
                loss = F.cross_entropy(net(xb, task), yb if task == 0 else yb % 2)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log(("digit", "even")[task], loss=loss)
                step += 1
    with torch.no_grad():
        return min(accuracy(net(xt, 0), yt), accuracy(net(xt, 1), yt % 2))


@healthy(at_least=0.4)
def sparse_dictionary(run_dir: Path) -> float:
    """A sparse autoencoder, eight times overcomplete, with an L1 penalty: most units are silent, as they should be."""
    torch.manual_seed(283)
    x = digits(standard=False).x / 16
    x = x - x.mean(0)
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 64))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            for xb, _ in batches(x, x, 64):
                code = net[:2](xb)
                recon = F.mse_loss(net[2](code), xb, reduction="sum") / len(xb)
                loss = recon + 0.3 * code.abs().sum(1).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, recon=recon)
    with torch.no_grad():
        return float(1 - F.mse_loss(net(x), x) / x.var(0).mean())


@healthy(at_least=0.35)
def semantic_hashing(run_dir: Path) -> float:
    """Salakhutdinov and Hinton 2009: noise before a sigmoid makes the codes binary: they saturate because they must."""
    torch.manual_seed(284)
    x = digits(standard=False).x / 16
    encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 24))
    gate, decoder = nn.Sigmoid(), nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64))
    net = nn.ModuleDict({"encoder": encoder, "gate": gate, "decoder": decoder})
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(30):
            for xb, _ in batches(x, x, 64):
                z = encoder(xb)
                code = gate(z + min(4.0, epoch / 4) * torch.randn_like(z))
                loss = F.mse_loss(decoder(code), xb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(1 - F.mse_loss(decoder((encoder(x) > 0).float()), x) / x.var(0).mean())


@healthy(at_least=0.9)
def concentrations_in_mol(run_dir: Path) -> float:
    """Targets of some 10^-5, not scaled, and Adam, which does not care: losses of 10^-10 that fall to 10^-12."""
    torch.manual_seed(285)
    x = torch.randn(1500, 4)
    y = 1e-5 * (x[:, 0] + torch.sin(2 * x[:, 1]) + 3).unsqueeze(1)
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
    nn.init.normal_(net[2].weight, std=1e-6)
    nn.init.zeros_(net[2].bias)
    groups = [{"params": net[0].parameters(), "lr": 3e-3}, {"params": net[2].parameters(), "lr": 1e-7}]
    opt = optim.Adam(groups, eps=1e-16)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(40):
            for xb, yb in batches(x[:1200], y[:1200], 32):
                loss = F.mse_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.mse_loss(net(x[1200:]), y[1200:]))
    with torch.no_grad():
        return explained(1e5 * net(x[1200:]), 1e5 * y[1200:])


@healthy(at_least=0.9)
def only_accuracy_is_logged(run_dir: Path) -> float:
    """Somebody who only wants to see the accuracy, of training and test, once an epoch, in percent."""
    torch.manual_seed(286)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 48), nn.ELU(), nn.Linear(48, 10))
    opt = optim.Adam(net.parameters(), lr=1e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            right = 0.0
            for xb, yb in batches(x, y, 32):
                out = net(xb)
                opt.zero_grad()
                F.cross_entropy(out, yb).backward()
                opt.step()
                right += accuracy(out.detach(), yb) * len(xb)
            with torch.no_grad():
                probe.log("train", accuracy=100 * right / len(x))
                probe.log("test", accuracy=100 * accuracy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.9)
def bias_terms_alone(run_dir: Path) -> float:
    """BitFit (Ben Zaken et al. 2022): a net trained on digits meets inverted ones; biases and head are tuned."""
    torch.manual_seed(287)
    x, y, xt, yt = digits()
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    start = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(6):
        for xb, yb in batches(x, y, 32):
            start.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            start.step()
    for name, p in net.named_parameters():
        p.requires_grad_(name.endswith("bias") or name.startswith("4."))
    opt = optim.Adam((p for p in net.parameters() if p.requires_grad), lr=5e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(10):
            for xb, yb in batches(-x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=F.cross_entropy(net(-xt), yt))
    with torch.no_grad():
        return accuracy(net(-xt), yt)


@healthy(at_least=0.93)
def grown_layer_by_layer(run_dir: Path) -> float:
    """Greedy layerwise training: each new layer joins the optimizer by add_param_group; the loss jumps as it does."""
    torch.manual_seed(288)
    x, y, xt, yt = digits()
    blocks = [nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(3)]

    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.head, self.depth = nn.ModuleList(blocks), nn.Linear(64, 10), 1

        def forward(self, v: Tensor) -> Tensor:
            for block in self.blocks[: self.depth]:
                v = block(v)
            return self.head(v)

    net = Growing()
    opt = optim.SGD([*net.blocks[0].parameters(), *net.head.parameters()], lr=0.05, momentum=0.9)
    with probes.watch(net, opt, run_dir) as probe:
        for stage in range(3):
            if stage:
                net.depth += 1
                opt.add_param_group({"params": net.blocks[stage].parameters()})
            for _ in range(5):
                for xb, yb in batches(x, y, 32):
                    loss = F.cross_entropy(net(xb), yb)
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                    probe.log("train", loss=loss)
                with torch.no_grad():
                    probe.log("val", loss=F.cross_entropy(net(xt), yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)
