"""Which loss the model's outputs go into, told from the gradient that it sends back to them.

Of a loss of classes the gradient at the scores has a form that no other has: softmax less the target for a
cross-entropy, sigmoid less the target for a binary one, one entry in each row for a likelihood. It is the same multiple
of that form in every row. What fits to rounding in all rows names the loss, and with it the target of each row; what
does not fit is not named. Where the scores are so alike that other losses send back the same (all zero at the
beginning), nothing is said either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.int64]

TOLERANCE = {"bfloat16": 2e-2, "float16": 4e-3}
"""Deviation from the form, as a share of the row's largest entry, by the type of the outputs: a few roundings of it."""
EXACT = 3e-5
"""The same for float32 and float64, for scores up to `USUAL`: the loss is computed in float32."""
USUAL = 10.0
"""Size of scores from which the exponentials of float32 lose digits in proportion."""
LOOSE = 1e-3
"""Deviation that is allowed where scores are large, and for a loss that is known already."""
FAINT = 0.05
"""Size of a row of the form below which it is compared by what is allowed at this size: such rows are nearly right."""
CONSTRAINTS = 4
"""Numbers, beyond those that are fitted, which must agree: at such tolerances chance does not do that."""
APART = 5.0
"""Tolerances by which a simpler form that other losses share must be missed."""
SMOOTHING = (0.005, 0.5)
"""Range of label smoothing that is believed."""
SPREAD = 0.1
"""Range of the scores of a row from which smoothed labels are told from a bonus for entropy: to first order of the
scores, both send back the same.
"""
ILL_CONDITIONED = 1e8
"""Condition number from which the smoothing cannot be told from the scale of the loss."""
CERTAIN = 1.0 - 1e-6
"""Probability from which a row without a gradient is one that is right, and not one that is left out."""
NORMALISED = 0.05
"""Logarithm of a sum of probabilities, whatever their type, from which they are none."""
LEAST = 1e-6
"""Probabilities nearer than this to 0 or 1 are not compared: losses clamp the logarithms of them."""


@dataclass(frozen=True)
class LossKind:
    """A loss as its gradient tells it.

    Attributes:
        name: of the module of `torch.nn` that computes the same.
        through: activation between the model's outputs and this loss, None where there is none.
        weighted: whether classes have different weights.
        label_smoothing: 0 where there is none.
    """

    name: str
    through: str | None = None
    weighted: bool = False
    label_smoothing: float = 0.0

    def like(self, other: LossKind) -> bool:
        """Whether it is the same loss; weights and smoothing are measured anew each time."""
        return (self.name, self.through) == (other.name, other.through)


@dataclass(frozen=True)
class Recognised:
    """A loss with what it was called with.

    Attributes:
        kind: of the loss.
        given: what the loss was given: the outputs, after the activation between where there is one, [R, C].
        targets: class numbers [R], -1 where not known (left out by the loss); or zeros and ones [R, C], -1 likewise.
        loss: its mean over what is known, with its weights.
        total: what the rows (of a binary loss: the entries) weigh together in the loss: 1 for a mean over them, their
            number for a sum.
        doubtful: losses of another value send back the same: only the value that was logged tells.
    """

    kind: LossKind
    given: Reals
    targets: Counts
    loss: float
    total: float
    doubtful: bool = False


@dataclass(frozen=True)
class Answer:
    """What one frame says: a loss, or that it is none of those known, or (both empty) nothing."""

    found: Recognised | None = None
    other: bool = False


@dataclass(frozen=True)
class _Form:
    """A hypothesis: the gradient that a loss sends back, up to a positive factor.

    Attributes:
        kind: of the loss.
        given: what the loss is given, [R, C].
        targets: as of `Recognised`.
        gradient: [R, C].
        decoy: what it would be if all scores were alike, which other losses send back as well; None where none does.
        scale: size that an entry has where the answer is wrong.
    """

    kind: LossKind
    given: Reals
    targets: Counts
    gradient: Reals
    decoy: Reals | None = None
    scale: float = 1.0

    @property
    def by_row(self) -> bool:
        """Whether the entries of a row belong together, as under a softmax."""
        return self.targets.ndim == 1

    @property
    def units(self) -> Counts:
        """Class of each row [R, 1] or entry [R, C]; -1 for those that the loss leaves out."""
        return self.targets[:, None] if self.by_row else self.targets

    @property
    def sizes(self) -> Reals:
        """Largest entry of each row [R, 1], or size of each entry [R, C]."""
        sizes = np.abs(self.gradient)
        return sizes.max(1, keepdims=True) if self.by_row else sizes

    @property
    def strong(self) -> npt.NDArray[np.bool_]:
        """Rows [R, 1] or entries [R, C] of which enough comes back to tell."""
        return (self.units >= 0) & (self.sizes > FAINT * self.scale)


def recognise(outputs: Reals, gradients: Reals, *, dtype: str = "float32", known: LossKind | None = None) -> Answer:
    """The loss that sends back ``gradients`` to ``outputs``.

    Args:
        outputs: of the model, [R, C], one row for each example (or position) and C scores in it.
        gradients: of the loss with respect to them, [R, C].
        dtype: of the outputs in the model.
        known: what was recognised in an earlier frame: need not be proven again.

    Returns:
        Answer: the loss that fits, where exactly one does.
    """
    whole = outputs.shape == gradients.shape and np.isfinite(outputs).all() and np.isfinite(gradients).all()
    if not whole or not gradients.any():
        return Answer()
    exact = min(LOOSE, EXACT * max(1.0, float(np.abs(outputs).max()) / USUAL))
    tolerance, unproven, silent = TOLERANCE.get(dtype, exact), False, False
    if known is not None:
        said = _again(outputs, gradients, max(tolerance, LOOSE), known)
        if said is not None:
            return Answer(said)
    for forms, weighted in ((_plain, False), (_plain, True), (_smoothed, False)):
        found = []
        for form in forms(outputs, gradients):
            if not form.strong.any():
                silent = True
                continue
            weights = _weights(form, gradients, tolerance, weighted=weighted)
            if weights is None:
                continue
            if _proven(form, gradients, tolerance, weights, weighted=weighted):
                found.append(_recognised(form, weights, weighted=weighted))
            else:
                unproven = True
        if unproven or len(found) > 1:
            return Answer()
        if found:
            return Answer(found[0])
    return Answer(other=not silent)  # of answers that are nearly right too little comes back to tell


def _again(outputs: Reals, gradients: Reals, tolerance: float, known: LossKind) -> Recognised | None:
    """A loss that is known, in a batch that need not prove it."""
    forms = list(_smoothed(outputs, gradients)) if known.label_smoothing else [_form(known, outputs, gradients)]
    for form in forms:
        for weighted in (False, True) if known.weighted else (False,):
            weights = _weights(form, gradients, tolerance, weighted=weighted)
            if weights is not None:
                return _recognised(form, weights, weighted=weighted)
    return None


_SCORES = (
    LossKind("CrossEntropyLoss"),
    LossKind("CrossEntropyLoss", "softmax"),
    LossKind("CrossEntropyLoss", "sigmoid"),
    LossKind("NLLLoss"),
    LossKind("NLLLoss", "softmax"),
)
_PROBABILITIES = LossKind("NLLLoss", "log")
_BINARY = (LossKind("BCEWithLogitsLoss"), LossKind("BCEWithLogitsLoss", "sigmoid"))


def _plain(outputs: Reals, gradients: Reals) -> Iterator[_Form]:
    """The losses that are known, without label smoothing."""
    probabilities = bool(((outputs >= 0.0) & (outputs <= 1.0)).all())
    several = outputs.shape[1] >= 2
    kinds = (
        *(_SCORES if several else ()),
        *((_PROBABILITIES,) if several and probabilities else ()),
        *_BINARY,
        *((LossKind("BCELoss"),) if probabilities else ()),
    )
    for kind in kinds:
        yield _form(kind, outputs, gradients)


def _form(kind: LossKind, outputs: Reals, gradients: Reals) -> _Form:
    """The hypothesis of a loss that is ``kind``, weights and label smoothing apart."""
    if kind.name == "BCELoss":
        return _binary_of_probabilities(gradients, outputs)
    make = {"CrossEntropyLoss": _cross_entropy, "NLLLoss": _likelihood, "BCEWithLogitsLoss": _binary}[kind.name]
    if kind.through == "softmax":
        softmax = _softmax(outputs)
        return make(gradients, softmax, "softmax", softmax)
    if kind.through == "sigmoid":
        sigmoid = _sigmoid(outputs)
        return make(gradients, sigmoid, "sigmoid", sigmoid * (1.0 - sigmoid))
    if kind.through == "log":
        probabilities = np.maximum(outputs, LEAST)
        return make(gradients, np.log(probabilities), "log", 1.0 / probabilities)
    return make(gradients, outputs, None, None)


def _cross_entropy(
    gradients: Reals,
    given: Reals,
    through: str | None = None,
    slope: Reals | None = None,
    labels: Counts | None = None,
    smoothing: float = 0.0,
) -> _Form:
    """Softmax less target (Bishop, Pattern recognition and machine learning, 4.109), taken back through what lies
    between.
    """
    softmax = _softmax(given)
    if labels is None:
        labels = (gradients if slope is None else gradients / np.maximum(slope, LEAST)).argmin(1)
    certain = softmax.max(1) > CERTAIN
    # Of a row that is right to the last digit nothing comes back to the label.
    labels = np.where(gradients.min(1) < 0.0, labels, softmax.argmax(1))
    classes = given.shape[1]
    target = np.full(given.shape, smoothing / classes)
    target[np.arange(len(labels)), labels] += 1.0 - smoothing
    gradient, decoy = softmax - target, np.asarray(1.0 / classes - target)
    if slope is not None:
        gradient, decoy = gradient * slope, decoy * slope.mean()
        if through == "softmax":
            gradient = gradient - slope * gradient.sum(1, keepdims=True)
    targets = np.where(gradients.any(1) | certain, labels, -1)
    kind = LossKind("CrossEntropyLoss", through, label_smoothing=smoothing)
    return _Form(kind, given, targets, gradient, decoy, 1.0 if slope is None else float(slope.max()))


def _likelihood(gradients: Reals, given: Reals, through: str | None = None, slope: Reals | None = None) -> _Form:
    """One entry in each row."""
    labels = gradients.argmin(1)
    targets = np.where(gradients.any(1), labels, -1)
    single: Reals = np.zeros(given.shape)
    single[np.arange(len(labels)), labels] = -1.0
    kind = LossKind("NLLLoss", through)
    if slope is None:
        return _Form(kind, given, targets, single)
    gradient = single * slope
    if through == "log":
        return _Form(kind, given, targets, gradient, single)
    gradient = gradient - slope * gradient.sum(1, keepdims=True)
    return _Form(kind, given, targets, gradient, 1.0 / given.shape[1] + single, float(slope.max()))


def _binary(gradients: Reals, given: Reals, through: str | None = None, slope: Reals | None = None) -> _Form:
    """Sigmoid less target, in every entry."""
    yes = gradients < 0.0
    sigmoid = _sigmoid(given)
    silent = gradients == 0.0
    yes = np.where(silent, sigmoid > 0.5, yes)
    gradient, decoy = sigmoid - yes, 0.5 - yes
    targets = np.where(silent & (np.abs(sigmoid - 0.5) < CERTAIN - 0.5), -1, yes)
    kind = LossKind("BCEWithLogitsLoss", through)
    if slope is None:
        return _Form(kind, given, targets, gradient, decoy)
    return _Form(kind, given, targets, gradient * slope, decoy, float(slope.max()))


def _binary_of_probabilities(gradients: Reals, given: Reals) -> _Form:
    """(p - y) / (p (1 - p)), in every entry."""
    yes = gradients < 0.0
    variance = given * (1.0 - given)
    gradient = (given - yes) / np.maximum(variance, LEAST)
    targets = np.where(variance < LEAST, -1, yes)
    return _Form(LossKind("BCELoss"), given, targets, gradient, 0.5 - yes)


def _smoothed(outputs: Reals, gradients: Reals) -> Iterator[_Form]:
    """Cross-entropy of smoothed labels, with the smoothing that fits best."""
    if outputs.shape[1] < 3:
        return
    hard = _cross_entropy(gradients, outputs)
    # A row that is too sure of the right class is drawn back from it: its label does not show in the sign.
    clear = gradients.min(1) < 0.5 * gradients.min()
    # softmax - (1 - s) onehot - s/C = (softmax - onehot) + s (onehot - 1/C): linear in its factor, and in s times it.
    columns = np.stack([hard.gradient[clear].ravel(), -np.asarray(hard.decoy)[clear].ravel()], axis=1)
    normal = columns.T @ columns
    if np.linalg.cond(normal) > ILL_CONDITIONED:
        return
    factor, part = np.linalg.solve(normal, columns.T @ gradients[clear].ravel())
    if factor > 0.0 and SMOOTHING[0] < part / factor < SMOOTHING[1]:
        labels = (_softmax(outputs) * factor - gradients).argmax(1)
        yield _cross_entropy(gradients, outputs, labels=labels, smoothing=float(part / factor))


def _weights(form: _Form, gradients: Reals, tolerance: float, *, weighted: bool) -> Reals | None:
    """The factor of each row or entry, [R, 1] or [R, C], where the gradient is the form times it; else None.

    One factor for all or, ``weighted``, one for each class. Those left out have 0.
    """
    counted = form.units >= 0
    if not counted.any():
        return None
    share, square = gradients * form.gradient, form.gradient**2
    if form.by_row:
        share, square = share.sum(1, keepdims=True), square.sum(1, keepdims=True)
    _, group = np.unique(form.units[counted] if weighted else np.zeros(counted.sum()), return_inverse=True)
    above, below = np.bincount(group, share[counted]), np.bincount(group, square[counted])
    if not (above > 0.0).all() or not (below > 0.0).all():
        return None
    weights = np.zeros(form.units.shape)
    weights[counted] = (above / below)[group]
    limit = tolerance * weights * np.maximum(form.sizes, FAINT * form.scale)
    fits = np.abs(gradients - weights * form.gradient) <= limit
    return weights if bool((fits | ~counted).all()) else None


def _proven(form: _Form, gradients: Reals, tolerance: float, weights: Reals, *, weighted: bool) -> bool:
    """Whether enough of it agrees, and neither chance nor another loss can have made it so."""
    classes, members = np.unique(form.units[form.strong], return_counts=True)
    fitted = len(classes) if weighted else 1
    each = gradients.shape[1] - 1 if form.by_row else 1
    if each * int(members.sum()) - fitted < CONSTRAINTS:
        return False
    if weighted and (len(classes) < 2 or (members - 1).sum() < max(CONSTRAINTS, members.sum() / 2)):
        return False  # weights of classes show where classes come more than once; else examples may have them
    if form.kind.label_smoothing and np.ptp(form.given, axis=1).max() < SPREAD:
        return False
    if form.kind.name == "NLLLoss" and form.decoy is None:
        # Any loss of one entry a row does this; class numbers are more than one, and not what the outputs say anyway.
        rows = form.targets >= 0
        picked, given = form.targets[rows], form.given[rows]
        chosen = (picked == given.argmax(1)).all() or (picked == given.argmin(1)).all()
        return len(classes) > 1 and not chosen
    if form.decoy is None:
        return True
    return _weights(replace(form, gradient=form.decoy), gradients, APART * tolerance, weighted=True) is None


def _recognised(form: _Form, weights: Reals, *, weighted: bool) -> Recognised:
    """What a form that fits says."""
    counted = form.units >= 0
    if form.by_row:
        logarithms = form.given if form.kind.name == "NLLLoss" else _log_softmax(form.given)
        losses = -np.take_along_axis(logarithms, np.maximum(form.units, 0), 1)
        smoothing = form.kind.label_smoothing
        losses = (1.0 - smoothing) * losses - smoothing * logarithms.mean(1, keepdims=True)
    elif form.kind.name == "BCELoss":
        right = np.where(form.targets == 1, form.given, 1.0 - form.given)
        losses = -np.log(np.maximum(right, LEAST))
    else:
        losses = np.logaddexp(0.0, np.where(form.targets == 1, -form.given, form.given))
    # The mean of a cross-entropy divides by the weights; that of a binary one, where yes has a weight, does not.
    no = weights[form.units == 0]
    basis = weights[counted].sum() if form.by_row or not len(no) else counted.sum() * no[0]
    loss = float((weights * losses)[counted].sum() / basis)
    kind = replace(form.kind, weighted=weighted)
    return Recognised(kind, form.given, form.targets, loss, float(basis), _doubtful(form))


def _doubtful(form: _Form) -> bool:
    """Whether it is a likelihood of what are no logarithms of probabilities.

    A Huber loss far from its targets (as of rewards, for the actions that were taken) sends one entry back in each row,
    too, and 1 - p, the mean absolute error of probabilities, the same as -p.
    """
    if form.kind.name != "NLLLoss":
        return False
    highest = form.given.max(1)
    sums = highest + np.log(np.exp(form.given - highest[:, None]).sum(1))
    return bool((np.abs(sums) > NORMALISED).any())


def _softmax(scores: Reals) -> Reals:
    return np.asarray(np.exp(_log_softmax(scores)))


def _log_softmax(scores: Reals) -> Reals:
    shifted = scores - scores.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _sigmoid(scores: Reals) -> Reals:
    return np.asarray(np.exp(-np.logaddexp(0.0, -scores)))
