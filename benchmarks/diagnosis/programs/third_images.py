"""Healthy trainings on pictures, of the third fresh set: architectures that people port, boxes, masks, textures."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from skimage import data as pictures
from skimage.filters import threshold_otsu
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, split
from benchmarks.diagnosis.programs.program import healthy


@torch.no_grad()
def _evaluate(net: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Loss and accuracy in evaluation mode; training mode is restored."""
    net.eval()
    out = net(x)
    net.train()
    return float(F.cross_entropy(out, y)), accuracy(out, y)


def _separable(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False), nn.BatchNorm2d(inside), nn.ReLU6(),
        nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU6(),
    )  # fmt: skip


@healthy(at_least=0.93)
def depthwise_separable(run_dir: Path) -> float:
    """MobileNet (Howard et al. 2017): depthwise and pointwise convolutions, ReLU6, Nesterov, rate dropped in steps."""
    torch.manual_seed(501)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        _separable(16, 32), _separable(32, 32), nn.MaxPool2d(2), _separable(32, 64), _separable(64, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=4e-5)
    sched = optim.lr_scheduler.MultiStepLR(opt, [6, 10], gamma=0.1)
    with probes.watch(net, opt, run_dir, config={"lr": 0.05, "epochs": 12}) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            sched.step()
            val_loss, top1 = _evaluate(net, xt, yt)
            probe.log("val", loss=val_loss, top1=top1)
    return _evaluate(net, xt, yt)[1]


class _Dense(nn.Module):
    """A dense block's layer: what it makes is appended to what it was given."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inside)
        self.conv = nn.Conv2d(inside, growth, 3, padding=1, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        return torch.cat([v, F.dropout(self.conv(F.relu(self.norm(v))), 0.2, self.training)], 1)


@healthy(at_least=0.93)
def densely_connected(run_dir: Path) -> float:
    """DenseNet (Huang et al. 2017), growth 8, dropout, SGD 0.1 with a drop by ten at half and at three quarters."""
    torch.manual_seed(502)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), *[_Dense(16 + 8 * i, 8) for i in range(4)],
        nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 24, 1, bias=False), nn.AvgPool2d(2),
        *[_Dense(24 + 8 * i, 8) for i in range(4)],
        nn.BatchNorm2d(56), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(56, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    with probes.watch(net, opt, run_dir, loss_fn=F.cross_entropy) as probe:
        for epoch in range(12):
            for group in opt.param_groups:
                group["lr"] = 0.1 * (0.1 if epoch >= 6 else 1) * (0.1 if epoch >= 9 else 1)
            for xb, yb in batches(x, y, 64):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, error=1 - accuracy(out.detach(), yb))
            val_loss, acc = _evaluate(net, xt, yt)
            probe.log("test", loss=val_loss, error=1 - acc)
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.85)
def faces_or_not(run_dir: Path) -> float:
    """A detector of faces from 150 crops of 25x25 (scikit-image's subset of LFW), mirrored at random; in percent."""
    torch.manual_seed(503)
    crops = pictures.lfw_subset()
    x, y, xt, yt = split(crops[:, None], (torch.arange(200) < 100).long().numpy(), seed=3)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 1),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=1e-3)
    bce = nn.BCEWithLogitsLoss()
    with probes.watch(net, opt, run_dir, loss_fn=bce, every=10) as probe:
        for _ in range(30):
            losses, right = [], 0
            for xb, yb in batches(x, y, 15):
                out = net(xb.flip(3) if torch.rand(()) < 0.5 else xb).squeeze(1)
                loss = bce(out, yb.float())
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.item())
                right += int(((out > 0) == (yb > 0)).sum())
            with torch.no_grad():
                out = net(xt).squeeze(1)
                hit = float(((out > 0) == (yt > 0)).float().mean())
                probe.log("train", loss=sum(losses) / len(losses), accuracy=100 * right / 150)
                probe.log("val", loss=bce(out, yt.float()), accuracy=100 * hit)
    with torch.no_grad():
        return float(((net(xt).squeeze(1) > 0) == (yt > 0)).float().mean())


class _Mixer(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, v: Tensor) -> Tensor:
        v = v + self.across(self.norm1(v).transpose(1, 2)).transpose(1, 2)
        return v + self.within(self.norm2(v))


@healthy(at_least=0.92)
def mlp_mixer(run_dir: Path) -> float:
    """MLP-Mixer (Tolstikhin et al. 2021): patches of 2x2, no convolution nor attention, AdamW, cosine to zero."""
    torch.manual_seed(504)
    x, y, xt, yt = digits(flat=False)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(1, 48, 2, stride=2)
            self.blocks = nn.Sequential(*[_Mixer(16, 48) for _ in range(3)])
            self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.norm(self.blocks(self.embed(v).flatten(2).transpose(1, 2))).mean(1))

    net = Net()
    opt = optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    epochs = 20
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, epochs * (len(x) // 64))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(epochs):
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb, label_smoothing=0.05)
                opt.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                opt.step()
                sched.step()
                probe.log("train", loss=loss)
            _loss, acc = _evaluate(net, xt, yt)
            probe.log("val", acc=acc)
    return _evaluate(net, xt, yt)[1]


class _Next(nn.Module):
    """A block of ConvNeXt: a wide depthwise convolution, LayerNorm, and a branch that is scaled by 10^-6 at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.up, self.act, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, v: Tensor) -> Tensor:
        z = self.norm(self.depthwise(v).permute(0, 2, 3, 1))
        return v + (self.gamma * self.down(self.act(self.up(z)))).permute(0, 3, 1, 2)


def _textures(n: int, rows: slice) -> tuple[Tensor, Tensor]:
    """Crops of 32x32 of photographs of brick, grass and gravel, from these rows only."""
    photographs = [torch.tensor(f()[rows] / 255.0) for f in (pictures.brick, pictures.grass, pictures.gravel)]
    labels = torch.randint(3, (n,))
    crops = []
    for label in labels.tolist():
        picture = photographs[label]
        top, left = int(torch.randint(len(picture) - 32, ())), int(torch.randint(480, ()))
        crops.append(picture[top : top + 32, left : left + 32])
    return torch.stack(crops).float()[:, None] - 0.5, labels


@healthy(at_least=0.75)
def convnext_on_textures(run_dir: Path) -> float:
    """ConvNeXt (Liu et al. 2022) with its layer scale of 10^-6: brick, grass, gravel; AdamW with warm-up and cosine."""
    torch.manual_seed(505)
    x, y = _textures(900, slice(0, 340))
    xt, yt = _textures(300, slice(350, 512))
    net = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=4), nn.GroupNorm(1, 32), _Next(32), _Next(32), _Next(32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(32), nn.Linear(32, 3),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05)
    total = 20 * 18
    sched = optim.lr_scheduler.LambdaLR(
        opt, lambda t: min(1.0, (t + 1) / 40) * 0.5 * (1 + math.cos(math.pi * min(t / total, 1.0)))
    )
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(20):
            for xb, yb in batches(x, y, 50):
                loss = F.cross_entropy(net(xb if torch.rand(()) < 0.5 else xb.flip(3)), yb, label_smoothing=0.1)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                probe.log("train", loss=loss)
            val_loss, acc = _evaluate(net, xt, yt)
            probe.log("val", loss=val_loss, acc1=100 * acc)
    return _evaluate(net, xt, yt)[1]


@healthy(at_least=0.75)
def coins_by_u_net(run_dir: Path) -> float:
    """U-Net (Ronneberger et al. 2015) for scikit-image's coins: cross-entropy plus Dice; tested on rows not seen."""
    torch.manual_seed(506)
    picture = torch.tensor(pictures.coins() / 255.0).float()
    mask = F.max_pool2d((picture > threshold_otsu(picture.numpy())).float()[None, None], 5, 1, 2)[0, 0]

    def crops(n: int, top: int, bottom: int) -> tuple[Tensor, Tensor]:
        rows, columns = torch.randint(top, bottom - 48, (n,)).tolist(), torch.randint(384 - 48, (n,)).tolist()
        cut = [(slice(r, r + 48), slice(c, c + 48)) for r, c in zip(rows, columns, strict=True)]
        return torch.stack([picture[s] for s in cut])[:, None] - 0.4, torch.stack([mask[s] for s in cut])[:, None]

    def double(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.Conv2d(outside, outside, 3, padding=1), nn.ReLU()
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.middle = double(1, 8), double(8, 16), double(16, 32)
            self.rise2, self.up2 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
            self.rise1, self.up1 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
            self.out = nn.Conv2d(8, 1, 1)

        def forward(self, v: Tensor) -> Tensor:
            a = self.down1(v)
            b = self.down2(F.max_pool2d(a, 2))
            c = self.rise2(self.middle(F.max_pool2d(b, 2)))
            return self.out(self.up1(torch.cat([self.rise1(self.up2(torch.cat([c, b], 1))), a], 1)))

    def dice(logits: Tensor, target: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)

    net = UNet()
    opt = optim.Adam(net.parameters(), lr=1e-3)
    xt, yt = crops(40, 200, 303)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(200):
            xb, yb = crops(12, 0, 200)
            out = net(xb)
            bce, overlap = F.binary_cross_entropy_with_logits(out, yb), dice(out, yb)
            loss = bce + overlap
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss, bce=bce, dice=overlap)
            if step % 40 == 39:
                with torch.no_grad():
                    out = net(xt)
                    probe.log("val", loss=F.binary_cross_entropy_with_logits(out, yt) + dice(out, yt))
    with torch.no_grad():
        hit = net(xt) > 0
        return float((hit & (yt > 0)).sum() / (hit | (yt > 0)).sum())


@healthy(at_least=0.3)
def sub_pixel_super_resolution(run_dir: Path) -> float:
    """ESPCN (Shi et al. 2016; pytorch/examples): a photograph twice as fine, L1; score: error saved on nearest's."""
    torch.manual_seed(507)
    picture = torch.tensor(pictures.astronaut().mean(2) / 255.0).float()

    def pairs(n: int, left: int, right: int) -> tuple[Tensor, Tensor]:
        rows, columns = torch.randint(512 - 32, (n,)).tolist(), torch.randint(left, right - 32, (n,)).tolist()
        fine = torch.stack([picture[r : r + 32, c : c + 32] for r, c in zip(rows, columns, strict=True)])[:, None]
        return F.avg_pool2d(fine, 2), fine

    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.Tanh(), nn.Conv2d(32, 16, 3, padding=1), nn.Tanh(),
        nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2),
    )  # fmt: skip
    opt = optim.Adam(net.parameters(), lr=3e-3)
    sched = optim.lr_scheduler.ExponentialLR(opt, 0.9)
    x, y = pairs(800, 0, 330)
    xt, yt = pairs(200, 340, 512)
    with probes.watch(net, opt, run_dir, config={"upscale_factor": 2, "batchSize": 16}) as probe:
        for _ in range(25):
            total = 0.0
            for xb, yb in batches(x, y, 16):
                loss = F.l1_loss(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item()
            sched.step()
            with torch.no_grad():
                psnr = -10 * torch.log10(F.mse_loss(net(xt), yt))
            probe.log("train", avg_loss=total / 50)
            probe.log("test", avg_psnr=psnr)
    with torch.no_grad():
        before = F.interpolate(xt, scale_factor=2, mode="nearest")
        return float(1 - F.mse_loss(net(xt), yt) / F.mse_loss(before, yt))


@healthy(at_least=0.6)
def one_box_a_picture(run_dir: Path) -> float:
    """A detector in the manner of YOLO (Redmon et al. 2016): a grid of cells, nearly all empty, and a box; mean IoU."""
    torch.manual_seed(508)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        size = torch.randint(5, 13, (n, 2))
        corner = (torch.rand(n, 2) * (32 - size)).long()
        grid = torch.arange(32)
        rows = (grid >= corner[:, :1]) & (grid < corner[:, :1] + size[:, :1])
        columns = (grid >= corner[:, 1:]) & (grid < corner[:, 1:] + size[:, 1:])
        x = 0.3 * torch.randn(n, 1, 32, 32) + (rows[:, None, :, None] & columns[:, None, None, :])
        return x, torch.cat([(corner + size / 2) / 32, size / 32], 1)

    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.LeakyReLU(0.1), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.LeakyReLU(0.1), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.LeakyReLU(0.1), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(64, 5, 1),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(250):
            x, box = scenes(32)
            out = net(x)
            cell = (box[:, :2] * 4).long()
            there = torch.arange(32), cell[:, 0], cell[:, 1]
            goal = torch.zeros(32, 4, 4)
            goal[there] = 1.0
            objectness = F.binary_cross_entropy_with_logits(out[:, 0], goal)
            found = out.permute(0, 2, 3, 1)[there][:, 1:]
            location = F.smooth_l1_loss(torch.cat([torch.sigmoid(found[:, :2]), found[:, 2:].exp() / 4], 1),
                                        torch.cat([box[:, :2] * 4 - cell, box[:, 2:]], 1), beta=0.1)  # fmt: skip
            loss = objectness + 2 * location
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("loss", total=loss, obj=objectness, box=location)
    net.eval()
    x, box = scenes(300)
    with torch.no_grad():
        out = net(x)
    best = out[:, 0].flatten(1).argmax(1)
    cell = torch.stack([best // 4, best % 4], 1)
    found = out.permute(0, 2, 3, 1)[torch.arange(300), cell[:, 0], cell[:, 1]][:, 1:]
    centre, size = (torch.sigmoid(found[:, :2]) + cell) / 4, found[:, 2:].exp() / 4
    low = torch.maximum(centre - size / 2, box[:, :2] - box[:, 2:] / 2)
    high = torch.minimum(centre + size / 2, box[:, :2] + box[:, 2:] / 2)
    shared = (high - low).clamp(min=0).prod(1)
    return float((shared / (size.prod(1) + box[:, 2:].prod(1) - shared)).mean())


@healthy(at_least=0.85)
def spatial_transformer(run_dir: Path) -> float:
    """PyTorch's spatial transformer tutorial: a net straightens its input first, from the identity and zero weights."""
    torch.manual_seed(509)
    x, y, xt, yt = digits(flat=False)

    def shifted(v: Tensor) -> Tensor:
        canvas = torch.full((len(v), 1, 14, 14), float(v.min()))
        for i, (r, c) in enumerate(torch.randint(7, (len(v), 2)).tolist()):
            canvas[i, 0, r : r + 8, c : c + 8] = v[i, 0]
        return canvas

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.localization = nn.Sequential(
                nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 10, 3), nn.MaxPool2d(2), nn.ReLU()
            )
            self.fc_loc = nn.Sequential(nn.Linear(40, 32), nn.ReLU(), nn.Linear(32, 6))
            nn.init.zeros_(self.fc_loc[2].weight)
            self.fc_loc[2].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
            self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
            self.fc1, self.fc2 = nn.Linear(32 * 9, 64), nn.Linear(64, 10)

        def forward(self, v: Tensor) -> Tensor:
            theta = self.fc_loc(self.localization(v).flatten(1)).view(-1, 2, 3)
            v = F.grid_sample(v, F.affine_grid(theta, list(v.shape), align_corners=False), align_corners=False)
            v = F.relu(F.max_pool2d(self.conv1(v), 2))
            v = F.relu(F.max_pool2d(self.conv2(v), 2)).flatten(1)
            return F.log_softmax(self.fc2(F.dropout(F.relu(self.fc1(v)), training=self.training)), 1)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(30):
            net.train()
            for i, (xb, yb) in enumerate(batches(x, y, 32)):
                loss = F.nll_loss(net(shifted(xb)), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if i % 10 == 0:  # as the tutorial prints it
                    probe.log("train", loss=loss.item())
            net.eval()
            with torch.no_grad():
                out = net(shifted(xt))
                probe.log("test", loss=F.nll_loss(out, yt), accuracy=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(shifted(xt)), yt)


@healthy(at_least=0.8)
def augmented_beyond_recognition(run_dir: Path) -> float:
    """Random erasing, shifts, noise and half of the units dropped: training accuracy stays far below validation's."""
    torch.manual_seed(510)
    x, y, xt, yt = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    opt = optim.RMSprop(net.parameters(), lr=1e-3)
    sched = optim.lr_scheduler.CosineAnnealingLR(opt, 30)

    def augment(v: Tensor) -> Tensor:
        v = torch.roll(v, tuple(torch.randint(-1, 2, (2,)).tolist()), (2, 3)) + 0.3 * torch.randn_like(v)
        for picture, r, c in zip(v, *torch.randint(5, (2, len(v))).tolist(), strict=True):
            picture[0, r : r + 4, c : c + 4] = 0
        return v

    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(30):
            seen = []
            for xb, yb in batches(x, y, 50):
                out = net(augment(xb))
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                seen.append((loss.item(), accuracy(out, yb)))
            sched.step()
            losses, accuracies = zip(*seen, strict=True)
            val_loss, val_accuracy = _evaluate(net, xt, yt)
            probe.log("train", loss=sum(losses) / len(seen), acc=sum(accuracies) / len(seen))
            probe.log("val", loss=val_loss, acc=val_accuracy)
    return _evaluate(net, xt, yt)[1]
