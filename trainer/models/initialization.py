"""Weight initialisation by the field's names.

Weights of dense, convolutional and recurrent layers are drawn as named, their biases are set to zero;
normalisation layers and embeddings keep PyTorch's. The last layer is called ``head`` in every model here and
has its own setting: small weights there make the initial loss that of a guess, ln C for C classes (CS231n,
"Sanity checks").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from torch import Tensor, nn

from trainer.errors import unknown_name
from trainer.typed import OneOf

INITIALIZATIONS: dict[str, Callable[[Tensor], object] | None] = {
    "default": None,  # what PyTorch does: uniform within 1/sqrt(fan in), biases too
    "zeros": nn.init.zeros_,
    "constant": lambda w: nn.init.constant_(w, 0.1),
    "small-normal": lambda w: nn.init.normal_(w, std=0.01),
    "large-normal": lambda w: nn.init.normal_(w, std=1.0),
    "dcgan-normal": lambda w: nn.init.normal_(w, std=0.02),  # Radford et al. 2016, section 4
    "xavier-uniform": nn.init.xavier_uniform_,  # Glorot and Bengio 2010
    "xavier-normal": nn.init.xavier_normal_,
    "he-uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),  # He et al. 2015
    "he-normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "lecun-normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),  # LeCun et al. 1998
    "orthogonal": nn.init.orthogonal_,  # Saxe et al. 2014
}

Initialization = Annotated[str, OneOf(lambda: INITIALIZATIONS)]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
RECURRENT = (nn.RNNBase,)


def initialize(model: nn.Module, hidden: str, head: str) -> None:
    """Initialises in place every layer with ``hidden`` except the one named ``head``, which gets ``head``."""
    for name, module in model.named_modules():
        initialize_layer(module, head if name.rpartition(".")[2] == "head" else hidden)


def initialize_layer(module: nn.Module, name: str) -> None:
    """Initialises one layer in place; leaves alone what has no weights of its own. Raises
    `UnknownNameError`."""
    if name not in INITIALIZATIONS:
        raise unknown_name("initialization", name, INITIALIZATIONS)
    draw = INITIALIZATIONS[name]
    if draw is None or not isinstance(module, (*WEIGHTED, *RECURRENT)):
        return
    for key, parameter in module.named_parameters(recurse=False):
        if "bias" in key:
            nn.init.zeros_(parameter)
        else:
            draw(parameter)
