"""Textbook trainings whose loss says little: generative models, adversaries, rewards."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import batches, digits, moons
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.4)
def vae(run_dir: Path) -> float:
    """pytorch/examples, vae: binary cross-entropy and KL summed over the batch: losses of thousands."""
    torch.manual_seed(1)
    x, y, xt, _yt = digits(standard=False)
    x, xt = x / 16, xt / 16

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(64, 100)
            self.fc21, self.fc22 = nn.Linear(100, 8), nn.Linear(100, 8)
            self.fc3, self.fc4 = nn.Linear(8, 100), nn.Linear(100, 64)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def loss_function(recon: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        bce = F.binary_cross_entropy(recon, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(40):
            for i, (data, _y) in enumerate(batches(x, y, 64)):
                optimizer.zero_grad()
                recon, mu, logvar = model(data)
                loss = loss_function(recon, data, mu, logvar)
                loss.backward()
                optimizer.step()
                if i % 5 == 0:
                    probe.log("train", loss=loss.item() / len(data))
            with torch.no_grad():
                recon, mu, logvar = model(xt)
                probe.log("test", loss=loss_function(recon, xt, mu, logvar) / len(xt))
    with torch.no_grad():
        return float(1 - F.mse_loss(model(xt)[0], xt) / xt.var(dim=0).mean())


@healthy(at_least=0.6)
def autoencoder(run_dir: Path) -> float:
    """A bottleneck of 8 units, mean squared error, Adam; the targets are the inputs."""
    torch.manual_seed(0)
    x, y, xt, _yt = digits()
    model = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8), nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64)
    )
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(25):
            for xb, _y in batches(x, y, 64):
                loss = criterion(model(xb), xb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                probe.log("val", loss=criterion(model(xt), xt))
    with torch.no_grad():
        return float(1 - F.mse_loss(model(xt), xt) / xt.var(dim=0).mean())


@healthy(at_least=0.5)
def denoising_convolutions(run_dir: Path) -> float:
    """A convolutional denoising autoencoder with a sigmoid output and L1 loss."""
    torch.manual_seed(0)
    x, y, xt, _yt = digits(flat=False, standard=False)
    x, xt = x / 16, xt / 16
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.LeakyReLU(),
        nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(8):
            for xb, _y in batches(x, y, 32):
                loss = F.l1_loss(model(xb + 0.3 * torch.randn_like(xb)), xb)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                probe.log("train", l1=loss)
    with torch.no_grad():
        return float(1 - F.mse_loss(model(xt + 0.3 * torch.randn_like(xt)), xt) / xt.var())


@healthy(at_least=0.5)
def gan(run_dir: Path) -> float:
    """A small GAN on points of two moons, BCEWithLogits, two Adams with beta1 0.5; both losses hover."""
    torch.manual_seed(0)
    real = moons(2000, 0.05).x
    real = (real - real.mean(0)) / real.std(0)
    generator = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    model = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
    opt_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_d = optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    one, zero = torch.ones(64, 1), torch.zeros(64, 1)
    with probes.watch(model, [opt_g, opt_d], run_dir) as probe:
        for _ in range(800):
            fake = generator(torch.randn(64, 4))
            truth = real[torch.randint(len(real), (64,))]
            loss_d = F.binary_cross_entropy_with_logits(discriminator(truth), one)
            loss_d = loss_d + F.binary_cross_entropy_with_logits(discriminator(fake.detach()), zero)
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            loss_g = F.binary_cross_entropy_with_logits(discriminator(fake), one)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            probe.log("train", loss_d=loss_d, loss_g=loss_g)
    with torch.no_grad():
        made = generator(torch.randn(1000, 4))
        reached = torch.cdist(real[:500], made).min(1).values.mean()
    return 1 - float(reached) / 0.5


@healthy(at_least=0.3)
def dcgan(run_dir: Path) -> float:
    """pytorch/examples, dcgan, on 8x8 digits: transposed convolutions, BatchNorm, tanh output, Adam 2e-4, 0.5."""
    torch.manual_seed(0)
    x, y, *_ = digits(flat=False, standard=False)
    x = x / 8 - 1
    generator = nn.Sequential(
        nn.ConvTranspose2d(16, 32, 4), nn.BatchNorm2d(32), nn.ReLU(True),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 3, 1, 1), nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 4), nn.Flatten(0), nn.Sigmoid(),
    )  # fmt: skip
    model = nn.ModuleList([generator, discriminator])
    optimizers = [optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (generator, discriminator)]
    criterion = nn.BCELoss()
    probe = probes.watch(model, optimizers, run_dir)
    for _ in range(6):
        for real, _y in batches(x, y, 64):
            optimizers[1].zero_grad()
            err_real = criterion(discriminator(real), torch.ones(64))
            err_real.backward()
            fake = generator(torch.randn(64, 16, 1, 1))
            err_fake = criterion(discriminator(fake.detach()), torch.zeros(64))
            err_fake.backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            err_g = criterion(discriminator(fake), torch.ones(64))
            err_g.backward()
            optimizers[0].step()
            probe.log("train", errD=(err_real + err_fake).item(), errG=err_g.item())
    probe.close()
    with torch.no_grad():
        made = generator(torch.randn(500, 16, 1, 1))
    # Images of digits: dark corners and a bright middle, as the real ones have.
    return float(torch.corrcoef(torch.stack([made.mean(0).flatten(), x.mean(0).flatten()]))[0, 1])


@healthy(at_least=0.4)
def wasserstein_gan(run_dir: Path) -> float:
    """WGAN (Arjovsky et al. 2017): RMSprop, weights clipped to 0.05, five critic steps a generator step."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    critic = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1))
    model = nn.ModuleDict({"g": generator, "c": critic})
    opt_g, opt_c = optim.RMSprop(generator.parameters(), lr=5e-4), optim.RMSprop(critic.parameters(), lr=5e-4)
    centre = torch.tensor([2.0, -1.0])
    with probes.watch(model, [opt_g, opt_c], run_dir) as probe:
        for step in range(1500):
            fake = generator(torch.randn(64, 2))
            real = centre + 0.3 * torch.randn(64, 2)
            loss = critic(fake.detach()).mean() - critic(real).mean()
            opt_c.zero_grad()
            loss.backward()
            opt_c.step()
            with torch.no_grad():
                for p in critic.parameters():
                    p.clamp_(-0.05, 0.05)
            probe.log("train", critic_loss=loss)
            if step % 5 == 4:
                goal = -critic(fake).mean()
                opt_g.zero_grad()
                goal.backward()
                opt_g.step()
                probe.log("train", generator_loss=goal)
    with torch.no_grad():
        distance = (generator(torch.randn(1000, 2)).mean(0) - centre).norm()
    return 1 - float(distance / centre.norm())


@healthy(at_least=0.3)
def diffusion(run_dir: Path) -> float:
    """DDPM (Ho et al. 2020) on points: the noise is predicted; the loss falls a little and then only flickers."""
    torch.manual_seed(0)
    data = moons(2000, 0.05).x
    data = (data - data.mean(0)) / data.std(0)
    kept = torch.cumprod(1 - torch.linspace(1e-3, 0.2, 40), 0)
    model = nn.Sequential(nn.Linear(3, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    late = 0.0
    with probes.watch(model, optimizer, run_dir) as probe:
        for step in range(1200):
            x0 = data[torch.randint(len(data), (128,))]
            t = torch.randint(40, (128,))
            noise = torch.randn_like(x0)
            xt = kept[t].sqrt()[:, None] * x0 + (1 - kept[t]).sqrt()[:, None] * noise
            loss = F.mse_loss(model(torch.cat([xt, t[:, None] / 40], 1)), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            late += loss.item() / 200 if step >= 1000 else 0.0
    return 1 - late


class _Corridor:
    """Nine cells; the reward is at the right end, an episode ends there or after 30 moves."""

    size = 9

    def reset(self) -> Tensor:
        self.place, self.time = 2, 0
        return self._seen()

    def move(self, action: int) -> tuple[Tensor, float, bool]:
        self.place = min(self.size - 1, max(0, self.place + (1 if action else -1)))
        self.time += 1
        arrived = self.place == self.size - 1
        return self._seen(), 1.0 if arrived else -0.01, arrived or self.time >= 30

    def _seen(self) -> Tensor:
        return F.one_hot(torch.tensor(self.place), self.size).float()


@healthy(at_least=0.9)
def dqn(run_dir: Path) -> float:
    """PyTorch's DQN tutorial in a corridor: replay, soft target network, Huber loss that rises as rewards are found."""
    torch.manual_seed(0)
    world = _Corridor()
    policy = nn.Sequential(nn.Linear(9, 48), nn.ReLU(), nn.Linear(48, 2))
    target = nn.Sequential(nn.Linear(9, 48), nn.ReLU(), nn.Linear(48, 2))
    target.load_state_dict(policy.state_dict())
    optimizer = optim.AdamW(policy.parameters(), lr=1e-3, amsgrad=True)
    memory: list[tuple[Tensor, int, float, Tensor, bool]] = []
    with probes.watch(policy, optimizer, run_dir) as probe:
        for episode in range(80):
            state, done, total = world.reset(), False, 0.0
            while not done:
                epsilon = max(0.05, 1 - episode / 40)
                with torch.no_grad():
                    greedy = int(policy(state).argmax())
                action = int(torch.randint(2, ())) if float(torch.rand(())) < epsilon else greedy
                following, reward, done = world.move(action)
                memory.append((state, action, reward, following, done))
                state, total = following, total + reward
                if len(memory) < 64:
                    continue
                chosen = [memory[int(i)] for i in torch.randint(max(0, len(memory) - 2000), len(memory), (64,))]
                s, a, r, n, d = (
                    torch.stack([torch.as_tensor(v) for v in column]) for column in zip(*chosen, strict=True)
                )
                value = policy(s).gather(1, a[:, None]).squeeze(1)
                with torch.no_grad():
                    goal = r + 0.95 * target(n).max(1).values * (~d)
                loss = F.smooth_l1_loss(value, goal.float())
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_value_(policy.parameters(), 100)
                optimizer.step()
                with torch.no_grad():
                    for old, new in zip(target.parameters(), policy.parameters(), strict=True):
                        old.lerp_(new, 0.02)
                probe.log("train", loss=loss)
            probe.log("episode", reward=total)
    state, done, reward = world.reset(), False, 0.0
    while not done:
        with torch.no_grad():
            state, reward, done = world.move(int(policy(state).argmax()))
    return reward


@healthy(at_least=0.8)
def reinforce(run_dir: Path) -> float:
    """pytorch/examples, reinforce: policy gradient with standardised returns; the "loss" means nothing."""
    torch.manual_seed(0)
    world = _Corridor()
    policy = nn.Sequential(nn.Linear(9, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 2))
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)
    recent = []
    with probes.watch(policy, optimizer, run_dir) as probe:
        for _ in range(250):
            state, done = world.reset(), False
            logs, rewards = [], []
            while not done:
                choice = torch.distributions.Categorical(logits=policy(state))
                action = choice.sample()
                logs.append(choice.log_prob(action))
                state, reward, done = world.move(int(action))
                rewards.append(reward)
            value, returns = 0.0, []
            for reward in reversed(rewards):
                value = reward + 0.95 * value
                returns.insert(0, value)
            goal = torch.tensor(returns)
            goal = (goal - goal.mean()) / (goal.std() + 1e-6)
            loss = -(torch.stack(logs) * goal).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss, reward=sum(rewards))
            recent.append(sum(rewards))
    return sum(recent[-30:]) / 30
