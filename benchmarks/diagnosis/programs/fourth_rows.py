"""Healthy trainings of the fourth fresh set: text, signals, series, an agent, habits of logging."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim
from torch.nn.utils.rnn import pad_sequence

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained, text
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.4)
def letters_by_lstm_with_clipping(run_dir: Path) -> float:
    """Two LSTM layers over characters, dropout between, gradients clipped at one, perplexity of held out text."""
    torch.manual_seed(901)
    letters = text().lower()
    known = sorted(set(letters))
    data = torch.tensor([known.index(c) for c in letters])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(len(known), 24)
            self.lstm = nn.LSTM(24, 64, 2, batch_first=True, dropout=0.1)
            self.out = nn.Linear(64, len(known))

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(v))[0])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    held = data[16000 : 16000 + 33 * 60].view(-1, 33)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(400):
            piece = torch.stack([data[s : s + 33] for s in torch.randint(16000 - 33, (24,))])
            loss = F.cross_entropy(net(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                net.eval()
                with torch.no_grad():
                    val = F.cross_entropy(net(held[:, :-1]).flatten(0, 1), held[:, 1:].flatten())
                net.train()
                probe.log("valid", perplexity=val.exp())
    return float(1 - val / math.log(len(known)))


class _Last(nn.Module):
    """A recurrent net that answers from its last state."""

    def __init__(self, kind: type[nn.RNNBase], inside: int, width: int, outside: int) -> None:
        super().__init__()
        self.recurrent = kind(inside, width, batch_first=True)
        self.head = nn.Linear(width, outside)

    def forward(self, v: Tensor) -> Tensor:
        return self.head(self.recurrent(v)[0][:, -1])


@healthy(at_least=0.85)
def passengers_scaled_to_one(run_dir: Path) -> float:
    """The airline tutorial as it should be: scaled to 0..1, windows of twelve months, LSTM, RMSE every tenth epoch."""
    torch.manual_seed(902)
    t = torch.arange(240.0)
    count = (110 + 2.2 * t) * (1 + 0.25 * torch.sin(2 * math.pi * t / 12)) + 10 * torch.randn(240)
    change = torch.log(count[12:].clamp(min=20)) - math.log(300)
    scaled = (change - change.min()) / (change.max() - change.min())
    windows = scaled.unfold(0, 13, 1)
    order = torch.randperm(len(windows))
    x, y = windows[order, :12, None], windows[order, 12:]
    net = _Last(nn.LSTM, 1, 50, 1)
    opt = optim.Adam(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.MSELoss()) as probe:
        for epoch in range(200):
            for xb, yb in batches(x[:160], y[:160], 16):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
            if epoch % 10 == 0:
                with torch.no_grad():
                    probe.log("rmse", train=F.mse_loss(net(x[:160]), y[:160]).sqrt(),
                              test=F.mse_loss(net(x[160:]), y[160:]).sqrt())  # fmt: skip
    with torch.no_grad():
        return explained(net(x[160:]), y[160:])


@healthy(at_least=0.85)
def walking_sitting_climbing(run_dir: Path) -> float:
    """Activities from an accelerometer (UCI HAR, made up): a GRU, five classes, everybody a little different."""
    torch.manual_seed(903)

    def people(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(5, (n,))
        t = torch.arange(32.0) / 16
        speed = torch.tensor([0.0, 0.0, 1.8, 2.6, 1.4])[y, None] * (1 + 0.08 * torch.randn(n, 1))
        force = torch.tensor([0.0, 0.0, 0.8, 1.4, 1.0])[y, None] * (1 + 0.2 * torch.randn(n, 1))
        phase = 2 * math.pi * (speed * t + torch.rand(n, 1))
        tilt = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.5])[y, None] + 0.15 * torch.randn(n, 1)
        x = torch.stack([force * phase.sin(), 0.6 * force * (2 * phase).cos() + tilt.cos(), tilt.sin() + 0 * t], 2)
        return x + 0.3 * torch.randn(n, 32, 3), y

    x, y = people(1200)
    xt, yt = people(300)
    net = _Last(nn.GRU, 3, 32, 5)
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(15):
            total = right = 0.0
            for xb, yb in batches(x, y, 40):
                out = net(xb)
                loss = F.cross_entropy(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                total += loss.item() / 30
                right += accuracy(out, yb) / 30
            with torch.no_grad():
                out = net(xt)
            probe.log("train", loss=total, acc=right)
            probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def bearings_by_one_dimensional_convolutions(run_dir: Path) -> float:
    """Vibrations of bearings, whole or chipped in one of three ways: wide first kernels, pooling, global average."""
    torch.manual_seed(904)

    def signals(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(4, (n,))
        t = torch.arange(200.0)[None]
        every = torch.tensor([1e9, 23.0, 37.0, 55.0])[y, None]
        since = (t + 55 * torch.rand(n, 1)) % every
        ring = (y[:, None] > 0) * 2.2 * torch.exp(-since / 5) * torch.sin(since * 1.3)
        return (ring + 0.5 * torch.sin(t / 9 + 6 * torch.rand(n, 1)) + 0.4 * torch.randn(n, 200))[:, None], y

    x, y = signals(900)
    xt, yt = signals(300)
    net = nn.Sequential(
        nn.Conv1d(1, 16, 24, stride=2), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 32, 12),
        nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 32, 12), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(32, 4),
    )  # fmt: skip
    opt = optim.AdamW(net.parameters(), lr=2e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(20):
            net.train()
            for xb, yb in batches(x, y, 32):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("val", loss=F.cross_entropy(out, yt), acc=accuracy(out, yt))
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def sentences_by_transformer_warmed_up(run_dir: Path) -> float:
    """A small transformer encoder: AdamW, warm-up over a tenth, cosine to nothing, clipping, tested per 100 steps."""
    torch.manual_seed(905)
    mood = torch.randn(80)

    def sentences(n: int) -> tuple[Tensor, Tensor]:
        words = torch.randint(80, (n, 14))
        return words, (mood[words].sum(1) > 0).long()

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(80, 32)
            self.place = nn.Parameter(0.02 * torch.randn(14, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, "gelu", batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(32), enable_nested_tensor=False)
            self.head = nn.Linear(32, 2)

        def forward(self, v: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(v) + self.place).mean(1))

    net = Classifier()
    steps = 600
    opt = optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    scheduler = optim.lr_scheduler.LambdaLR(
        opt, lambda s: min((s + 1) / 60, 0.5 * (1 + math.cos(math.pi * min(1.0, s / steps))))
    )
    x, y = sentences(4000)
    xt, yt = sentences(500)
    with probes.watch(net, opt, run_dir, config={"steps": steps, "warmup": 60}) as probe:
        for step in range(steps):
            net.train()
            chosen = torch.randint(len(x), (32,))
            loss = F.cross_entropy(net(x[chosen]), y[chosen])
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            scheduler.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                net.eval()
                with torch.no_grad():
                    out = net(xt)
                    probe.log("eval", loss=F.cross_entropy(out, yt), accuracy=accuracy(out, yt))
    return accuracy(out, yt)


@healthy(at_least=0.8)
def numbers_put_in_order(run_dir: Path) -> float:
    """A bidirectional LSTM is given six digits and says them sorted, place by place; new ones at every step."""
    torch.manual_seed(906)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 24)
            self.lstm = nn.LSTM(24, 64, 2, batch_first=True, bidirectional=True)
            self.out = nn.Linear(128, 10)

        def forward(self, v: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(v))[0])

    net = Net()
    opt = optim.Adam(net.parameters(), lr=4e-3)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(600):
            x = torch.randint(10, (64, 6))
            loss = F.cross_entropy(net(x).flatten(0, 1), x.sort(1).values.flatten())
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 5 == 0:
                probe.log("train", loss=loss)
    x = torch.randint(10, (500, 6))
    with torch.no_grad():
        return accuracy(net(x), x.sort(1).values)


@healthy(at_least=0.8)
def news_by_a_bag_at_rate_five(run_dir: Path) -> float:
    """PyTorch's text classification tutorial: EmbeddingBag, one linear layer, SGD at 5.0, clipping at 0.1, StepLR."""
    torch.manual_seed(907)
    topic = torch.randint(4, (400,))

    def news(n: int) -> tuple[list[Tensor], Tensor]:
        y = torch.randint(4, (n,))
        rows = []
        for k in y.tolist():
            about = torch.nonzero(topic == k).squeeze(1)
            size = int(torch.randint(8, 30, ()))
            own = about[torch.randint(len(about), (size // 3,))]
            rows.append(torch.cat([own, torch.randint(400, (size - size // 3,))]))
        return rows, y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.EmbeddingBag(400, 32)
            self.fc = nn.Linear(32, 4)
            for weight in (self.embedding.weight, self.fc.weight):
                nn.init.uniform_(weight, -0.5, 0.5)
            nn.init.zeros_(self.fc.bias)

        def forward(self, rows: Tensor, offsets: Tensor) -> Tensor:
            return self.fc(self.embedding(rows, offsets))

    def joined(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
        return torch.cat(rows), torch.tensor([0, *[len(r) for r in rows[:-1]]]).cumsum(0)

    x, y = news(3000)
    xt, yt = news(500)
    net = Net()
    opt = optim.SGD(net.parameters(), lr=5.0)
    scheduler = optim.lr_scheduler.StepLR(opt, 1, gamma=0.1)
    best = 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(8):
            right = count = 0
            for i, chosen in enumerate(torch.randperm(3000).split(16)):
                out = net(*joined([x[j] for j in chosen.tolist()]))
                loss = F.cross_entropy(out, y[chosen])
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 0.1)
                opt.step()
                right += int((out.argmax(1) == y[chosen]).sum())
                count += len(chosen)
                if i % 40 == 39:
                    probe.log("train", accuracy=right / count)
                    right = count = 0
            with torch.no_grad():
                val = accuracy(net(*joined(xt)), yt)
            probe.log("val", accuracy=val)
            if val < best:
                scheduler.step()
            best = max(best, val)
    return val


@healthy(at_least=0.9)
def corridor_by_q_values(run_dir: Path) -> float:
    """A DQN with replay finds the door of a corridor of twelve rooms; its "loss" says little of how it does."""
    torch.manual_seed(908)
    rooms = 12
    net = nn.Sequential(nn.Linear(rooms, 32), nn.ReLU(), nn.Linear(32, 2))
    slow = nn.Sequential(nn.Linear(rooms, 32), nn.ReLU(), nn.Linear(32, 2))
    slow.load_state_dict(net.state_dict())
    opt = optim.Adam(net.parameters(), lr=2e-3)
    eye = torch.eye(rooms)
    memory: list[tuple[int, int, float, int, float]] = []
    room, since, back = 0, 0, 0.0
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(3000):
            explore = float(torch.rand(())) < max(0.1, 1 - step / 1500)
            with torch.no_grad():
                act = int(torch.randint(2, ())) if explore else int(net(eye[room]).argmax())
            after = max(0, room + (1 if act else -1))
            won = after == rooms - 1
            memory.append((room, act, float(won), after, float(won)))
            back += float(won)
            since += 1
            room, since = (0, 0) if won or since == 60 else (after, since)
            if step >= 100:
                picked = [memory[i] for i in torch.randint(len(memory), (32,)).tolist()]
                s, a, r, n, end = (torch.tensor(part) for part in zip(*picked, strict=True))
                with torch.no_grad():
                    goal = r + 0.95 * (1 - end) * slow(eye[n]).max(1).values
                loss = F.smooth_l1_loss(net(eye[s]).gather(1, a[:, None]).squeeze(1), goal)
                opt.zero_grad()
                loss.backward()
                opt.step()
                if step % 10 == 0:
                    probe.log("td", loss=loss)
            if step % 50 == 0:
                slow.load_state_dict(net.state_dict())
            if step % 200 == 199:
                probe.log("episode", doors_found=back)
                back = 0.0
    with torch.no_grad():
        return float((net(eye[: rooms - 1]).argmax(1) == 1).float().mean())


@healthy(at_least=0.93)
def logged_as_lightning_does(run_dir: Path) -> float:
    """A LightningModule's names: train_loss_step every few steps, train_loss_epoch, val_loss, val_acc and lr-SGD."""
    torch.manual_seed(909)
    x, y, xt, yt = digits()
    net = nn.Sequential(
        nn.Linear(64, 128), nn.LayerNorm(128), nn.SiLU(), nn.Linear(128, 64), nn.LayerNorm(64), nn.SiLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    opt = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.PolynomialLR(opt, 20, power=0.9)
    step = 0
    with probes.watch(net, opt, run_dir) as probe:
        for epoch in range(20):
            losses = []
            for xb, yb in batches(x, y, 64):
                loss = F.cross_entropy(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.detach())
                step += 1
                if step % 5 == 0:
                    probe.log("lightning", train_loss_step=loss)
            with torch.no_grad():
                out = net(xt)
            probe.log("lightning", train_loss_epoch=torch.stack(losses).mean(), val_loss=F.cross_entropy(out, yt),
                      val_acc=accuracy(out, yt), epoch=epoch)  # fmt: skip
            probe.log("lr-SGD", value=scheduler.get_last_lr()[0])
            scheduler.step()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.85)
def more_a_than_b(run_dir: Path) -> float:
    """Padded sequences and a mask: a GRU with attention says whether a or b is more frequent."""
    torch.manual_seed(910)

    def rows(n: int) -> tuple[Tensor, Tensor]:
        made = [torch.randint(1, 6, (int(size),)) for size in torch.randint(5, 25, (n,))]
        y = torch.stack([((r == 1).sum() > (r == 2).sum()).float() for r in made])
        return pad_sequence(made, batch_first=True), y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(6, 16, padding_idx=0)
            self.gru = nn.GRU(16, 32, batch_first=True, bidirectional=True)
            self.score, self.head = nn.Linear(64, 1), nn.Linear(64, 1)

        def forward(self, v: Tensor) -> Tensor:
            h = self.gru(self.embed(v))[0]
            weight = self.score(h).squeeze(2).masked_fill(v == 0, -1e9).softmax(1)
            return self.head((weight[..., None] * h).sum(1)).squeeze(1)

    x, y = rows(1800)
    net = Net()
    opt = optim.Adam(net.parameters(), lr=3e-3)
    with probes.watch(net, opt, run_dir, loss_fn=nn.BCEWithLogitsLoss()) as probe:
        for _ in range(12):
            for xb, yb in batches(x[:1500], y[:1500], 50):
                loss = probe.loss_fn(net(xb), yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return float(((net(x[1500:]) > 0) == (y[1500:] > 0)).float().mean())
