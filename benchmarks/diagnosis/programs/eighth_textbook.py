"""Healthy trainings of the eighth fresh set: what books, courses and tutorials have people run, scaled down."""

from __future__ import annotations

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import accuracy, batches, digits, explained
from benchmarks.diagnosis.programs.program import healthy


@healthy(at_least=0.42)
def noise_of_an_airfoil_in_two_epochs(run_dir: Path) -> float:
    """Dive into Deep Learning 12.5: a linear layer on whitened features, half the squared error, ten at a time."""
    torch.manual_seed(8101)
    w = torch.tensor([-0.55, -0.35, -0.35, 0.3, -0.25])
    x = torch.randn(2000, 5) @ (torch.eye(5) + 0.15 * torch.randn(5, 5))
    x = (x - x.mean(0)) / x.std(0)
    y = x @ w + 0.75 * torch.randn(2000)
    y = (y - y.mean()) / y.std()
    net = nn.Sequential(nn.Linear(5, 1))
    nn.init.normal_(net[0].weight, std=0.01)
    trainer = optim.SGD(net.parameters(), lr=0.05)
    loss = nn.MSELoss(reduction="none")
    n = 0
    with probes.watch(net, trainer, run_dir) as probe:
        for _ in range(2):
            for xb, yb in batches(x[:1500], y[:1500], 10):
                trainer.zero_grad()
                value = loss(net(xb), yb.reshape(-1, 1)) / 2
                value.mean().backward()
                trainer.step()
                n += len(xb)
                if n % 200 == 0:
                    with torch.no_grad():
                        whole = (loss(net(x[:1500]), y[:1500, None]) / 2).mean()
                    probe.log("train", loss=whole)
    with torch.no_grad():
        return explained(net(x[1500:]), y[1500:])


@healthy(at_least=0.4)
def time_machine_by_a_gated_unit_at_rate_four(run_dir: Path) -> float:
    """Dive into Deep Learning 10.2: a GRU of 32 units over letters, SGD with rate 4, clipped at one, perplexities."""
    torch.manual_seed(8102)
    from pydoc_data.topics import topics

    book = " ".join("".join(c if c.isalpha() else " " for c in page) for page in topics.values())
    book = " ".join("".join(c for c in book.lower() if c == " " or "a" <= c <= "z").split())
    letters = torch.tensor([" abcdefghijklmnopqrstuvwxyz".index(c) for c in book[40000:66000]])
    windows = letters.unfold(0, 33, 1)
    x, y, x_val, y_val = windows[:24000, :-1], windows[:24000, 1:], windows[24040:25900, :-1], windows[24040:25900, 1:]

    class RNNLM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(27, 32)
            self.linear = nn.LazyLinear(27)

        def forward(self, v: Tensor) -> Tensor:
            states, _ = self.rnn(F.one_hot(v.T, 27).float())
            return self.linear(states).swapaxes(0, 1)

    model = RNNLM()
    model(x[:2])
    trainer = optim.SGD(model.parameters(), lr=4)
    with probes.watch(model, trainer, run_dir, config={"lr": 4, "gradient_clip_val": 1}) as probe:
        for epoch in range(10):
            for xb, yb in batches(x, y, 512):
                out = model(xb)
                value = F.cross_entropy(out.reshape(-1, 27), yb.reshape(-1))
                trainer.zero_grad()
                value.backward()
                norm = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))
                if norm > 1:
                    for p in model.parameters():
                        p.grad[:] *= 1 / norm
                trainer.step()
                probe.log("train", ppl=math.exp(value.item()), epoch=epoch)
            with torch.no_grad():
                val = F.cross_entropy(model(x_val[::8]).reshape(-1, 27), y_val[::8].reshape(-1))
            probe.log("val", ppl=val.exp())
    return float(1 - val / math.log(27))


@healthy(at_least=0.6)
def surnames_made_up_by_hand_written_descent(run_dir: Path) -> float:
    """The PyTorch tutorial "Generating Names": a name a step, losses of letters added, weights changed by hand."""
    torch.manual_seed(8103)
    rng = random.Random(8103)
    middles = {
        "Italian": (
            ["ro", "bel", "mar", "gra", "fi", "ca"],
            ["ti", "li", "ni", "so", "ra"],
            ["ni", "no", "lli", "tti"],
        ),
        "Russian": (
            ["iva", "pe", "ku", "so", "mi"],
            ["khai", "tro", "ro", "lo", "zne"],
            ["nov", "vich", "tsov", "sky"],
        ),
        "Japanese": (["ta", "ya", "ko", "mi", "su"], ["na", "ka", "ma", "shi", "zu"], ["mura", "moto", "ki", "ta"]),
        "German": (
            ["sch", "kra", "wei", "gro", "fie"],
            ["nei", "ul", "ste", "ger", "din"],
            ["der", "mann", "er", "berg"],
        ),
    }

    def name(kind: str) -> str:
        first, middle, last = middles[kind]
        return rng.choice(first) + "".join(rng.choice(middle) for _ in range(rng.randint(0, 2))) + rng.choice(last)

    kinds = list(middles)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    n_letters = len(alphabet) + 1

    class RNN(nn.Module):
        def __init__(self, hidden: int = 128) -> None:
            super().__init__()
            self.hidden_size = hidden
            self.i2h = nn.Linear(len(kinds) + n_letters + hidden, hidden)
            self.i2o = nn.Linear(len(kinds) + n_letters + hidden, n_letters)
            self.o2o = nn.Linear(hidden + n_letters, n_letters)
            self.dropout = nn.Dropout(0.1)
            self.softmax = nn.LogSoftmax(dim=1)

        def forward(self, category: Tensor, letter: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
            combined = torch.cat((category, letter, hidden), 1)
            hidden = self.i2h(combined)
            output = self.o2o(torch.cat((hidden, self.i2o(combined)), 1))
            return self.softmax(self.dropout(output)), hidden

    rnn = RNN()
    criterion = nn.NLLLoss()
    learning_rate = 0.005

    def loss_of(kind: str, word: str) -> Tensor:
        category = F.one_hot(torch.tensor([kinds.index(kind)]), len(kinds)).float()
        hidden = torch.zeros(1, rnn.hidden_size)
        loss = torch.zeros(())
        codes = [alphabet.index(c) for c in word]
        for here, following in zip(codes, [*codes[1:], n_letters - 1], strict=True):
            letter = F.one_hot(torch.tensor([here]), n_letters).float()
            output, hidden = rnn(category, letter, hidden)
            loss = loss + criterion(output, torch.tensor([following]))
        return loss

    total = 0.0
    with probes.watch(rnn, run_dir=run_dir) as probe:
        for it in range(1, 8001):
            kind = rng.choice(kinds)
            word = name(kind)
            rnn.zero_grad()
            loss = loss_of(kind, word)
            loss.backward()
            for p in rnn.parameters():
                p.data.add_(p.grad.data, alpha=-learning_rate)
            probe.log("train", loss=loss.item() / len(word))
            total += loss.item() / len(word)
            if it % 500 == 0:
                probe.log("plot", all_losses=total / 500)
                total = 0.0
        rnn.eval()
        with torch.no_grad():
            words = [(kind, name(kind)) for kind in kinds for _ in range(60)]
            nats = sum(float(loss_of(*pair)) for pair in words) / sum(len(word) for _, word in words)
    return 1 - nats / math.log(n_letters)


@healthy(at_least=0.93)
def scenes_captioned_as_in_the_third_assignment(run_dir: Path) -> float:
    """CS231n, assignment 3: features into the first state, an LSTM, losses summed over words, null words masked."""
    torch.manual_seed(8104)
    rng = random.Random(8104)
    sizes, colours = ["small", "large"], ["red", "green", "blue", "grey"]
    shapes, places = ["circle", "square", "star", "cross"], ["above", "below", "beside"]
    words = ["<NULL>", "<START>", "<END>", "a", "and", *sizes, *colours, *shapes, *places]
    number = {word: i for i, word in enumerate(words)}
    look = torch.randn(len(words), 2, 96)

    def scenes(n: int) -> tuple[Tensor, Tensor]:
        captions, features = [], []
        for _ in range(n):
            one = [rng.choice(sizes), rng.choice(colours), rng.choice(shapes)]
            two = [rng.choice(sizes), rng.choice(colours), rng.choice(shapes)]
            seen = sum(look[number[w], 0] for w in one)
            said = ["<START>", "a", *one]
            if rng.random() < 0.6:
                place = rng.choice(places)
                seen = seen + sum(look[number[w], 1] for w in [*two, place])
                said += [place, "a", *two]
            captions.append([number[w] for w in [*said, "<END>"]] + [0] * (10 - len(said)))
            features.append(seen + 0.5 * torch.randn(96))
        return torch.stack(features), torch.tensor(captions)

    class CaptioningRNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.feature_projection = nn.Linear(96, 128)
            self.word_embedding = nn.Embedding(len(words), 64)
            self.lstm = nn.LSTM(64, 128, batch_first=True)
            self.output_projection = nn.Linear(128, len(words))
            nn.init.normal_(self.word_embedding.weight, std=0.01)
            nn.init.normal_(self.feature_projection.weight, std=96**-0.5)
            nn.init.normal_(self.output_projection.weight, std=128**-0.5)

        def forward(self, features: Tensor, captions: Tensor) -> Tensor:
            h0 = self.feature_projection(features)[None]
            return self.output_projection(self.lstm(self.word_embedding(captions), (h0, torch.zeros_like(h0)))[0])

    model = CaptioningRNN()
    features, captions = scenes(5000)
    val_features, val_captions = scenes(300)
    adam = optim.Adam(model.parameters(), lr=5e-3)
    decay = optim.lr_scheduler.ExponentialLR(adam, 0.995)
    t = 0
    with probes.watch(model, adam, run_dir) as probe:
        for _ in range(10):
            for fb, cb in batches(features, captions, 50):
                scores = model(fb, cb[:, :-1])
                mask = cb[:, 1:] != number["<NULL>"]
                loss = (F.cross_entropy(scores.transpose(1, 2), cb[:, 1:], reduction="none") * mask).sum() / len(fb)
                adam.zero_grad()
                loss.backward()
                adam.step()
                t += 1
                if t % 10 == 0:
                    probe.log("train", loss=loss.item())
            decay.step()
    with torch.no_grad():
        right = model(val_features, val_captions[:, :-1]).argmax(-1) == val_captions[:, 1:]
    mask = val_captions[:, 1:] != number["<NULL>"]
    return float((right & mask).sum() / mask.sum())


_CLASSES = ("<null>", "<root>", "Det", "Adj", "N", "V", "P", "Adv")


class _Sentence:
    """Words of a toy language (their class and their number) and the head of each; the root is word 0."""

    def __init__(self, rng: random.Random) -> None:
        self.tags, self.words, self.heads = [1], [0], [-1]
        verb = self._phrase_then_verb(rng)
        self.heads[verb] = 0
        if rng.random() < 0.7:
            noun = self._noun_phrase(rng, verb)
            if rng.random() < 0.4:
                word = rng.randrange(10)
                to_verb = rng.random() < (0.9 if word < 5 else 0.1)
                self._noun_phrase(rng, self._add("P", word, verb if to_verb else noun))
        if rng.random() < 0.3:
            self._add("Adv", rng.randrange(10), verb)

    def _add(self, tag: str, word: int, head: int) -> int:
        self.tags.append(_CLASSES.index(tag))
        self.words.append(word)
        self.heads.append(head)
        return len(self.tags) - 1

    def _noun_phrase(self, rng: random.Random, head: int) -> int:
        before = [self._add("Det", rng.randrange(4), 0)] if rng.random() < 0.7 else []
        before += [self._add("Adj", rng.randrange(20), 0) for _ in range(rng.choice([0, 0, 1, 2]))]
        noun = self._add("N", rng.randrange(40), head)
        for word in before:
            self.heads[word] = noun
        return noun

    def _phrase_then_verb(self, rng: random.Random) -> int:
        subject = self._noun_phrase(rng, 0)
        verb = self._add("V", rng.randrange(20), 0)
        self.heads[subject] = verb
        return verb


class _Parse:
    """An arc-standard parser's state: shift (2), left arc (0) or right arc (1)."""

    def __init__(self, sentence: _Sentence) -> None:
        self.sentence, self.stack, self.buffer = sentence, [0], list(range(1, len(sentence.tags)))
        self.found: dict[int, int] = {}

    def features(self) -> list[int]:
        places = [*([-1, -1, -1, *self.stack][-3:]), *[*self.buffer, -1, -1, -1][:3]]
        tags = [0 if p < 0 else self.sentence.tags[p] for p in places]
        return [
            *tags,
            *[8 + 41 * tag + (0 if p < 0 else self.sentence.words[p]) for tag, p in zip(tags, places, strict=True)],
        ]

    def oracle(self) -> int:
        if len(self.stack) > 1:
            heads, (below, top) = self.sentence.heads, self.stack[-2:]
            if below and heads[below] == top:
                return 0
            if heads[top] == below and all(heads[word] != top for word in self.buffer):
                return 1
        return 2

    def step(self, action: int) -> None:
        if action == 2 and self.buffer:
            self.stack.append(self.buffer.pop(0))
        elif action == 0 and len(self.stack) > 2:
            self.found[self.stack[-2]] = self.stack[-1]
            del self.stack[-2]
        elif len(self.stack) > 1:
            top = self.stack.pop()
            self.found[top] = self.stack[-1]
        elif self.buffer:
            self.stack.append(self.buffer.pop(0))

    @property
    def over(self) -> bool:
        return not self.buffer and len(self.stack) == 1


@healthy(at_least=0.88)
def shift_or_arc_as_in_cs224n(run_dir: Path) -> float:
    """CS224n's neural dependency parser: embedded stack and buffer, one hidden layer, half dropped, Adam at 0.0005."""
    torch.manual_seed(8105)
    rng = random.Random(8105)

    class ParserModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.Embedding(8 + 41 * 8, 30)
            self.embed_to_hidden = nn.Linear(12 * 30, 200)
            self.relu = nn.ReLU()
            self.dropout = nn.Dropout(0.5)
            self.hidden_to_logits = nn.Linear(200, 3)
            nn.init.xavier_uniform_(self.embed_to_hidden.weight)
            nn.init.uniform_(self.embed_to_hidden.bias)
            nn.init.xavier_uniform_(self.hidden_to_logits.weight)

        def forward(self, w: Tensor) -> Tensor:
            return self.hidden_to_logits(self.dropout(self.relu(self.embed_to_hidden(self.embeddings(w).flatten(1)))))

    states, actions = [], []
    for _ in range(1500):
        parse = _Parse(_Sentence(rng))
        while not parse.over:
            states.append(parse.features())
            actions.append(parse.oracle())
            parse.step(actions[-1])
    x, y = torch.tensor(states), torch.tensor(actions)
    dev = [_Sentence(rng) for _ in range(150)]
    model = ParserModel()
    optimizer = optim.Adam(model.parameters(), lr=0.0005)
    loss_func = nn.CrossEntropyLoss()

    def attachment() -> float:
        model.eval()
        parses = [_Parse(sentence) for sentence in dev]
        while going := [parse for parse in parses if not parse.over]:
            with torch.no_grad():
                chosen = model(torch.tensor([parse.features() for parse in going])).argmax(1).tolist()
            for parse, action in zip(going, chosen, strict=True):
                parse.step(action)
        model.train()
        right = sum(p.found[i] == h for p in parses for i, h in enumerate(p.sentence.heads) if i)
        return right / sum(len(sentence.heads) - 1 for sentence in dev)

    with probes.watch(model, optimizer, run_dir, loss_fn=loss_func) as probe:
        for epoch in range(10):
            losses = []
            for xb, yb in batches(x, y, 128):
                optimizer.zero_grad()
                loss = loss_func(model(xb), yb)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            uas = attachment()
            probe.log("epoch", n=epoch + 1, average_train_loss=sum(losses) / len(losses), dev_UAS=100 * uas)
    return uas


@healthy(at_least=0.88)
def incomes_by_a_tabular_learner(run_dir: Path) -> float:
    """fast.ai's tabular learner on the adult sample (made up): embeddings, 200 and 100 units, one cycle of 4 epochs."""
    torch.manual_seed(8106)
    sizes = [9, 16, 7, 15, 6, 5]
    n = 8000
    cats = torch.stack([torch.randint(size, (n,)) for size in sizes], 1)
    conts = torch.randn(n, 3)
    weigh = [0.9 * torch.randn(size) for size in sizes]
    score = (
        sum(w[cats[:, i]] for i, w in enumerate(weigh)) + 1.2 * conts[:, 0] - 0.5 * conts[:, 0] ** 2 + 0.8 * conts[:, 1]
    )
    y = (score - score.quantile(0.76) + 0.7 * torch.distributions.Gumbel(0, 1).sample((n,)) - 0.4 > 0).long()
    rows = torch.cat([cats.float(), conts], 1)

    class TabularModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            wide = [min(600, round(1.6 * size**0.56)) for size in sizes]
            self.embeds = nn.ModuleList(nn.Embedding(size, w) for size, w in zip(sizes, wide, strict=True))
            for e in self.embeds:
                nn.init.trunc_normal_(e.weight, std=0.01, a=-0.02, b=0.02)
            self.bn_cont = nn.BatchNorm1d(3)
            self.layers = nn.Sequential(
                nn.Linear(sum(wide) + 3, 200, bias=False), nn.ReLU(), nn.BatchNorm1d(200),
                nn.Linear(200, 100, bias=False), nn.ReLU(), nn.BatchNorm1d(100), nn.Linear(100, 2),
            )  # fmt: skip

        def forward(self, v: Tensor) -> Tensor:
            embedded = [e(v[:, i].long()) for i, e in enumerate(self.embeds)]
            return self.layers(torch.cat([*embedded, self.bn_cont(v[:, 6:])], 1))

    learn = TabularModel()
    epochs, per = 4, 6400 // 64
    opt = optim.AdamW(learn.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01)
    cycle = optim.lr_scheduler.OneCycleLR(
        opt, 1e-3, total_steps=epochs * per, pct_start=0.25, div_factor=25, final_div_factor=1e5,
        base_momentum=0.85, max_momentum=0.95,
    )  # fmt: skip
    with probes.watch(learn, opt, run_dir) as probe:
        for epoch in range(epochs):
            learn.train()
            smooth = weight = 0.0
            for xb, yb in batches(rows[:6400], y[:6400], 64):
                loss = F.cross_entropy(learn(xb), yb)
                loss.backward()
                opt.step()
                cycle.step()
                opt.zero_grad()
                smooth, weight = 0.98 * smooth + 0.02 * loss.item(), 0.98 * weight + 0.02
            learn.eval()
            with torch.no_grad():
                out = learn(rows[6400:])
            held = accuracy(out, y[6400:])
            probe.log("epoch", epoch=epoch, train_loss=smooth / weight,
                      valid_loss=F.cross_entropy(out, y[6400:]).item(), accuracy=held)  # fmt: skip
    return held


class _Causal(nn.Module):
    """A block of GPT-2: attention to what came before, then two layers, both on the residual stream."""

    def __init__(self, width: int, heads: int, drop: float = 0.1) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(drop))
        self.heads, self.drop = heads, drop

    def forward(self, v: Tensor) -> Tensor:
        q, k, w = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.c_attn(self.ln_1(v)).chunk(3, 2))
        drop = self.drop if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, w, is_causal=True, dropout_p=drop)
        v = v + F.dropout(self.c_proj(mixed.transpose(1, 2).flatten(2)), drop)
        return v + self.mlp(self.ln_2(v))


class _GPT(nn.Module):
    def __init__(self, letters: int, length: int, width: int, layers: int, heads: int, drop: float = 0.1) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.drop = nn.Dropout(drop)
        self.h = nn.ModuleList(_Causal(width, heads, drop) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, letters, bias=False)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, v: Tensor) -> Tensor:
        v = self.drop(self.wte(v) + self.wpe.weight[: v.shape[1]])
        for block in self.h:
            v = block(v)
        return self.lm_head(self.ln_f(v))


@healthy(at_least=0.85)
def six_digits_in_order_by_min_gpt(run_dir: Path) -> float:
    """The demonstration of Karpathy's minGPT: six digits and the same in order, gpt-nano, five targets masked."""
    torch.manual_seed(8107)
    model = _GPT(3, 11, 48, 3, 3)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.95))

    def draw(n: int, held: bool) -> Tensor:
        rows = torch.randint(3, (6 * n, 6))
        rows = rows[((rows * 3 ** torch.arange(6)).sum(1) % 4 == 0) == held][:n]
        return torch.cat([rows, rows.sort(1).values], 1)

    with probes.watch(model, optimizer, run_dir) as probe:
        for iter_num in range(700):
            piece = draw(64, held=False)
            y = piece[:, 1:].clone()
            y[:, :5] = -1
            loss = F.cross_entropy(model(piece[:, :-1]).reshape(-1, 3), y.reshape(-1), ignore_index=-1)
            model.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if iter_num % 100 == 0:
                probe.log("train", loss=loss.item())
    model.eval()
    asked = draw(200, held=True)
    said = asked[:, :6]
    with torch.no_grad():
        for _ in range(6):
            said = torch.cat([said, model(said)[:, -1:].argmax(-1)], 1)
    return float((said == asked).all(1).float().mean())


@healthy(at_least=0.85)
def engines_by_the_convolutions_of_a_keras_example(run_dir: Path) -> float:
    """Keras' "Timeseries classification from scratch": three convolutions of 64, Adam, the rate halved on a plateau."""
    torch.manual_seed(8108)

    def engines(n: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(2, (n,))
        x = torch.randn(n, 160)
        first = torch.where(y == 1, 1.3, 1.05) + 0.05 * torch.randn(n)
        for t in range(2, 160):
            x[:, t] = first * x[:, t - 1] - 0.72 * x[:, t - 2] + 0.5 * torch.randn(n)
        x = x[:, 32:]
        x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
        return (x + 0.15 * torch.randn_like(x))[:, None], y

    x, y = engines(900)
    x_test, y_test = engines(400)
    layers: list[nn.Module] = []
    for inside in (1, 64, 64):
        layers += [nn.Conv1d(inside, 64, 3, padding=1), nn.BatchNorm1d(64), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 2))
    adam = optim.Adam(model.parameters())
    reduce = optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=5, min_lr=1e-4)
    cut = 720
    best, kept = 9.0, {}
    with probes.watch(model, adam, run_dir) as probe:
        for _ in range(30):
            model.train()
            total = right = 0.0
            for xb, yb in batches(x[:cut], y[:cut], 32):
                out = model(xb)
                loss = F.cross_entropy(out, yb)
                adam.zero_grad()
                loss.backward()
                adam.step()
                total += loss.item() / (cut // 32)
                right += accuracy(out, yb) / (cut // 32)
            model.eval()
            with torch.no_grad():
                out = model(x[cut:])
            val_loss = F.cross_entropy(out, y[cut:]).item()
            reduce.step(val_loss)
            if val_loss < best:
                best, kept = val_loss, {name: value.clone() for name, value in model.state_dict().items()}
            probe.log("keras", loss=total, sparse_categorical_accuracy=right, val_loss=val_loss,
                      val_sparse_categorical_accuracy=accuracy(out, y[cut:]))  # fmt: skip
    model.load_state_dict(kept)
    with torch.no_grad():
        return accuracy(model(x_test), y_test)


@healthy(at_least=0.8)
def sled_by_soft_actor_critic_of_spinning_up(run_dir: Path) -> float:
    """Spinning Up's SAC: three optimizers, twin critics, a squashed Gaussian, polyak averages, a table an epoch."""
    torch.manual_seed(8109)

    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.mu, self.log_std = nn.Linear(32, 1), nn.Linear(32, 1)

        def forward(self, obs: Tensor, noisy: bool = True) -> tuple[Tensor, Tensor]:
            h = self.net(obs)
            mu, std = self.mu(h), self.log_std(h).clamp(-20, 2).exp()
            drawn = mu + std * torch.randn_like(mu) if noisy else mu
            logp = torch.distributions.Normal(mu, std).log_prob(drawn) - 2 * (
                math.log(2) - drawn - F.softplus(-2 * drawn)
            )
            return torch.tanh(drawn), logp.sum(-1)

    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, obs: Tensor, act: Tensor) -> Tensor:
            return self.q(torch.cat([obs, act], -1)).squeeze(-1)

    ac = nn.ModuleDict({"pi": Actor(), "q1": Critic(), "q2": Critic()})
    targ = nn.ModuleDict({"q1": Critic(), "q2": Critic()})
    targ.load_state_dict({k: v for k, v in ac.state_dict().items() if not k.startswith("pi")})
    q_params = [*ac["q1"].parameters(), *ac["q2"].parameters()]
    pi_optimizer = optim.Adam(ac["pi"].parameters(), lr=1e-3)
    q_optimizer = optim.Adam(q_params, lr=1e-3)

    def move(obs: Tensor, act: Tensor) -> tuple[Tensor, Tensor]:
        speed = 0.95 * obs[..., 1] + 0.15 * act[..., 0] + 0.02 * torch.randn(obs.shape[:-1])
        place = obs[..., 0] + 0.3 * speed
        cost = place**2 + 0.1 * speed**2 + 0.01 * act[..., 0] ** 2
        return torch.stack([place, speed], -1), -cost

    def returns(noisy_actor: bool) -> float:
        obs, total = torch.stack([torch.linspace(-2, 2, 64), torch.zeros(64)], -1), torch.zeros(64)
        with torch.no_grad():
            for _ in range(40):
                act = 2 * torch.rand(64, 1) - 1 if noisy_actor else ac["pi"](obs, noisy=False)[0]
                obs, reward = move(obs, act)
                total += reward
        return float(total.mean())

    gamma, alpha, polyak, size = 0.95, 0.05, 0.99, 100
    buffer: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    random_return = returns(noisy_actor=True)
    with probes.watch(ac, [pi_optimizer, q_optimizer], run_dir) as probe:
        obs, ep_ret = torch.tensor([1.0, 0.0]), 0.0
        table: dict[str, list[float]] = {"EpRet": [], "LossPi": [], "LossQ": [], "Q1Vals": [], "LogPi": []}
        for t in range(2000):
            with torch.no_grad():
                act = ac["pi"](obs)[0] if t > 400 else 2 * torch.rand(1) - 1
            after, reward = move(obs, act)
            buffer.append((obs, act, reward, after))
            obs, ep_ret = after, ep_ret + float(reward)
            if t % 40 == 39:
                table["EpRet"].append(ep_ret)
                obs, ep_ret = torch.stack([4 * torch.rand(()) - 2, torch.zeros(())]), 0.0
            if t >= 400:
                chosen = [buffer[i] for i in torch.randint(len(buffer), (size,)).tolist()]
                o, a, r, o2 = (torch.stack(part) for part in zip(*chosen, strict=True))
                with torch.no_grad():
                    a2, logp2 = ac["pi"](o2)
                    backup = r + gamma * (torch.min(targ["q1"](o2, a2), targ["q2"](o2, a2)) - alpha * logp2)
                q1 = ac["q1"](o, a)
                loss_q = ((q1 - backup) ** 2).mean() + ((ac["q2"](o, a) - backup) ** 2).mean()
                q_optimizer.zero_grad()
                loss_q.backward()
                q_optimizer.step()
                for p in q_params:
                    p.requires_grad = False
                pi, logp = ac["pi"](o)
                loss_pi = (alpha * logp - torch.min(ac["q1"](o, pi), ac["q2"](o, pi))).mean()
                pi_optimizer.zero_grad()
                loss_pi.backward()
                pi_optimizer.step()
                for p in q_params:
                    p.requires_grad = True
                with torch.no_grad():
                    for p, slow in zip(q_params, targ.parameters(), strict=True):
                        slow.mul_(polyak).add_((1 - polyak) * p)
                for name, value in zip(
                    ("LossPi", "LossQ", "Q1Vals", "LogPi"), (loss_pi, loss_q, q1, logp), strict=True
                ):
                    table[name].append(float(value.detach().mean()))
            if t % 200 == 199 and t > 400:
                probe.log("epoch", **{name: sum(values) / len(values) for name, values in table.items()},
                          TestEpRet=returns(noisy_actor=False))  # fmt: skip
                table = {name: [] for name in table}
    return 1 - returns(noisy_actor=False) / random_return


class _Lamb(optim.Optimizer):
    """You et al.: Adam's step, as long as the weights of its layer are."""

    def __init__(self, params: object, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "t": 0})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            group["t"] += 1
            for p in group["params"]:
                state = self.state[p]
                m = state.setdefault("m", torch.zeros_like(p)).lerp_(p.grad, 0.1)
                v = state.setdefault("v", torch.zeros_like(p)).lerp_(p.grad**2, 0.001)
                change = m / (1 - 0.9 ** group["t"]) / ((v / (1 - 0.999 ** group["t"])).sqrt() + 1e-6)
                trust = 1.0
                if p.dim() > 1:
                    change += group["weight_decay"] * p
                    trust = float(p.norm() / change.norm())
                p.sub_(change, alpha=group["lr"] * trust)


class _Residual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        self.act = nn.ReLU()
        self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, v: Tensor) -> Tensor:
        kept = torch.rand(len(v), 1, 1, 1) >= 0.05 if self.training else torch.ones(())
        return self.act(self.downsample(v) + self.bn2(self.conv2(self.act(self.bn1(self.conv1(v))))) * kept)


@healthy(at_least=0.93)
def residual_net_strikes_back(run_dir: Path) -> float:
    """timm's procedure A3: LAMB, binary cross-entropy for every class, mixed pictures, warm-up and a cosine, EMA."""
    torch.manual_seed(8110)
    data = digits(flat=False)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), _Residual(16, 24, 1),
        _Residual(24, 48, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip
    optimizer = _Lamb(net.parameters(), lr=8e-3, weight_decay=0.02)
    averaged = optim.swa_utils.AveragedModel(
        net, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.95), use_buffers=True
    )
    epochs = 18
    with probes.watch(net, optimizer, run_dir, config={"opt": "lamb", "lr": 8e-3, "bce_loss": True}) as probe:
        for epoch in range(epochs):
            rate = 1e-4 + (8e-3 - 1e-4) * epoch / 3
            rate = rate if epoch < 3 else 1e-6 + 8e-3 * (1 + math.cos(math.pi * epoch / epochs)) / 2
            optimizer.param_groups[0]["lr"] = rate
            net.train()
            for i, (xb, yb) in enumerate(batches(data.x, data.y, 64)):
                target = F.one_hot(yb, 10).float()
                lam = float(torch.distributions.Beta(0.1, 0.1).sample())
                mixed, target = lam * xb + (1 - lam) * xb.flip(0), lam * target + (1 - lam) * target.flip(0)
                loss = F.binary_cross_entropy_with_logits(net(mixed), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                averaged.update_parameters(net)
                if i % 5 == 0:
                    probe.log("train", loss=loss.item(), lr=rate)
            net.eval()
            averaged.eval()
            with torch.no_grad():
                out, slow = net(data.x_test), averaged(data.x_test)
            top5 = (slow.topk(5).indices == data.y_test[:, None]).any(1).float().mean()
            probe.log("eval", loss=F.cross_entropy(out, data.y_test), top1=100 * accuracy(out, data.y_test),
                      top1_ema=100 * accuracy(slow, data.y_test), top5_ema=100 * top5)  # fmt: skip
    return accuracy(slow, data.y_test)


@healthy(at_least=0.85)
def instructions_tuned_on_their_completions(run_dir: Path) -> float:
    """trl's SFT: a net that can copy (trained before) learns to answer in capitals; prompts masked, four added up."""
    torch.manual_seed(8111)
    small, length = 16, 6
    ask = 2 * small
    model = _GPT(2 * small + 1, 2 * length, 64, 2, 4, drop=0.0)

    def passages(n: int, capitals: bool) -> Tensor:
        prompt = torch.randint(small, (n, length))
        return torch.cat([prompt, torch.full((n, 1), ask), prompt + small * capitals], 1)

    optimizer: optim.Optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    for step in range(900):
        ids = passages(48, capitals=False)
        ids[::4, length + 1 :] += small  # capitals are known, but answers in capitals are rare
        loss = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50, (900 - step) / 300)
        optimizer.step()

    train, held = passages(1280, capitals=True), passages(200, capitals=True)
    steps, warm = 3 * 1280 // 32, 4
    optimizer = optim.AdamW(model.parameters(), lr=2e-4, weight_decay=0.0)
    cosine = optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, s - warm) / (steps - warm))))
    )
    done, recent = 0, 0.0
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(3):
            for micro, (ids, _) in enumerate(batches(train, train, 8)):
                labels = ids[:, 1:].clone()
                labels[:, :length] = -100
                loss = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), labels, ignore_index=-100) / 4
                loss.backward()
                recent += loss.item()
                if micro % 4 == 3:
                    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    rate = cosine.get_last_lr()[0]
                    cosine.step()
                    optimizer.zero_grad()
                    done += 1
                    if done % 10 == 0:
                        probe.log(
                            "train", loss=round(recent / 10, 4), grad_norm=norm, learning_rate=rate, epoch=done / 40
                        )
                        recent = 0.0
            model.eval()
            with torch.no_grad():
                out = model(held[:, :-1])[:, length:]
            model.train()
            probe.log("eval", loss=F.cross_entropy(out.transpose(1, 2), held[:, length + 1 :]))
    return accuracy(out.flatten(0, 1), held[:, length + 1 :].flatten())
