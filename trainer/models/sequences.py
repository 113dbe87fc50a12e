"""Networks that read sequences: vanilla RNN, GRU, LSTM, and a small Transformer encoder.

Sequences of symbols int64 [N, T] are embedded. Numbers are read as they come: a table [N, D] one value at a
time, an image [N, C, H, W] row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.models.base import MODELS
from trainer.models.initialization import Initialization, initialize
from trainer.tasks.base import Spec
from trainer.typed import Count, Fraction


class Reader(nn.Module):
    """Inputs of any task as a sequence of vectors [N, T, ``features``]."""

    def __init__(self, spec: Spec, width: int) -> None:
        super().__init__()
        self.embedding: nn.Embedding | None = None
        if spec.vocabulary is not None:
            self.embedding = nn.Embedding(spec.vocabulary, width)
            self.length, self.features = spec.shape[0], width
        elif len(spec.shape) == 3:
            channels, self.length, row = spec.shape
            self.features = channels * row
        else:
            self.length, self.features = spec.shape[0], 1

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, T], [N, D] or [N, C, H, W] -> [N, T, features]."""
        if self.embedding is not None:
            return self.embedding(inputs)
        if inputs.ndim == 4:
            return inputs.permute(0, 2, 1, 3).flatten(2)
        return inputs[:, :, None]


class Recurrent(nn.Module):
    """Reader, recurrent layers, and a head on the last position or on every one."""

    def __init__(self, spec: Spec, cell: type[nn.RNNBase], width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.per_position = spec.per_position
        self.reader = Reader(spec, width)
        self.rnn = cell(self.reader.features, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, spec.outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """-> scores [N, C], or [N, C, T] when every position has a target."""
        states, _ = self.rnn(self.reader(inputs))
        if not self.per_position:
            states = states[:, -1]
        scores = self.head(self.dropout(states))
        return scores.transpose(1, 2) if self.per_position else scores


class Transformer(nn.Module):
    """Reader, projection, learned positions, encoder layers, and a head on the mean position or on every one.

    When every position has a target, a position sees only itself and what came before it.
    """

    def __init__(self, spec: Spec, width: int, heads: int, layers: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.per_position = spec.per_position
        self.reader = Reader(spec, width)
        self.projection = nn.Linear(self.reader.features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(self.reader.length, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        # The encoder copies one layer; each copy gets weights of its own.
        for copy in self.encoder.layers:
            for module in copy.modules():
                if isinstance(module, nn.Linear):
                    module.reset_parameters()
                elif isinstance(module, nn.MultiheadAttention):
                    module._reset_parameters()
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, spec.outputs)
        hidden = torch.ones(self.reader.length, self.reader.length, dtype=torch.bool).triu(1)
        self.register_buffer("future", hidden if spec.per_position else None, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """-> scores [N, C], or [N, C, T] when every position has a target."""
        states = self.encoder(self.projection(self.reader(inputs)) + self.positions, mask=self.future)
        states = self.norm(states)
        if self.per_position:
            return self.head(states).transpose(1, 2)
        return self.head(states.mean(1))


def _recurrent(
    spec: Spec, cell: type[nn.RNNBase], width: int, layers: int, dropout: float, init: str, head: str
) -> Recurrent:
    model = Recurrent(spec, cell, width, layers, dropout)
    initialize(model, init, head)
    return model


@MODELS.register("rnn")
def rnn(
    spec: Spec,
    *,
    width: Count = 64,
    layers: Count = 1,
    dropout: Fraction = 0.0,
    init: Initialization = "orthogonal",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Vanilla recurrent network with tanh (Elman 1990)."""
    return _recurrent(spec, nn.RNN, width, layers, dropout, init, head_init)


@MODELS.register("gru")
def gru(
    spec: Spec,
    *,
    width: Count = 64,
    layers: Count = 1,
    dropout: Fraction = 0.0,
    init: Initialization = "default",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Gated recurrent units (Cho et al. 2014)."""
    return _recurrent(spec, nn.GRU, width, layers, dropout, init, head_init)


@MODELS.register("lstm")
def lstm(
    spec: Spec,
    *,
    width: Count = 64,
    layers: Count = 1,
    dropout: Fraction = 0.0,
    init: Initialization = "default",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""
    return _recurrent(spec, nn.LSTM, width, layers, dropout, init, head_init)


@MODELS.register("transformer")
def transformer(
    spec: Spec,
    *,
    width: Count = 64,
    heads: Count = 4,
    layers: Count = 2,
    dropout: Fraction = 0.1,
    norm_first: bool = True,
    init: Initialization = "default",
    head_init: Initialization = "small-normal",
) -> nn.Module:
    """Transformer encoder with learned positions (Vaswani et al. 2017); pre-norm unless ``norm_first =
    false``."""
    if width % heads:
        raise RecipeError(f"model.width = {width} must be a multiple of model.heads = {heads}")
    model = Transformer(spec, width, heads, layers, dropout, norm_first)
    initialize(model, init, head_init)
    return model
