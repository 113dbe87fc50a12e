"""What is known about a module from its type: which values mean "dead" or "saturated", and where its units
lie.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

SATURATED_FROM = 0.95
"""Share of the half range beyond which a bounded activation counts as saturated (SageMaker Debugger's
choice).
"""


@dataclass(frozen=True)
class ActivationKind:
    """Properties of an activation function.

    Attributes:
        slug: its name in the manifest.
        bounds: the range it saturates at, or None. One that saturates on one side only has none.
        dead_below: a unit whose outputs are all within this distance of zero gives no signal and (nearly) no
            gradient; None when that cannot be told from the outputs. 0 for functions that are exactly zero on
            a half line. GELU, SiLU and Mish leave tiny values there; 1e-3 is under 0.2% of their unit slope.
    """

    slug: str
    bounds: tuple[float, float] | None = None
    dead_below: float | None = None


_KINDS: dict[type[nn.Module], ActivationKind] = {
    nn.ReLU: ActivationKind("relu", dead_below=0.0),
    nn.ReLU6: ActivationKind("relu6", dead_below=0.0),
    nn.Threshold: ActivationKind("threshold"),
    nn.LeakyReLU: ActivationKind("leaky_relu"),
    nn.PReLU: ActivationKind("prelu"),
    nn.RReLU: ActivationKind("rrelu"),
    nn.ELU: ActivationKind("elu"),
    nn.SELU: ActivationKind("selu"),
    nn.CELU: ActivationKind("celu"),
    nn.GELU: ActivationKind("gelu", dead_below=1e-3),
    nn.SiLU: ActivationKind("silu", dead_below=1e-3),
    nn.Mish: ActivationKind("mish", dead_below=1e-3),
    nn.Hardswish: ActivationKind("hardswish", dead_below=0.0),
    nn.Sigmoid: ActivationKind("sigmoid", bounds=(0.0, 1.0)),
    nn.Hardsigmoid: ActivationKind("hardsigmoid", bounds=(0.0, 1.0)),
    nn.Tanh: ActivationKind("tanh", bounds=(-1.0, 1.0)),
    nn.Softsign: ActivationKind("softsign", bounds=(-1.0, 1.0)),
    nn.Softplus: ActivationKind("softplus"),
    nn.LogSigmoid: ActivationKind("log_sigmoid"),
    nn.Tanhshrink: ActivationKind("tanhshrink"),
    nn.Hardshrink: ActivationKind("hardshrink", dead_below=0.0),
    nn.Softshrink: ActivationKind("softshrink", dead_below=0.0),
    nn.GLU: ActivationKind("glu"),
    nn.Softmax: ActivationKind("softmax"),
    nn.Softmax2d: ActivationKind("softmax"),
    nn.LogSoftmax: ActivationKind("log_softmax"),
    nn.Softmin: ActivationKind("softmin"),
}


def activation_kind(module: nn.Module) -> ActivationKind | None:
    """The kind of an activation module (or of a subclass of one); None for every other module."""
    if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
        return ActivationKind("hardtanh", bounds=(float(module.min_val), float(module.max_val)))
    for base in type(module).__mro__:
        kind = _KINDS.get(base)
        if kind is not None:
            return kind
    return None


_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_FEATURES_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


def channels_first(module: nn.Module) -> bool | None:
    """Whether a module's units lie along axis 1 (True) or the last axis (False); None when its type does not
    say.
    """
    if isinstance(module, _CHANNELS_FIRST):
        return True
    if isinstance(module, _FEATURES_LAST):
        return False
    return None
