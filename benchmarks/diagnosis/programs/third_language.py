"""Healthy trainings on text, of the third fresh set: language models, translation, tags, and retrieval of words."""

from __future__ import annotations

import difflib
import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches
from benchmarks.diagnosis.programs.program import healthy


def _letters() -> tuple[Tensor, int]:
    """A module of the standard library as numbers of characters, and how many characters there are."""
    text = Path(difflib.__file__).read_text(encoding="utf-8")[:60000]
    known = sorted(set(text))
    return torch.tensor([known.index(c) for c in text]), len(known)


class _Block(nn.Module):
    """Pre-norm attention and MLP, as in nanoGPT."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, v: Tensor) -> Tensor:
        n, t, c = v.shape
        q, k, w = (z.view(n, t, self.heads, -1).transpose(1, 2) for z in self.c_attn(self.ln_1(v)).chunk(3, -1))
        z = F.scaled_dot_product_attention(q, k, w, is_causal=self.causal)
        v = v + self.c_proj(z.transpose(1, 2).reshape(n, t, c))
        return v + self.mlp(self.ln_2(v))


class _Transformer(nn.Module):
    """Embeddings, blocks, and a head tied to the embedding."""

    def __init__(self, words: int, length: int, width: int, layers: int, *, causal: bool) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, width), nn.Embedding(length, width)
        self.h = nn.Sequential(*[_Block(width, 4, causal=causal) for _ in range(layers)])
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lm_head(self.ln_f(self.h(self.wte(tokens) + self.wpe.weight[: tokens.shape[1]])))


@healthy(at_least=0.3)
def nano_gpt(run_dir: Path) -> float:
    """Karpathy's nanoGPT on characters: two decay groups, beta2 0.99, warm-up, cosine to a tenth; losses estimated."""
    torch.manual_seed(521)
    text, letters = _letters()
    train, val = text[:54000], text[54000:]
    net = _Transformer(letters, 48, 64, 2, causal=True)
    decay = [p for p in net.parameters() if p.dim() >= 2]
    rest = [p for p in net.parameters() if p.dim() < 2]
    opt = optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-3, betas=(0.9, 0.99)
    )
    iters, warmup = 400, 40

    def batch(source: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.stack([source[i : i + 49] for i in torch.randint(len(source) - 49, (16,)).tolist()])
        return rows[:, :-1], rows[:, 1:]

    def loss_of(pair: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(net(pair[0]).flatten(0, 1), pair[1].flatten())

    @torch.no_grad()
    def estimate(source: Tensor) -> float:
        net.eval()
        mean = sum(float(loss_of(batch(source))) for _ in range(8)) / 8
        net.train()
        return mean

    with probes.watch(net, opt, run_dir) as probe:
        for step in range(iters):
            along = max(0.0, (step - warmup) / (iters - warmup))
            rate = 3e-3 * (step + 1) / warmup if step < warmup else 3e-4 + 1.35e-3 * (1 + math.cos(math.pi * along))
            for group in opt.param_groups:
                group["lr"] = rate
            if step % 50 == 0:
                probe.log("train", loss=estimate(train))
                probe.log("val", loss=estimate(val))
            loss = loss_of(batch(train))
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            opt.zero_grad(set_to_none=True)
            probe.log("iter", loss=loss)
    return 1 - estimate(val) / math.log(letters)


_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip


@healthy(at_least=0.9)
def dates_translated(run_dir: Path) -> float:
    """Attention of Bahdanau et al. 2015 on Ng's course exercise: "3 may 1999" to "1999-05-03"; padding is ignored."""
    torch.manual_seed(522)
    rng = random.Random(522)
    signs = " -0123456789abcdefghijklmnopqrstuvwxyz,<"  # "<" begins an answer
    pad = len(signs)

    def sample(n: int) -> tuple[Tensor, Tensor]:
        asked, answers = [], []
        for _ in range(n):
            year, month, day = rng.randint(1950, 2025), rng.randint(1, 12), rng.randint(1, 28)
            name = _MONTHS[month - 1]
            asked.append(rng.choice((f"{day} {name} {year}", f"{name} {day}, {year}", f"{day} {name[:3]} {year}")))
            answers.append(f"<{year}-{month:02}-{day:02}")
        x = torch.full((n, 18), pad)
        for row, question in zip(x, asked, strict=True):
            row[: len(question)] = torch.tensor([signs.index(c) for c in question])
        return x, torch.tensor([[signs.index(c) for c in answer] for answer in answers])

    class Translator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(pad + 1, 32, padding_idx=pad)
            self.encoder = nn.GRU(32, 48, batch_first=True, bidirectional=True)
            self.decoder = nn.GRU(32, 96, batch_first=True)
            self.query = nn.Linear(96, 96, bias=False)
            self.out = nn.Linear(192, pad)

        def forward(self, x: Tensor, given: Tensor) -> Tensor:
            memory, last = self.encoder(self.embed(x))
            states, _ = self.decoder(self.embed(given), torch.cat([last[0], last[1]], 1)[None])
            scores = self.query(states) @ memory.transpose(1, 2)
            weights = scores.masked_fill((x == pad)[:, None], -1e9).softmax(-1)
            return self.out(torch.cat([states, weights @ memory], -1))

    net = Translator()
    opt = optim.Adam(net.parameters(), lr=4e-3)
    xt, yt = sample(200)
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(500):
            x, y = sample(48)
            loss = F.cross_entropy(net(x, y[:, :-1]).transpose(1, 2), y[:, 1:])
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                with torch.no_grad():
                    probe.log("valid", loss=F.cross_entropy(net(xt, yt[:, :-1]).transpose(1, 2), yt[:, 1:]))
    said = yt[:, :1]
    with torch.no_grad():
        for _ in range(10):
            said = torch.cat([said, net(xt, said)[:, -1:].argmax(-1)], 1)
    return float((said == yt).all(1).float().mean())


def _reviews(n: int) -> tuple[Tensor, Tensor]:
    """Made-up reviews of 20 words out of 400: praise counts, unless "not" (word 0) stands before it."""
    words = torch.randint(1, 400, (n, 20))
    words[torch.rand(n, 20) < 0.15] = 0
    polarity = torch.zeros(400)
    polarity[1:61], polarity[61:121] = 1.0, -1.0
    turned = torch.cat([torch.ones(n, 1), 1 - 2.0 * (words[:, :-1] == 0)], 1)
    total = (polarity[words] * turned).sum(1)
    return words[total != 0], (total[total != 0] > 0).long()


@healthy(at_least=0.8)
def convolutions_over_words(run_dir: Path) -> float:
    """Kim 2014: filters of 2 and 3 words, the largest answer over time, dropout, Adadelta at rate 1; reviews."""
    torch.manual_seed(523)
    x, y = _reviews(7000)
    xt, yt = _reviews(1000)

    class TextCNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(400, 32)
            self.convs = nn.ModuleList([nn.Conv1d(32, 48, k) for k in (2, 3)])
            self.dropout, self.fc = nn.Dropout(0.3), nn.Linear(96, 2)

        def forward(self, words: Tensor) -> Tensor:
            v = self.embed(words).transpose(1, 2)
            return self.fc(self.dropout(torch.cat([F.relu(c(v)).sum(2) / 4 for c in self.convs], 1)))

    net = TextCNN()
    opt = optim.Adadelta(net.parameters(), lr=1.0)
    with probes.watch(net, opt, run_dir, loss_fn=F.cross_entropy) as probe:
        for _ in range(12):
            for xb, yb in batches(x, y, 50):
                out = net(xb)
                loss = probe.loss_fn(out, yb)
                opt.zero_grad()
                loss.backward()
                opt.step()
                probe.log("train", loss=loss, acc=100 * accuracy(out.detach(), yb))
            net.eval()
            with torch.no_grad():
                out = net(xt)
                probe.log("dev", loss=F.cross_entropy(out, yt), acc=100 * accuracy(out, yt))
            net.train()
    net.eval()
    with torch.no_grad():
        return accuracy(net(xt), yt)


@healthy(at_least=0.8)
def bag_of_words_with_sparse_gradients(run_dir: Path) -> float:
    """PyTorch's text classification tutorial: EmbeddingBag, SGD at rate 5, here with sparse gradients, not clipped."""
    torch.manual_seed(524)
    topics = torch.randn(4, 3000).mul(1.3).softmax(1)

    def sample(n: int) -> list[tuple[Tensor, int]]:
        found = []
        for label in torch.randint(4, (n,)).tolist():
            found.append((torch.multinomial(topics[label], int(torch.randint(8, 30, ())), replacement=True), label))
        return found

    def collate(rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
        lengths = torch.tensor([0] + [len(words) for words, _ in rows[:-1]])
        return torch.cat([words for words, _ in rows]), lengths.cumsum(0), torch.tensor([label for _, label in rows])

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.EmbeddingBag(3000, 32, sparse=True)
            self.fc = nn.Linear(32, 4)
            for p in self.parameters():
                nn.init.uniform_(p, -0.5, 0.5)
            nn.init.zeros_(self.fc.bias)

        def forward(self, words: Tensor, offsets: Tensor) -> Tensor:
            return self.fc(self.embedding(words, offsets))

    net = Model()
    opt = optim.SGD(net.parameters(), lr=5.0)
    sched = optim.lr_scheduler.StepLR(opt, 1, gamma=0.6)
    rows, held_out = sample(6000), collate(sample(600))
    with probes.watch(net, opt, run_dir) as probe:
        for _ in range(6):
            random.Random(0).shuffle(rows)
            right = seen = 0
            for start in range(0, 6000, 16):
                words, offsets, y = collate(rows[start : start + 16])
                opt.zero_grad()
                out = net(words, offsets)
                F.cross_entropy(out, y).backward()
                opt.step()
                right, seen = right + int((out.argmax(1) == y).sum()), seen + len(y)
                if start % 1600 == 0:
                    probe.log("train", accuracy=right / seen)
                    right = seen = 0
            sched.step()
            with torch.no_grad():
                probe.log("valid", accuracy=accuracy(net(*held_out[:2]), held_out[2]))
    with torch.no_grad():
        return accuracy(net(*held_out[:2]), held_out[2])


@healthy(at_least=0.6)
def masked_words(run_dir: Path) -> float:
    """BERT (Devlin et al. 2019) on a made-up grammar: 20% of the words masked, the rest ignored by the loss."""
    torch.manual_seed(525)
    follow = torch.randint(2, 40, (40, 3))

    def sentences(n: int) -> Tensor:
        words = torch.randint(2, 40, (n, 16))
        for t in range(2, 16):  # each word follows from the two before it, and a coin
            coin = torch.randint(2, (n,))
            words[:, t] = follow[words[:, t - 2], coin]
        return words

    def masked(words: Tensor) -> tuple[Tensor, Tensor]:
        chosen = torch.rand(words.shape) < 0.2
        chosen[:, :2] = False
        return words.masked_fill(chosen, 1), words.masked_fill(~chosen, -100)

    net = _Transformer(40, 16, 48, 2, causal=False)
    opt = optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    total = 800
    sched = optim.lr_scheduler.LambdaLR(opt, lambda t: min((t + 1) / 80, max(0.0, (total - t) / (total - 80))))
    with probes.watch(net, opt, run_dir) as probe:
        for step in range(total):
            x, y = masked(sentences(48))
            loss = F.cross_entropy(net(x).transpose(1, 2), y, ignore_index=-100)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            sched.step()
            if step % 10 == 0:
                probe.log("train", mlm_loss=loss)
    x, y = masked(sentences(600))
    with torch.no_grad():
        out = net(x)[y >= 0]
    return accuracy(out, y[y >= 0])


@healthy(at_least=0.2)
def word_language_model(run_dir: Path) -> float:
    """pytorch/examples, word_language_model: SGD by hand at 20, clipped at 0.25, state carried on."""
    torch.manual_seed(526)
    text, letters = _letters()
    columns = text[:36000].view(20, -1).t()
    held_out = text[36000:44000].view(10, -1).t()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.encoder = nn.Dropout(0.1), nn.Embedding(letters, 64)
            self.rnn, self.decoder = nn.LSTM(64, 64), nn.Linear(64, letters)
            nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
            nn.init.zeros_(self.decoder.bias)
            self.decoder.weight = self.encoder.weight

        def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            out, state = self.rnn(self.drop(self.encoder(x)), state)
            return self.decoder(self.drop(out)).flatten(0, 1), state

    net = Model()

    def evaluate() -> float:
        net.eval()
        zero = torch.zeros(1, 10, 64)
        with torch.no_grad():
            return float(F.cross_entropy(net(held_out[:-1], (zero, zero))[0], held_out[1:].flatten()))

    rate, best = 20.0, math.inf
    with probes.watch(net, run_dir=run_dir) as probe:
        for _ in range(8):
            net.train()
            state = torch.zeros(1, 20, 64), torch.zeros(1, 20, 64)
            for i in range(0, len(columns) - 36, 35):
                state = state[0].detach(), state[1].detach()
                out, state = net(columns[i : i + 35], state)
                loss = F.cross_entropy(out, columns[i + 1 : i + 36].flatten())
                net.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 0.25)
                for p in net.parameters():
                    p.data.add_(p.grad, alpha=-rate)
                probe.log("train", loss=loss.item(), ppl=math.exp(loss.item()))
            val = evaluate()
            probe.log("valid", loss=val, ppl=math.exp(val))
            if val < best:
                best = val
            else:
                rate /= 4
    return 1 - evaluate() / math.log(letters)


@healthy(at_least=0.7)
def coins_that_remember(run_dir: Path) -> float:
    """A GRU on flips that lean to what came three before: 0.67 of 0.69 nats is noise; the score: its share."""
    torch.manual_seed(527)

    def flips(n: int) -> Tensor:
        x = torch.randint(2, (n, 40))
        for t in range(3, 40):
            x[:, t] = torch.where(torch.rand(n) < 0.65, x[:, t - 3], 1 - x[:, t - 3])
        return x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.out = nn.Embedding(2, 8), nn.GRU(8, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(x))[0]).squeeze(2)

    net = Net()
    opt = optim.Adam(net.parameters(), lr=5e-3)
    bce = nn.BCEWithLogitsLoss()
    xt = flips(1000)

    @torch.no_grad()
    def held_out() -> Tensor:
        return bce(net(xt[:, 3:-1]), xt[:, 4:].float())

    with probes.watch(net, opt, run_dir, loss_fn=bce) as probe:
        for step in range(500):
            x = flips(32)
            loss = bce(net(x[:, 3:-1]), x[:, 4:].float())
            opt.zero_grad()
            loss.backward()
            opt.step()
            probe.log("train", loss=loss)
            if step % 100 == 99:
                probe.log("val", loss=held_out())
    floor = -(0.65 * math.log(0.65) + 0.35 * math.log(0.35))
    return float((math.log(2) - held_out()) / (math.log(2) - floor))
