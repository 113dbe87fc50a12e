"""Textbook trainings on sequences: characters, words, time series."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import probes
from benchmarks.diagnosis.programs.data import text
from benchmarks.diagnosis.programs.program import healthy


def _names() -> tuple[list[Tensor], Tensor]:
    """Made-up names of three tongues, one-hot letters [length, 1, 26], and the tongue of each."""
    generator = torch.Generator().manual_seed(0)
    syllables = (
        ("ka", "mi", "to", "shi", "ra"),
        ("sch", "ber", "wal", "ter", "mann"),
        ("ov", "ski", "mir", "dra", "na"),
    )
    names, labels = [], []
    for _ in range(900):
        label = int(torch.randint(3, (), generator=generator))
        length = int(torch.randint(2, 5, (), generator=generator))
        name = "".join(syllables[label][int(k)] for k in torch.randint(5, (length,), generator=generator))
        names.append(F.one_hot(torch.tensor([ord(c) - 97 for c in name]), 26).float().unsqueeze(1))
        labels.append(label)
    return names, torch.tensor(labels)


@healthy(at_least=0.85)
def name_classification(run_dir: Path) -> float:
    """PyTorch's "Classifying names with a character-level RNN": one name a step, NLLLoss, SGD."""
    torch.manual_seed(0)
    names, labels = _names()

    class RNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(26, 32)
            self.h2o = nn.Linear(32, 3)
            self.softmax = nn.LogSoftmax(dim=1)

        def forward(self, line: Tensor) -> Tensor:
            _out, hidden = self.rnn(line)
            return self.softmax(self.h2o(hidden[0]))

    rnn = RNN()
    criterion = nn.NLLLoss()
    optimizer = optim.SGD(rnn.parameters(), lr=0.02)
    with probes.watch(rnn, optimizer, run_dir, loss_fn=criterion) as probe:
        current = 0.0
        for n in range(2000):
            i = int(torch.randint(800, ()))
            loss = criterion(rnn(names[i]), labels[i : i + 1])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(rnn.parameters(), 3)
            optimizer.step()
            current += loss.item()
            if n % 50 == 49:
                probe.log("train", loss=current / 50)
                current = 0.0
    with torch.no_grad():
        return sum(int(rnn(names[i]).argmax()) == int(labels[i]) for i in range(800, 900)) / 100


def _corpus() -> tuple[Tensor, int]:
    source = text()[:20000]
    letters = sorted(set(source))
    return torch.tensor([letters.index(c) for c in source]), len(letters)


@healthy(at_least=0.25)
def char_rnn(run_dir: Path) -> float:
    """A character-level LSTM language model (Karpathy's char-rnn), clipped at 5; score: share of the loss it shed."""
    torch.manual_seed(0)
    data, size = _corpus()

    class CharRNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(size, 24)
            self.lstm = nn.LSTM(24, 64, batch_first=True)
            self.out = nn.Linear(64, size)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.lstm(self.embed(tokens))[0])

    model = CharRNN()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    with probes.watch(model, optimizer, run_dir) as probe:
        for step in range(250):
            starts = torch.randint(18000 - 41, (16,))
            tokens = torch.stack([data[s : s + 41] for s in starts])
            loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            probe.log("train", loss=loss)
            if step % 50 == 49:
                with torch.no_grad():
                    held = data[18000:].unsqueeze(0)
                    val = F.cross_entropy(model(held[:, :-1])[0], held[0, 1:])
                probe.log("val", loss=val, perplexity=val.exp())
    return 1 - float(val) / math.log(size)


@healthy(at_least=0.25)
def transformer_lm(run_dir: Path) -> float:
    """A small GPT: pre-norm, tied embeddings, causal mask, AdamW with warm-up and cosine decay, clipped at 1."""
    torch.manual_seed(0)
    data, size = _corpus()
    width, block = 48, 32

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(size, width)
            self.places = nn.Embedding(block, width)
            layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, size, bias=False)
            self.head.weight = self.tokens.weight
            nn.init.normal_(self.tokens.weight, std=0.02)
            nn.init.normal_(self.places.weight, std=0.02)

        def forward(self, tokens: Tensor) -> Tensor:
            n = tokens.shape[1]
            mask = nn.Transformer.generate_square_subsequent_mask(n)
            h = self.tokens(tokens) + self.places(torch.arange(n))
            return self.head(self.norm(self.blocks(h, mask=mask, is_causal=True)))

    model = GPT()
    steps = 300
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / 30, 0.5 * (1 + math.cos(math.pi * s / steps)))
    )
    with probes.watch(model, optimizer, run_dir, loss_fn=F.cross_entropy) as probe:
        for _ in range(steps):
            starts = torch.randint(len(data) - block - 1, (16,))
            tokens = torch.stack([data[s : s + block + 1] for s in starts])
            loss = probe.loss_fn(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            probe.log("train", loss=loss)
    return 1 - float(loss) / math.log(size)


@healthy(at_least=0.95)
def reverse_seq2seq(run_dir: Path) -> float:
    """Encoder and decoder GRU with teacher forcing, padding ignored; the task is to reverse a string of digits."""
    torch.manual_seed(0)
    pad, start = 10, 11

    def batch(n: int) -> tuple[Tensor, Tensor]:
        length = torch.randint(3, 7, (n,))
        source = torch.randint(0, 10, (n, 6))
        source[torch.arange(6) >= length[:, None]] = pad
        target = torch.full((n, 6), pad)
        for row, size in enumerate(length.tolist()):
            target[row, :size] = source[row, :size].flip(0)
        return source, target

    class Seq2Seq(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(12, 24, padding_idx=pad)
            self.encoder = nn.GRU(24, 64, batch_first=True)
            self.decoder = nn.GRU(24, 64, batch_first=True)
            self.out = nn.Linear(64, 10)

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            _all, state = self.encoder(self.embed(source))
            shifted = torch.cat([torch.full((len(target), 1), start), target[:, :-1]], dim=1)
            return self.out(self.decoder(self.embed(shifted), state)[0])

    model = Seq2Seq()
    criterion = nn.CrossEntropyLoss(ignore_index=pad)
    optimizer = optim.Adam(model.parameters(), lr=6e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(700):
            source, target = batch(64)
            loss = criterion(model(source, target).flatten(0, 1), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            probe.log("train", loss=loss)
    with torch.no_grad():
        source, target = batch(500)
        right = model(source, target).argmax(-1) == target
    return float(right[target != pad].float().mean())


def _words() -> tuple[Tensor, int]:
    words = [w for w in "".join(c if c.isalpha() else " " for c in text().lower()).split() if len(w) > 1]
    common = sorted(set(words), key=lambda w: -words.count(w))[:150]
    return torch.tensor([common.index(w) for w in words if w in common]), len(common)


@healthy(at_least=0.15)
def cbow(run_dir: Path) -> float:
    """PyTorch's word embedding exercise: a word from the two before and the two after it."""
    torch.manual_seed(0)
    ids, size = _words()
    context = torch.stack([ids[:-4], ids[1:-3], ids[3:-1], ids[4:]], dim=1)
    target = ids[2:-2]

    class CBOW(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.Embedding(size, 16)
            self.linear1 = nn.Linear(64, 64)
            self.linear2 = nn.Linear(64, size)

        def forward(self, words: Tensor) -> Tensor:
            return F.log_softmax(self.linear2(F.relu(self.linear1(self.embeddings(words).flatten(1)))), dim=1)

    model = CBOW()
    loss_function = nn.NLLLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(12):
            total = 0.0
            parts = torch.randperm(len(target)).split(16)
            for chosen in parts:
                loss = loss_function(model(context[chosen]), target[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            probe.log("train", loss=total / len(parts))
    return 1 - total / len(parts) / math.log(size)


@healthy(at_least=0.02)
def skipgram_negative_sampling(run_dir: Path) -> float:
    """word2vec (Mikolov et al. 2013): two embedding tables, five negatives, Adam; the loss is nearly irreducible."""
    torch.manual_seed(0)
    ids, size = _words()
    inner, outer = nn.Embedding(size, 16), nn.Embedding(size, 16)
    nn.init.uniform_(inner.weight, -0.03, 0.03)
    nn.init.zeros_(outer.weight)
    model = nn.ModuleDict({"inner": inner, "outer": outer})
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    first, loss_sum = 0.0, 0.0
    with probes.watch(model, optimizer, run_dir) as probe:
        for step in range(600):
            place = torch.randint(2, len(ids) - 2, (128,))
            offset = torch.tensor([-2, -1, 1, 2])[torch.randint(4, (128,))]
            v = inner(ids[place])
            positive = (v * outer(ids[place + offset])).sum(1)
            negative = (v[:, None] * outer(torch.randint(size, (128, 5)))).sum(2)
            loss = -(F.logsigmoid(positive) + F.logsigmoid(-negative).sum(1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
            first = first or loss.item()
            loss_sum += loss.item() if step >= 500 else 0.0
    return 1 - loss_sum / 100 / first


@healthy(at_least=0.99)
def part_of_speech(run_dir: Path) -> float:
    """PyTorch's "Sequence models" tutorial: an LSTM tagger, two sentences, 300 epochs, one sentence a step, SGD 0.1."""
    torch.manual_seed(1)
    data = [
        (["The", "dog", "ate", "the", "apple"], [0, 1, 2, 0, 1]),
        (["Everybody", "read", "that", "book"], [1, 2, 0, 1]),
    ]
    vocabulary = sorted({w for sentence, _tags in data for w in sentence})

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word_embeddings = nn.Embedding(len(vocabulary), 6)
            self.lstm = nn.LSTM(6, 6)
            self.hidden2tag = nn.Linear(6, 3)

        def forward(self, sentence: Tensor) -> Tensor:
            out, _state = self.lstm(self.word_embeddings(sentence).view(len(sentence), 1, -1))
            return F.log_softmax(self.hidden2tag(out.view(len(sentence), -1)), dim=1)

    model = Tagger()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    examples = [(torch.tensor([vocabulary.index(w) for w in s]), torch.tensor(t)) for s, t in data]
    with probes.watch(model, optimizer, run_dir) as probe:
        for _ in range(300):
            for sentence, tags in examples:
                model.zero_grad()
                loss = F.nll_loss(model(sentence), tags)
                loss.backward()
                optimizer.step()
                probe.log("train", loss=loss)
    with torch.no_grad():
        return sum(float((model(s).argmax(1) == t).float().mean()) for s, t in examples) / 2


@healthy(at_least=0.9)
def time_series(run_dir: Path) -> float:
    """pytorch/examples, time_sequence_prediction: the next value of sine waves, an LSTM, full batches, Adam."""
    torch.manual_seed(0)
    phase = torch.rand(48, 1) * 2 * math.pi
    wave = torch.sin(torch.arange(61) / 6 + phase)

    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 32, batch_first=True)
            self.linear = nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.lstm(x.unsqueeze(-1))[0]).squeeze(-1)

    model = Sequence()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.MSELoss()
    with probes.watch(model, optimizer, run_dir, loss_fn=criterion) as probe:
        for _ in range(120):
            loss = criterion(model(wave[:40, :-1]), wave[:40, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                validation = criterion(model(wave[40:, :-1]), wave[40:, 1:])
            probe.log("train", loss=loss.item())
            probe.log("test", loss=validation.item())
    return 1 - float(validation) / 0.5


@healthy(at_least=0.9)
def recall_gru(run_dir: Path) -> float:
    """A GRU recalls the first of 12 symbols; the loss rests at ln 8 for a while before it drops."""
    torch.manual_seed(0)

    class Recall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(8, 16)
            self.gru = nn.GRU(16, 48, batch_first=True)
            self.out = nn.Linear(48, 8)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.gru(self.embed(tokens))[0][:, -1])

    model = Recall()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    with probes.watch(model, optimizer, run_dir, loss_fn=nn.CrossEntropyLoss()) as probe:
        for _ in range(700):
            tokens = torch.randint(8, (64, 12))
            logits = model(tokens)
            loss = probe.loss_fn(logits, tokens[:, 0])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            probe.log("train", loss=loss, accuracy=(logits.argmax(1) == tokens[:, 0]).float().mean())
    with torch.no_grad():
        tokens = torch.randint(8, (500, 12))
        return float((model(tokens).argmax(1) == tokens[:, 0]).float().mean())
