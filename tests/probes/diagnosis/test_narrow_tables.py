"""An embedding of one number for each word: a real net on topics, and descriptions of models."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probes
from probes.diagnosis.signs.looked_up import narrow_table
from probes.diagnosis.view import RunView


class Topics(nn.Module):
    def __init__(self, numbers):
        super().__init__()
        self.words = nn.Embedding(200, numbers)
        self.hidden = nn.Linear(numbers, 24)
        self.out = nn.Linear(24, 8)

    def forward(self, documents):
        return self.out(torch.relu(self.hidden(self.words(documents).mean(1))))


def trained(folder, numbers):
    torch.manual_seed(0)
    topics = torch.distributions.Dirichlet(torch.full((200,), 0.1)).sample((8,)) * 0.6 + 0.4 / 200
    y = torch.randint(8, (960,))
    documents = torch.multinomial(topics[y], 20, replacement=True)
    net = Topics(numbers)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    with probes.watch(net, optimizer, folder) as probe:
        for step in range(300):
            rows = torch.arange(32) + 32 * (step % 30)
            loss = nn.functional.cross_entropy(net(documents[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            probe.log("train", loss=loss)
    return [f for f in probes.diagnose(probes.open_run(folder)).findings if f.rule == "underfitting"]


def test_words_of_one_number_are_told_and_those_of_sixteen_are_not(tmp_path):
    (finding,) = trained(tmp_path / "one", 1)
    assert (finding.severity, finding.layers) == ("warning", ("words",))
    assert "1 number for each of 200 entries to tell 8 classes" in finding.message
    assert trained(tmp_path / "sixteen", 16) == []


def table(modules, weights, limit=3):
    parameters = [{"name": f"{m}.weight", "module": m, "shape": list(s), "trainable": True} for m, s in weights]
    described = [{"name": n, "type": t, "output_shape": list(s)} for n, t, s in modules]
    return narrow_table(RunView.of_arrays(manifest={"model": {"modules": described, "parameters": parameters}}), limit)


WORDS = ("words", "Embedding", (32, 20, 1))
DENSE = [("a", "Linear", (32, 24)), ("b", "Linear", (32, 8))]
NARROW = [("words", (200, 1)), ("a", (24, 1)), ("b", (8, 24))]


def test_a_table_alone_in_front_of_dense_layers():
    found = table([WORDS, *DENSE], NARROW)
    assert found is not None
    assert (found.name, found.entries, found.numbers) == ("words", 200, 1)


@pytest.mark.parametrize(
    ("modules", "weights"),
    [
        ([WORDS, *DENSE], [("words", (12, 1)), *NARROW[1:]]),  # few entries
        ([WORDS, ("a", "LSTM", (32, 20, 24)), DENSE[1]], NARROW),  # read one at a time
        ([WORDS, ("a", "Linear", (32, 20, 24)), DENSE[1]], NARROW),
        ([WORDS, *DENSE], [NARROW[0], ("a", (24, 6)), NARROW[2]]),  # beside other inputs
        ([WORDS, *DENSE], [*NARROW[:2], ("b", (8, 25))]),
        ([("bias", "Embedding", (32, 1)), WORDS, *DENSE], [("bias", (99, 1)), *NARROW]),  # one of several
        ([WORDS], NARROW[:1]),
    ],
)
def test_what_else_is_read_or_read_otherwise_is_let_be(modules, weights):
    assert table(modules, weights) is None
