"""Whether dense layers follow each other with nothing between them, told by how the first frame passes signals on.

Random weights pass a signal on in proportion: the mean square of what a layer with weights W [m, n] gives is
|W|^2 / m times that of what it reads, and the gradient that comes back through it has |W|^2 / m times the mean square
per unit (He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015, section 2.2). An activation between two layers takes
a part of either: its slope is below one (0.5 to 0.7 in the root of the mean square for ReLU, GELU, SiLU and softplus, a
quarter for sigmoid). Before the first steps the weights know nothing of the signal, so that nothing else does. The
gradient that comes back through a layer of one unit is exactly its own times |W|, where nothing lies in front of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from probes.diagnosis.manifest import ModuleInfo
from probes.diagnosis.view import RunView

FIRST_STEPS = 3
"""Steps within which the first frame shows weights as they were initialised."""
FORWARD, BACKWARD = 0.85, 0.9
"""Parts of what random weights would pass on, forward and back, that an activation would take something of."""
MORE = 1.3
"""Part beyond which the layer reads something else than what the other gives."""
DRIVEN, EXACT = 0.4, 1e-3
"""Standard deviation of what a layer gives, at which a tanh or a sine takes a part that is seen; and error of the part
that passes back through a single unit where nothing takes any."""
TOGETHER, WELL_DRIVEN = 0.85, 0.55
"""The geometric mean of both parts, whose error is that of twice as many units, and the standard deviation at which a
tanh leaves less of it (0.83): enough where it is certain that nothing lies before the last layer."""
_KEEP = ("Identity", "Flatten", "Unflatten", "Dropout")
WIDE = 16
"""Units and inputs of a layer from which these parts are known well enough (their error is about 1 / sqrt(units))."""


def dense_alone(view: RunView) -> bool:
    """Whether the model is a `torch.nn.Sequential` of two dense layers or more and nothing between them.

    What such a model calls are its modules: a function between them there is none.
    """
    model = view.manifest.get("model")
    dense = [module for module in view.modules if module.type == "Linear"]
    flat = all(module.name.isdigit() and module.type in (*_KEEP, "Linear") for module in view.modules)
    return isinstance(model, Mapping) and model.get("class") == "Sequential" and flat and len(dense) >= 2


def in_a_row(view: RunView) -> bool:
    """Whether the model is dense layers alone (`dense_alone`), is no autoencoder, and none is narrow on purpose."""
    return dense_alone(view) and _maps(view)


def certainly_in_a_row(view: RunView) -> bool:
    """The same of a model of any class, whose weights are those of dense layers, each called once: the first frame
    shows that each passes on all that the one before gives, no more, and by signals that an activation would bend.
    """
    dense = [module for module in view.modules if module.type == "Linear"]
    homes = {p.module for p in view.parameters if p.is_weight}
    if len(dense) < 2 or not homes <= {module.name for module in dense} or any((m.calls or 1) > 1 for m in dense):
        return False
    return _maps(view) and passes_on(view) and all(_bends_nothing(view, a, b) for a, b in itertools.pairwise(dense))


def _maps(view: RunView) -> bool:
    """Whether dense layers neither give back what they read, as an autoencoder, nor are narrow on purpose."""
    if narrowed(view):
        return False
    inputs, outputs = _ends(view)
    return inputs != outputs or inputs == 1


def _bends_nothing(view: RunView, before: ModuleInfo, after: ModuleInfo) -> bool:
    """Whether what lies between two layers is nothing, and not an activation that small signals pass as they are."""
    forward, backward = _parts(view, before, after)
    if backward is None or backward > MORE or (forward is not None and forward > MORE):
        return False
    if after.output_shape[-1:] == (1,):
        return _is_exact(view, before, after)
    spread = _first(view, "activation_std", before.name)
    return spread is not None and spread >= DRIVEN


def _is_exact(view: RunView, before: ModuleInfo, after: ModuleInfo) -> bool:
    """Whether the gradient passes back through a layer of one unit as it does where nothing lies in front of it."""
    backward = _parts(view, before, after)[1]
    return after.output_shape[-1:] == (1,) and backward is not None and abs(backward - 1.0) <= EXACT


def narrowed(view: RunView) -> bool:
    """Whether one of the dense layers, but the last, has fewer units than the model has inputs, and than it has
    outputs: a factorisation; also where the shape of one is not known.
    """
    shapes = {p.module: p.shape for p in view.parameters if p.is_weight}
    dense = [module.name for module in view.modules if module.type == "Linear"]
    if any(name not in shapes for name in dense):
        return True
    return min(shapes[name][0] for name in dense[:-1]) < min(_ends(view))


def _ends(view: RunView) -> tuple[int, int]:
    """Inputs of the first dense layer, and outputs of the last."""
    shapes = {p.module: p.shape for p in view.parameters if p.is_weight}
    dense = [module.name for module in view.modules if module.type == "Linear"]
    return shapes[dense[0]][-1], shapes[dense[-1]][0]


def passes_on(view: RunView) -> bool:
    """Whether every dense layer that reads another one is seen to read all that the other gives.

    False when a pair of layers shows less, when there is none to see it by (a pair of at least `WIDE` inputs and, for
    what is passed forward, as many units), or when the beginning was not watched. Where a last layer of one unit shows
    for certain that nothing lies before it, the two parts of another pair are taken together (`TOGETHER`).
    """
    dense = [module for module in view.modules if module.type == "Linear"]
    seen, certain = 0, len(dense) >= 2 and _is_exact(view, dense[-2], dense[-1])
    for before, after in itertools.pairwise(dense):
        forward, backward = _parts(view, before, after)
        if certain and forward and backward and math.sqrt(forward * backward) >= TOGETHER:
            spread = _first(view, "activation_std", before.name)
            if spread is not None and spread >= WELL_DRIVEN:
                seen += 1
                continue
        if any(part is not None and part < least for part, least in ((forward, FORWARD), (backward, BACKWARD))):
            return False
        seen += backward is not None
    return seen > 0


def _parts(view: RunView, before: ModuleInfo, after: ModuleInfo) -> tuple[float | None, float | None]:
    """The parts that ``after`` passes on of what ``before`` gives: (of the values, of the gradients), or None."""
    weight = next((p for p in view.parameters if p.module == after.name and p.is_weight), None)
    width = before.output_shape[-1] if before.output_shape else 0
    if weight is None or weight.shape[-1] != width or width < WIDE:
        return None, None
    bias = next((p for p in view.parameters if p.module == after.name and not p.is_weight), None)
    units = weight.shape[0]
    norm = _first(view, "weight_norm", weight.name)
    shift = _first(view, "weight_norm", bias.name) if bias is not None else 0.0
    given, got = _square(view, before.name), _square(view, after.name)
    back, front = (_first(view, "activation_grad_norm", module.name) for module in (before, after))
    if not norm:
        return None, None
    forward = None
    if given and got is not None and shift is not None and units >= WIDE:
        forward = math.sqrt(max(got - shift**2 / units, 0.0) * units / given) / norm
    backward = back / front * math.sqrt(units) / norm if back is not None and front else None
    return forward, backward


def _square(view: RunView, module: str) -> float | None:
    """Mean square of what a module gives in the first frame."""
    mean, spread = (_first(view, kind, module) for kind in ("activation_mean", "activation_std"))
    return None if mean is None or spread is None else mean**2 + spread**2


def _first(view: RunView, kind: str, name: str) -> float | None:
    """What was measured first, within the first steps of the training; None when nothing was."""
    curve = view.layer(kind, name) if view.start_step == 0 else None
    return float(curve.values[0]) if curve is not None and curve.steps[0] <= FIRST_STEPS else None
