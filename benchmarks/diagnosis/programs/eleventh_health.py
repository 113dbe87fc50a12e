"""Healthy trainings of the eleventh fresh set: old assignments, odd losses, frozen parts, 30 to 30,000 steps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


def _tiles(names: list[str], size: int, most: int, *, colour: bool) -> tuple[Tensor, Tensor]:
    """Tiles of scikit-image's pictures that do not overlap, 0..1, and which picture each is of."""
    from skimage import color, data

    rng = np.random.default_rng(11)
    xs, ys = [], []
    for k, name in enumerate(names):
        picture = getattr(data, name)().astype(np.float32) / 255
        if not colour and picture.ndim == 3:
            picture = color.rgb2gray(picture).astype(np.float32)
        high, wide = (side // size for side in picture.shape[:2])
        for i in rng.permutation(high * wide)[:most]:
            top, left = i // wide * size, i % wide * size
            xs.append(picture[top : top + size, left : left + size])
            ys.append(k)
    order = rng.permutation(len(xs))
    x = torch.tensor(np.stack(xs)[order])
    return (x.permute(0, 3, 1, 2) if colour else x[:, None]), torch.tensor(ys)[torch.tensor(order)]


@healthy(at_least=0.85)
def hog_and_hue_by_two_layers(run_dir: Path) -> float:
    """CS231n's assignment 1, "features": histograms of gradients and of hue, a bias of one, a two-layer net by SGD."""
    from skimage.color import rgb2hsv

    torch.manual_seed(1101)
    names = ["astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket"]
    x, y = _tiles(names, 24, 400, colour=True)
    grey = x.mean(1)
    dy, dx = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1], grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    size, turn = (dx**2 + dy**2).sqrt(), ((torch.atan2(dy, dx) % math.pi) / math.pi * 9).long().clamp(max=8)
    hog = F.avg_pool2d(F.one_hot(turn, 9).permute(0, 3, 1, 2) * size[:, None], 11).flatten(1)
    hog = hog / (hog.norm(dim=1, keepdim=True) + 0.05)
    hsv = torch.tensor(rgb2hsv(x.permute(0, 2, 3, 1).numpy())).flatten(1, 2)
    colours = F.one_hot((hsv * 10).long().clamp(max=9), 10).float().mean(1).flatten(1)
    feats = torch.cat([hog, colours], 1)
    cut = len(x) * 3 // 4
    feats = (feats - feats[:cut].mean(0)) / feats[:cut].std(0)
    feats = torch.cat([feats, torch.ones(len(x), 1)], 1)
    net = nn.Sequential(nn.Linear(feats.shape[1], 100), nn.ReLU(), nn.Linear(100, 7))
    for layer in (net[0], net[2]):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    opt = optim.SGD(net.parameters(), lr=0.1, weight_decay=1e-2)
    decay = optim.lr_scheduler.ExponentialLR(opt, 0.95)
    with probes.watch(net, opt, run_dir) as probe:
        for it in range(800):
            chosen = torch.randint(cut, (100,))
            out = net(feats[chosen])
            loss = F.cross_entropy(out, y[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            if it % 10 == 0:
                probe.log("loss_history", loss=loss.item())
            if it % 50 == 49:
                decay.step()
                with torch.no_grad():
                    val_acc = accuracy(net(feats[cut:]), y[cut:])
                probe.log("history", train_acc=accuracy(out, y[chosen]), val_acc=val_acc)
    return val_acc


@healthy(at_least=0.9)
def numbers_into_roman_numerals(run_dir: Path) -> float:
    """Seq2seq with teacher forcing and Luong's attention: 888 becomes DCCCLXXXVIII; whole words are counted."""
    torch.manual_seed(1102)
    letters = ".IVXLCDM"  # 0 ends a word and starts it

    values = (900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    signs = ("CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")

    def roman(n: int) -> str:
        word = ""
        for value, sign in zip(values, signs, strict=True):
            word += sign * (n // value)
            n %= value
        return word

    numbers = (torch.randperm(999) + 1).tolist()
    x = torch.tensor([[int(c) for c in f"{n:03d}"] for n in numbers])
    y = torch.tensor([[letters.index(c) for c in roman(n).ljust(13, ".")] for n in numbers])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.digits, self.letters = nn.Embedding(10, 24), nn.Embedding(8, 24)
            self.encoder = nn.GRU(24, 48, batch_first=True)
            self.decoder = nn.GRU(24, 48, batch_first=True)
            self.mix, self.out = nn.Linear(96, 48), nn.Linear(48, 8)

        def forward(self, v: Tensor, before: Tensor) -> Tensor:
            seen, last = self.encoder(self.digits(v))
            h, _ = self.decoder(self.letters(before), last)
            context = (h @ seen.transpose(1, 2)).softmax(2) @ seen
            return self.out(torch.tanh(self.mix(torch.cat([h, context], 2))))

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)

    def written(v: Tensor) -> Tensor:
        word = torch.zeros(len(v), 1, dtype=torch.int64)
        net.eval()
        with torch.no_grad():
            for _ in range(13):
                word = torch.cat([word, net(v, word)[:, -1].argmax(1, keepdim=True)], 1)
        net.train()
        return word[:, 1:]

    with probes.watch(net, opt, run_dir) as probe:
        total = 0.0
        for step in range(1, 401):
            chosen = torch.randint(800, (64,))
            goal = y[chosen]
            before = torch.cat([torch.zeros(64, 1, dtype=torch.int64), goal[:, :-1]], 1)
            loss = F.cross_entropy(net(x[chosen], before).flatten(0, 1), goal.flatten())
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            total += loss.item()
            if step % 20 == 0:
                probe.log("print", loss_avg=total / 20)
                total = 0.0
            if step % 100 == 0:
                right = float((written(x[800:]) == y[800:]).all(1).float().mean())
                probe.log("val", exact_match=right)
    return right


@healthy(at_least=0.75)
def melodies_with_the_state_carried_on(run_dir: Path) -> float:
    """Truncated BPTT as in karpathy's char-rnn: streams side by side, the state carried over, RMSprop at 2e-3."""
    torch.manual_seed(1103)
    streams, long = 24, 6001
    rule = torch.softmax(2.2 * torch.randn(4, 12, 12), 2)  # in each of four keys its own way from note to note
    key, note = torch.randint(4, (streams,)), torch.randint(12, (streams,))
    notes, known = [note], []
    for _ in range(long - 1):
        p = rule[key, note]
        note = torch.multinomial(p, 1).squeeze(1)
        known.append(p.gather(1, note[:, None]).squeeze(1).log())
        key = torch.where(torch.rand(streams) < 0.01, torch.randint(4, (streams,)), key)
        notes.append(note)
    song = torch.stack(notes, 1)
    least = -float(torch.stack(known, 1)[:, 5000:].mean())

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.out = nn.Embedding(12, 16), nn.GRU(16, 64, batch_first=True), nn.Linear(64, 12)

        def forward(self, v: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
            h, state = self.rnn(self.embed(v), state)
            return self.out(h), state

    net = Net()
    opt = optim.RMSprop(net.parameters(), lr=2e-3, alpha=0.95)
    with probes.watch(net, opt, run_dir, every=5) as probe:
        for epoch in range(3):
            state = None
            for at in range(0, 5000, 25):
                out, state = net(song[:, at : at + 25], None if state is None else state.detach())
                loss = F.cross_entropy(out.flatten(0, 1), song[:, at + 1 : at + 26].flatten())
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_value_(net.parameters(), 5.0)
                opt.step()
                probe.log("train", loss=loss)
            with torch.no_grad():
                out, _ = net(song[:, 5000:-1], state)
                val = F.cross_entropy(out.flatten(0, 1), song[:, 5001:].flatten())
            probe.log("val", loss=val, bits=val / math.log(2), epoch=epoch)
    return (math.log(12) - float(val)) / (math.log(12) - least)


@healthy(at_least=0.75)
def vessels_by_an_attention_u_net(run_dir: Path) -> float:
    """Thin vessels on an uneven ground: a U-Net with gates on its skips (Oktay 2018), entropy and Dice together."""
    torch.manual_seed(1104)
    rng = np.random.default_rng(1104)

    def images(n: int) -> tuple[Tensor, Tensor]:
        masks = np.zeros((n, 40, 40), np.float32)
        for mask in masks:
            for _ in range(4):
                place, heading = rng.uniform(0, 40, 2), rng.uniform(0, 2 * math.pi)
                for _ in range(60):
                    heading += rng.normal(0, 0.18)
                    place = place + 0.6 * np.array([math.sin(heading), math.cos(heading)])
                    i, j = place.astype(int)
                    if 0 <= i < 39 and 0 <= j < 39:
                        mask[i : i + 2, j : j + 2] = 1
        mask = torch.tensor(masks)[:, None]
        ground = F.interpolate(torch.rand(n, 1, 4, 4), (40, 40), mode="bicubic")
        return ground - 0.5 * mask + 0.18 * torch.randn(n, 1, 40, 40), mask

    def block(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.deep = block(1, 12), block(12, 24), block(24, 32)
            self.gate2, self.gate1 = nn.Conv2d(56, 1, 1), nn.Conv2d(36, 1, 1)
            self.up2, self.up1, self.out = block(56, 24), block(36, 12), nn.Conv2d(12, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            a = self.down1(v)
            b = self.down2(F.max_pool2d(a, 2))
            c = F.interpolate(self.deep(F.max_pool2d(b, 2)), scale_factor=2)
            b = b * torch.sigmoid(self.gate2(torch.cat([b, c], 1)))
            c = F.interpolate(self.up2(torch.cat([b, c], 1)), scale_factor=2)
            a = a * torch.sigmoid(self.gate1(torch.cat([a, c], 1)))
            return self.out(self.up1(torch.cat([a, c], 1)))

    def dice(p: Tensor, m: Tensor) -> Tensor:
        return (2 * (p * m).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + m.sum((1, 2, 3)) + 1)

    x, y = images(240)
    net = Net()
    opt = optim.Adam(net.parameters(), lr=8e-3)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(opt, "max", factor=0.3, patience=1)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(12):
            net.train()
            for xb, yb in batches(x[:200], y[:200], 10):
                out = net(xb)
                bce, overlap = F.binary_cross_entropy_with_logits(out, yb), 1 - dice(out.sigmoid(), yb).mean()
                loss = bce + overlap
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, bce=bce, dice_loss=overlap)
            net.eval()
            with torch.no_grad():
                val = float(dice((net(x[200:]) > 0).float(), y[200:]).mean())
            probe.log("val", dice=val, lr=opt.param_groups[0]["lr"])
            plateau.step(val)
    return val


@healthy(at_least=0.8)
def a_spiral_by_a_gan_with_r1(run_dir: Path) -> float:
    """The non-saturating game with a penalty on the critic's slope at what is real (Mescheder 2018); losses wander."""
    torch.manual_seed(1105)

    def real(n: int) -> Tensor:
        t = 3 * math.pi * torch.rand(n).sqrt()
        return torch.stack([t * t.cos(), t * t.sin()], 1) / 5 + 0.05 * torch.randn(n, 2)

    def mlp(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(a, 96), nn.LeakyReLU(0.2), nn.Linear(96, 96), nn.LeakyReLU(0.2),
                             nn.Linear(96, 96), nn.LeakyReLU(0.2), nn.Linear(96, b))  # fmt: skip

    gen, critic = mlp(4, 2), mlp(2, 1)
    opt_g = optim.Adam(gen.parameters(), lr=1e-3, betas=(0.0, 0.99))
    opt_d = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.99))
    with probes.watch(nn.ModuleDict({"generator": gen, "critic": critic}), [opt_g, opt_d], run_dir) as probe:
        for step in range(900):
            x = real(128).requires_grad_()
            score = critic(x)
            (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
            loss_d = F.softplus(-score).mean() + F.softplus(critic(gen(torch.randn(128, 4)).detach())).mean()
            r1 = 0.05 * slope.square().sum(1).mean()
            opt_d.zero_grad()
            (loss_d + r1).backward()
            opt_d.step()
            loss_g = F.softplus(-critic(gen(torch.randn(128, 4)))).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            if step % 5 == 0:
                probe.log("gan", loss_D=loss_d, loss_G=loss_g, r1=r1)
    with torch.no_grad():
        made, kept = gen(torch.randn(1500, 4)), real(1500)

        def energy(a: Tensor, b: Tensor) -> float:
            return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())

        blob = kept.mean(0) + kept.std(0) * torch.randn(1500, 2)
        between = torch.cdist(made, kept)
        near, covered = (float((between.min(k).values < 0.2).float().mean()) for k in (1, 0))
    return min(near, covered) if energy(made, kept) < energy(blob, kept) else 0.0


@healthy(at_least=0.2)
def digits_by_importance_weighted_bounds(run_dir: Path) -> float:
    """Burda's IWAE: five samples a picture, Adam with epsilon 1e-4, a bound in nats summed over the pixels."""
    torch.manual_seed(1106)
    x, _, xt, _ = digits(standard=False)
    x, xt = (x > 7).float(), (xt > 7).float()
    body = nn.Sequential(nn.Linear(64, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 20))
    out = nn.Sequential(nn.Linear(10, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 64))
    net = nn.ModuleDict({"encoder": body, "decoder": out})

    def bound(v: Tensor, k: int) -> Tensor:
        mean, log_std = body(v).chunk(2, 1)
        noise = torch.randn(k, *mean.shape)
        z = mean + noise * log_std.exp()
        log_q = (-0.5 * noise**2 - log_std).sum(2)
        log_p = (-0.5 * z**2).sum(2) - F.binary_cross_entropy_with_logits(
            out(z), v.expand(k, -1, -1), reduction="none").sum(2)  # fmt: skip
        return ((log_p - log_q).logsumexp(0) - math.log(k)).mean()

    opt = optim.Adam(net.parameters(), lr=2e-3, eps=1e-4)
    steps = optim.lr_scheduler.MultiStepLR(opt, [15, 30, 36], gamma=0.5)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(40):
            for xb, _ in batches(x, x, 50):
                loss = -bound(xb, 5)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", neg_bound=loss)
            steps.step()
            if epoch % 4 == 3:
                with torch.no_grad():
                    nll = -bound(xt, 50)
                probe.log("test", nll=nll)
    each = x.mean(0).clamp(0.01, 0.99)
    alone = float(F.binary_cross_entropy(each.expand_as(xt), xt, reduction="none").sum(1).mean())
    return 1 - float(nll) / alone


@healthy(at_least=0.85)
def the_whole_distribution_of_returns(run_dir: Path) -> float:
    """C51 (Bellemare 2017) with 21 atoms on a slippery floor with holes: the loss falls, and rises as it finds out."""
    torch.manual_seed(1107)
    rng = np.random.default_rng(1107)
    side, holes, goal, gamma = 4, {5, 11}, 15, 0.95
    atoms = torch.linspace(-1, 1, 21)

    def after(s: int, a: int) -> int:
        i, j = divmod(s, side)
        i, j = i + (0, 1, 0, -1)[a], j + (1, 0, -1, 0)[a]
        return min(max(i, 0), side - 1) * side + min(max(j, 0), side - 1)

    def move(s: int, a: int) -> tuple[int, float, bool]:
        s = after(s, int(rng.integers(4)) if rng.random() < 0.1 else a)
        return s, (1.0 if s == goal else -1.0 if s in holes else -0.02), s == goal or s in holes

    def make() -> nn.Sequential:
        return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4 * 21), nn.Unflatten(1, (4, 21)))

    net, slow, eye = make(), make(), torch.eye(16)
    slow.load_state_dict(net.state_dict())
    opt = optim.Adam(net.parameters(), lr=1e-3)
    memory: list[tuple[int, int, float, int, float]] = []
    s = since = 0
    won: list[float] = []
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(3000):
            with torch.no_grad():
                best = int((net(eye[s : s + 1]).softmax(2) @ atoms).argmax())
            a = int(rng.integers(4)) if rng.random() < max(0.1, 1 - step / 1500) else best
            n, r, end = move(s, a)
            memory.append((s, a, r, n, float(end)))
            s, since = n, since + 1
            if end or since == 40:
                won.append(r)
                s = since = 0
            if step >= 200:
                picked = [memory[i] for i in rng.integers(len(memory), size=32)]
                sb, ab, rb, nb, eb = (torch.tensor(part) for part in zip(*picked, strict=True))
                with torch.no_grad():
                    p = slow(eye[nb]).softmax(2)
                    p = p[torch.arange(32), (p @ atoms).argmax(1)]
                    b = ((rb[:, None] + gamma * (1 - eb[:, None]) * atoms).clamp(-1, 1) + 1) * 10
                    low = b.floor().clamp(max=19)
                    goals = torch.zeros(32, 21).scatter_add(1, low.long(), p * (low + 1 - b))
                    goals = goals.scatter_add(1, low.long() + 1, p * (b - low)).float()
                loss = -(goals * net(eye[sb])[torch.arange(32), ab].log_softmax(1)).sum(1).mean()
                opt.zero_grad()
                loss.backward()
                opt.step()
                if step % 10 == 0:
                    probe.log("train", loss=loss.item())
            if step % 100 == 0:
                slow.load_state_dict(net.state_dict())
                if won:
                    probe.log("rollout", ep_rew_mean=float(np.mean(won[-20:])))
    reached = 0
    with torch.no_grad():
        policy = (net(eye).softmax(2) @ atoms).argmax(1).tolist()
    for _ in range(300):
        s, end, count = 0, False, 0
        while not end and count < 60:
            s, _, end = move(s, policy[s])
            count += 1
        reached += s == goal
    return reached / 300


@healthy(at_least=0.8)
def what_comes_next_among_sixty_four(run_dir: Path) -> float:
    """Contrastive predictive coding (van den Oord 2018): which of 64 is my future? A linear probe after."""
    torch.manual_seed(1108)

    def series(n: int) -> tuple[Tensor, Tensor]:
        y, t = torch.randint(5, (n,)), torch.arange(96.0)
        speed = torch.tensor([0.2, 0.4, 0.7, 0.2, 0.4])[y, None]
        wave = torch.sin(speed * t + 2 * math.pi * torch.rand(n, 1))
        wave = torch.where((y >= 3)[:, None], wave.sign() * 0.8, wave)
        return (wave * (0.8 + 0.4 * torch.rand(n, 1)) + 0.2 * torch.randn(n, 96))[:, None], y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv1d(1, 24, 8, 4), nn.ReLU(), nn.Conv1d(24, 24, 3, 2), nn.ReLU(),
                                         nn.Conv1d(24, 16, 1))  # fmt: skip
            self.context = nn.GRU(16, 32, batch_first=True)
            self.ahead = nn.ModuleList([nn.Linear(32, 16, bias=False) for _ in range(3)])

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            z = self.encoder(v).transpose(1, 2)
            return z, self.context(z)[0]

    net = Net()
    x, y = series(2000)
    opt = optim.AdamW(net.parameters(), lr=3e-3)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, 500)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            z, c = net(x[torch.randint(1500, (64,))])
            at = int(torch.randint(4, z.shape[1] - 3, ()))
            scores = [ahead(c[:, at]) @ z[:, at + k + 1].T for k, ahead in enumerate(net.ahead)]
            loss = torch.stack([F.cross_entropy(s, torch.arange(64)) for s in scores]).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            cosine.step()
            if step % 5 == 0:
                probe.log("cpc", nce=loss, top1=accuracy(scores[0], torch.arange(64)))
    with torch.no_grad():
        c = net(x)[1].mean(1)
    probe_of = LogisticRegression(max_iter=1000).fit(c[:1500].numpy(), y[:1500].numpy())
    return float(probe_of.score(c[1500:].numpy(), y[1500:].numpy()))


class _Adapted(nn.Module):
    """One transformer block with a place for an adapter behind each of its halves (Houlsby 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.adapter1: nn.Module = nn.Identity()
        self.adapter2: nn.Module = nn.Identity()

    def forward(self, v: Tensor) -> Tensor:
        v = self.norm1(v + self.adapter1(self.attention(v, v, v, need_weights=False)[0]))
        return self.norm2(v + self.adapter2(self.dense(v)))


class _Bottleneck(nn.Module):
    def __init__(self, width: int, inside: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inside), nn.Linear(inside, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, v: Tensor) -> Tensor:
        return v + self.up(F.gelu(self.down(v)))


@healthy(at_least=0.85)
def adapters_between_frozen_blocks(run_dir: Path) -> float:
    """A body that knows ten topics is frozen; adapters that start as nothing at all, and a head, learn two moods."""
    torch.manual_seed(1109)
    # Words 0..299 are of a topic, 300..319 praise and 320..339 blame.
    topic = torch.cat([torch.randint(8, (300,)), torch.arange(8, 10).repeat_interleave(20)])

    def topics(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(10, (n,))
        words = torch.randint(340, (n, 16))
        pick = torch.stack([torch.nonzero(topic == k).squeeze(1)[torch.randint(20, (16,))] for k in y.tolist()])
        return torch.where(torch.rand(n, 16) < 0.4, pick, words), y

    def moods(n: int) -> tuple[Tensor, Tensor]:
        words, _ = topics(n)
        words = torch.where(words >= 300, words % 300, words)
        y = torch.randint(2, (n,))
        words[:, [3, 7, 11]] = 300 + 20 * (y[:, None] ^ (torch.rand(n, 3) < 0.1).long()) + torch.randint(20, (n, 3))
        return words, y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(340, 32), nn.Parameter(0.02 * torch.randn(16, 32))
            self.blocks = nn.Sequential(_Adapted(32), _Adapted(32))
            self.classifier = nn.Linear(32, 10)

        def forward(self, v: Tensor) -> Tensor:
            return self.classifier(self.blocks(self.words(v) + self.places).mean(1))

    net = Net()
    opt: optim.Optimizer = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(200):  # the body as it would come from a hub
        xb, yb = topics(64)
        loss = F.cross_entropy(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
    for p in net.parameters():
        p.requires_grad_(False)
    for block in net.blocks:
        block.adapter1, block.adapter2 = _Bottleneck(32, 8), _Bottleneck(32, 8)
    net.classifier = nn.Linear(32, 2)
    x, y = moods(3000)
    trained = [p for p in net.parameters() if p.requires_grad]
    opt = optim.AdamW(trained, lr=4e-3)
    steps = 5 * 78
    scheduler = optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / 40, max(0.0, (steps - s) / (steps - 40))))
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for epoch in range(5):
            for xb, yb in batches(x[:2500], y[:2500], 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                scheduler.step()
                probe.log("train", loss=loss, learning_rate=scheduler.get_last_lr()[0])
            with torch.no_grad():
                out = net(x[2500:])
            probe.log("eval", loss=F.cross_entropy(out, y[2500:]), accuracy=accuracy(out, y[2500:]), epoch=epoch + 1)
    return accuracy(out, y[2500:])


@healthy(at_least=0.9)
def two_thousand_kenyon_cells(run_dir: Path) -> float:
    """The nose of a fly (Dasgupta 2017): six inputs to each of 2,000 fixed cells of which one in twenty fires."""
    torch.manual_seed(1110)
    x, y, xt, yt = digits()
    cells, readout = nn.Linear(64, 2000), nn.Linear(2000, 10)
    with torch.no_grad():
        cells.weight.zero_().scatter_(1, torch.rand(2000, 64).argsort(1)[:, :6], 1.0)
        cells.bias.fill_(-float((x @ cells.weight.T).flatten()[::7].quantile(0.95)))
    cells.requires_grad_(False)
    net = nn.Sequential(cells, nn.ReLU(), readout)
    opt = optim.SGD(readout.parameters(), lr=0.05)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 32):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            with torch.no_grad():
                train, test = net(x), net(xt)
            probe.log("epoch", loss=F.cross_entropy(train, y), val_loss=F.cross_entropy(test, yt),
                      acc=100 * accuracy(train, y), val_acc=100 * accuracy(test, yt))  # fmt: skip
    return accuracy(test, yt)


@healthy(at_least=0.85)
def spring_and_damper_found_by_a_pinn(run_dir: Path) -> float:
    """An inverse problem of Raissi's: a net fits noisy readings and the equation, whose two constants are learned."""
    torch.manual_seed(1111)
    torch.set_default_dtype(torch.float64)
    try:
        damp, stiff = 0.4, 9.0
        omega = math.sqrt(stiff - damp**2 / 4)
        t_seen = 4 * torch.rand(40, 1)
        u_seen = torch.exp(-damp / 2 * t_seen) * torch.cos(omega * t_seen) + 0.03 * torch.randn(40, 1)

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
                self.c, self.k = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(5.0))

            def forward(self, t: Tensor) -> Tensor:
                return self.body(t / 2 - 1)

        net = Net()
        for layer in net.body:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, gain=5 / 3)
        opt = optim.Adam([{"params": net.body.parameters()}, {"params": [net.c, net.k], "lr": 2e-2}], lr=5e-3)
        fall = optim.lr_scheduler.ExponentialLR(opt, 0.999)
        with probes.watch(net, opt, run_dir) as probe:
            for step in range(2500):
                t = (4 * torch.rand(48, 1)).requires_grad_()
                u = net(t)
                (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
                (ddu,) = torch.autograd.grad(du.sum(), t, create_graph=True)
                physics = (ddu + net.c * du + net.k * u).square().mean()
                data = F.mse_loss(net(t_seen), u_seen)
                loss = data + 1e-2 * physics
                opt.zero_grad()
                loss.backward()
                opt.step()
                fall.step()
                if step % 25 == 0:
                    probe.log("pinn", total=loss, data=data, physics=physics, c=net.c, k=net.k)
        return 1 - 0.5 * (abs(net.c.item() - damp) / damp + abs(net.k.item() - stiff) / stiff)
    finally:
        torch.set_default_dtype(torch.float32)


@healthy(at_least=0.9)
def half_of_every_row_cannot_be_foretold(run_dir: Path) -> float:
    """A small Llama (RMSNorm, rotations, SwiGLU, AdamW at decay 0.1): random signs, then the same again."""
    torch.manual_seed(1112)
    width, heads, long = 48, 4, 20
    angle = torch.arange(float(long))[:, None] * 100.0 ** (-torch.arange(6.0) / 6)
    cos, sin = angle.cos(), angle.sin()

    def turned(v: Tensor) -> Tensor:
        a, b = v.chunk(2, 3)
        c, s = cos[: v.shape[2]], sin[: v.shape[2]]
        return torch.cat([a * c - b * s, a * s + b * c], 3)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(2 * width, width, bias=False)

        def forward(self, v: Tensor) -> Tensor:
            n, t, _ = v.shape
            q, k, w = self.qkv(self.norm1(v)).view(n, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            h = F.scaled_dot_product_attention(turned(q), turned(k), w, is_causal=True)
            v = v + self.proj(h.transpose(1, 2).reshape(n, t, width))
            a, b = self.up(self.norm2(v)).chunk(2, 2)
            return v + self.down(F.silu(a) * b)

    net = nn.Sequential(nn.Embedding(12, width), Block(), Block(), nn.RMSNorm(width), nn.Linear(width, 12, bias=False))
    nn.init.normal_(net[0].weight, std=0.5)
    opt = optim.AdamW(net.parameters(), lr=5e-3, betas=(0.9, 0.95), weight_decay=0.1)
    steps = 300
    scheduler = optim.lr_scheduler.LambdaLR(
        opt, lambda s: min((s + 1) / 50, 0.1 + 0.45 * (1 + math.cos(math.pi * min(s, steps) / steps))))  # fmt: skip

    def rows(n: int) -> Tensor:
        first = torch.randint(12, (n, long // 2))
        return torch.cat([first, first], 1)

    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(steps):
            v = rows(32)
            loss = F.cross_entropy(net(v[:, :-1]).flatten(0, 1), v[:, 1:].flatten())
            opt.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            scheduler.step()
            probe.log("train", loss=loss, grad_norm=norm)
    v = rows(500)
    with torch.no_grad():
        return accuracy(net(v[:, :-1])[:, long // 2 :].flatten(0, 1), v[:, 1 + long // 2 :].flatten())


@healthy(at_least=0.8)
def surfaces_with_a_piece_of_another_pasted_in(run_dir: Path) -> float:
    """CutMix (Yun 2019) and smoothed labels: the loss stays high, and training looks worse than testing."""
    torch.manual_seed(1113)
    x, y = _tiles(["brick", "grass", "gravel", "coins", "page", "moon"], 24, 190, colour=False)
    x = (x - x.mean((2, 3), keepdim=True)) / 0.2
    cut = 840
    net = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3),
        nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 48, 3, stride=2), nn.BatchNorm2d(48), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(48, 6),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, 18)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(18):
            net.train()
            total = right = 0.0
            for xb, yb in batches(x[:cut], y[:cut], 42):
                other = torch.randperm(42)
                share = math.sqrt(1 - float(torch.rand(())))
                size = int(24 * share)
                top, left = (int(torch.randint(25 - size, ())) for _ in range(2))
                xb = xb.clone()
                xb[:, :, top : top + size, left : left + size] = xb[other, :, top : top + size, left : left + size]
                kept = 1 - size * size / 576
                out = net(xb)
                loss = kept * criterion(out, yb) + (1 - kept) * criterion(out, yb[other])
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 20
                right += accuracy(out, yb) / 20
            cosine.step()
            net.eval()
            with torch.no_grad():
                out = net(x[cut:])
            probe.log("train", loss=total, top1=100 * right)
            probe.log("test", loss=criterion(out, y[cut:]), top1=100 * accuracy(out, y[cut:]), epoch=epoch)
    return accuracy(out, y[cut:])


@healthy(at_least=0.75)
def defects_by_focal_loss_with_a_prior(run_dir: Path) -> float:
    """RetinaNet's recipe for one part in eighty: focal loss, a last bias by which everything looks whole at first."""
    torch.manual_seed(1114)

    def parts(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, 12)
        score = 1.6 * x[:, 0] + 1.2 * x[:, 1] * x[:, 2] + 1.2 * (x[:, 3].abs() - 0.8) + 0.8 * x[:, 4]
        return x, (score + 0.3 * torch.randn(n) > 5.4).float()

    x, y = parts(16000)
    xt, yt = parts(8000)
    net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    nn.init.constant_(net[4].bias, -math.log(99))

    def focal(out: Tensor, goal: Tensor) -> Tensor:
        p = torch.where(goal > 0, out.sigmoid(), 1 - out.sigmoid())
        alpha = torch.where(goal > 0, 0.25, 0.75)
        return (alpha * (1 - p) ** 2 * F.binary_cross_entropy_with_logits(out, goal, reduction="none")).mean()

    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=focal) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 256):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", focal_loss=loss)
            with torch.no_grad():
                out = net(xt)
            ap = float(average_precision_score(yt.numpy(), out.numpy()))
            probe.log("val", focal_loss=focal(out, yt), ap=ap, acc=((out > 0) == (yt > 0)).float().mean())
    return ap


@healthy(at_least=0.8)
def shares_by_their_sharpe_ratio(run_dir: Path) -> float:
    """Minus the Sharpe ratio of what a net holds, a hundred days a batch: from nothing below zero, and never quiet."""
    torch.manual_seed(1115)
    days, count = 6000, 6
    signal = torch.randn(days, count, 3)
    fair = 0.08 * torch.tanh(signal[..., 0]) + 0.05 * signal[..., 1] * (signal[..., 2] > 0)
    gain = fair + 0.6 * torch.randn(days, count)
    net = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 1), nn.Flatten(1))
    opt = optim.Adam(net.parameters(), lr=3e-4, weight_decay=1e-4)

    def sharpe(held: Tensor, got: Tensor) -> Tensor:
        made = (held * got).sum(-1) / held.abs().sum(-1).clamp(min=1e-6)
        return math.sqrt(252) * made.mean() / (made.std() + 1e-6)

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(1, 1201):
            chosen = torch.randint(4500, (100,))
            loss = -sharpe(net(signal[chosen].view(-1, 3)).view(-1, count), gain[chosen])
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("fit", loss=loss.detach())
            if step % 100 == 0:
                with torch.no_grad():
                    ours = sharpe(net(signal[4500:].view(-1, 3)).view(-1, count), gain[4500:])
                probe.log("backtest", sharpe=ours)
    return float(ours / sharpe(fair[4500:], gain[4500:]))


class _Rounded(nn.Module):
    """LSQ (Esser 2020): rounds to few steps whose size is learned; the gradient goes straight through."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.size = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, v: Tensor) -> Tensor:
        if not self.ready:
            self.size.data.fill_(2 * v.detach().abs().mean().item() / math.sqrt(self.high))
            self.ready.fill_(True)
        scale = 1 / math.sqrt(v.numel() / len(v) * self.high)
        size = self.size * scale + (self.size - self.size * scale).detach()
        w = (v / size).clamp(self.low, self.high)
        return (w + (w.round() - w).detach()) * size


class _Layer(nn.Module):
    def __init__(self, inner: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.inner, self.weight_q, self.input_q = inner, _Rounded(-2, 1), _Rounded(0, 3)

    def forward(self, v: Tensor) -> Tensor:
        v, w = self.input_q(v), self.weight_q(self.inner.weight)
        if isinstance(self.inner, nn.Conv2d):
            return F.conv2d(v, w, self.inner.bias, padding=1)
        return F.linear(v, w, self.inner.bias)


@healthy(at_least=0.93)
def two_bits_learned_after_thirty_two(run_dir: Path) -> float:
    """Quantisation-aware: a trained net goes on with weights and activations of two bits; it starts nearly done."""
    torch.manual_seed(1116)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 48), nn.ReLU(),
        nn.Linear(48, 10),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in batches(x, y, 50):
            opt.zero_grad()
            F.cross_entropy(net(xb), yb).backward()
            opt.step()
    for i in (2, 5, 9):  # the first and the last layer keep all their bits
        net[i] = _Layer(net[i])
    opt = optim.Adam(net.parameters(), lr=3e-4)
    with probes.watch(net, opt, run_dir, config={"bits": 2}) as probe:
        for epoch in range(12):
            for i, (xb, yb) in enumerate(batches(x, y, 50)):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 5 == 0:
                    probe.log("qat", loss=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("qat", val_acc=accuracy(out, yt), val_loss=F.cross_entropy(out, yt), epoch=epoch)
    return accuracy(out, yt)


@healthy(at_least=0.7)
def thirty_thousand_ticks_of_a_drifting_price(run_dir: Path) -> float:
    """One tick at a time, tested before it is learned: a linear layer follows weights that never stand still."""
    torch.manual_seed(1117)
    ticks = 30000
    x = torch.randn(ticks, 6)
    weights = torch.zeros(ticks, 6)
    w = torch.randn(6)
    for i in range(ticks):
        w = 0.9997 * w + 0.025 * torch.randn(6)
        weights[i] = w
    y = (weights * x).sum(1) + 0.8 * torch.randn(ticks)
    net = nn.Linear(6, 1)
    opt = optim.SGD(net.parameters(), lr=0.015)
    said = torch.zeros(ticks)
    total = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for i in range(ticks):
            out = net(x[i : i + 1]).squeeze()
            loss = (out - y[i]) ** 2
            opt.zero_grad()
            loss.backward()
            opt.step()
            said[i] = out.detach()
            total += loss.item()
            if i % 100 == 99:
                probe.log("online", mse=total / 100)
                total = 0.0
    return explained(said[ticks // 2 :], y[ticks // 2 :])


@healthy(at_least=0.9)
def thirty_steps_on_random_kernels(run_dir: Path) -> float:
    """ROCKET (Dempster 2020): random kernels, the largest value and the share above zero; thirty full steps on top."""
    torch.manual_seed(1118)

    def gestures(n: int) -> tuple[Tensor, Tensor]:
        y, t = torch.randint(4, (n,)), torch.linspace(0, 1, 80)
        start = 0.5 * torch.rand(n, 1)
        u = ((t - start) / 0.4).clamp(0, 1)
        forms = torch.stack([torch.sin(math.pi * u), torch.sin(2 * math.pi * u), torch.sin(3 * math.pi * u),
                             u * (u < 1)])  # fmt: skip
        return forms[y, torch.arange(n)] * (0.8 + 0.4 * torch.rand(n, 1)) + 0.25 * torch.randn(n, 80), y

    def features(v: Tensor) -> Tensor:
        found = [F.conv1d(v[:, None], k, b, dilation=d) for d, k, b in kernels]
        return torch.cat([f(h) for h in found for f in (lambda h: h.amax(2), lambda h: (h > 0).float().mean(2))], 1)

    kernels = []
    for d in (1, 2, 4, 8):
        k = torch.randn(60, 1, 9)
        kernels.append((d, k - k.mean(2, keepdim=True), 2 * torch.rand(60) - 1))
    x, y = gestures(700)
    feats = features(x)
    feats = (feats - feats[:500].mean(0)) / (feats[:500].std(0) + 1e-6)
    net = nn.Linear(feats.shape[1], 4)
    opt = optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss(), every=1) as probe:
        for _ in range(30):
            loss = probe.loss_fn(net(feats[:500]), y[:500])
            opt.zero_grad()
            loss.backward()
            opt.step()
            with torch.no_grad():
                probe.log("head", loss=loss, acc=accuracy(net(feats[500:]), y[500:]))
    with torch.no_grad():
        return accuracy(net(feats[500:]), y[500:])
