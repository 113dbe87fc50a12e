"""Which series is the training loss, which the validation loss: by the split and the name they were logged under.

A name says on which side a series is: by its split ("train/loss"), or else by its metric, before or after what was
measured ("epoch/val_loss", "loss/train"). A metric that names a side wins over the split: `probe.log("train", loss=...,
val_loss=...)` is common. The one loss of a split that is neither ("epoch/loss", "digits/loss") is the training loss,
when nothing else is. A perplexity where no loss was logged is one too: its logarithm, called "log train/ppl".
"""

from __future__ import annotations

import numpy as np

from probes.diagnosis.view import Curve, Floats, NotJudged, RunView

TRAIN_SPLITS = ("train", "training", "tr", "fit")
VALIDATION_SPLITS = ("val", "valid", "validation", "dev", "eval", "evaluation", "test", "holdout")
_TRAIN_SIDES = ("train", "training")
_LOSS_WORDS = ("loss", "nll", "objective", "cross_entropy", "crossentropy", "mse", "cost")
_ERROR_WORDS = (
    "mae", "rmse", "rms", "nrmse", "msle", "rmsle", "bce", "ce", "l1", "huber", "error", "mape", "smape", "sse",
    "logloss", "log_loss",
)  # fmt: skip
"""What a loss is called when it goes by no other name; only as a whole word."""
_SOLE_WORDS = (
    "kl", "kld", "kl_div", "triplet", "contrastive", "hinge", "ctc", "reconstruction", "recon", "focal", "infonce",
    "info_nce", "nt_xent", "ntxent", "bpr", "pinball", "quantile", "smooth_l1", "log_cosh", "logcosh", "chamfer",
    "charbonnier", "distillation", "distill", "kd", "nelbo", "neg_elbo", "negative_elbo", "bpd", "bpc", "bits_per_dim",
)  # fmt: skip
"""What is a loss when nothing else on its side could be, and a part of one, or a measure beside it, otherwise."""
_PERPLEXITY_WORDS = ("ppl", "perplexity")
"""The exponential of a mean cross-entropy in nats: read as its logarithm, where no loss is logged (the path
length of a generator, which has two, goes by the same letters).
"""
_ACCURACY_WORDS = ("accuracy", "acc", "top1", "accuracy_top1", "top1_accuracy", "top1_acc", "acc1")
_COUNTED = frozenset(
    {"pixel", "token", "char", "character", "letter", "word", "node", "frame", "step", "overall", "pct"}
)
"""What an accuracy may be said to count ("pixel_acc"), or how: each answer of the net, as the loss does. Whole
sequences or the best five answers are another measure.
"""
_SPLITS_OF_LOSSES, _WHOLE = ("loss", "losses"), ("total", "all", "sum")
"""Splits that hold parts of a loss ("loss/box"), and what the whole of it is called there."""
_NO_LOSS_TO_FALL = frozenset(
    {"agent", "actor", "critic", "policy", "value", "dqn", "ddqn", "q", "td", "ppo", "sac", "a2c", "ddpg", "td3", "rl"}
    | {"gan", "generator", "discriminator", "gen", "disc", "g", "d", "teacher", "online", "meta", "inner", "system"}
)
"""Words of a split or a metric whose loss follows a moving target."""


_MEASURED = ("system", "data", "optimizer")
"""Splits of what babysit measures itself: "system/evaluation_mode" is no validation."""


def split_of(series: str) -> tuple[str, str]:
    """(split, metric) of the name of a series, in lower case: the side that the name says, wherever it says it."""
    split, _, metric = series.lower().partition("/")
    if split in _MEASURED:
        return split, metric
    for sides in (_TRAIN_SIDES, VALIDATION_SPLITS):
        for side in sides:
            if metric == side and split not in (*TRAIN_SPLITS, *VALIDATION_SPLITS):
                return side, "loss" if split in _SPLITS_OF_LOSSES else split
            if metric.startswith((f"{side}_", f"{side}/")):
                return side, metric[len(side) + 1 :]
            if metric.endswith((f"_{side}", f"/{side}")):
                return side, metric[: -len(side) - 1]
    return split, metric


def _named(view: RunView, splits: tuple[str, ...], words: tuple[str, ...], *, exact: bool) -> list[str]:
    """Series of one of ``splits`` whose metric is (``exact``) or contains one of ``words``, best name
    first.
    """
    found = []
    for name in view.series_names:
        split, metric = split_of(name)
        if split not in splits or not metric:
            continue
        for place, word in enumerate(words):
            if metric == word or (not exact and word in metric):
                found.append((splits.index(split), place, name))
                break
    return [name for _, _, name in sorted(found)]


def _sole(view: RunView, splits: tuple[str, ...]) -> list[str]:
    """The one series of ``splits`` that goes by a word for a part of a loss; none where there are several."""
    found = _named(view, splits, _SOLE_WORDS, exact=True)
    return found if len(found) == 1 else []


def _of_no_side(view: RunView) -> list[str]:
    """The one loss of a split that names no side; none where there are several, or where it has a moving target."""
    found = []
    for name in view.series_names:
        split, metric = split_of(name)
        if split in (*TRAIN_SPLITS, *VALIDATION_SPLITS) or not metric:
            continue
        words = {*split.replace("-", "_").split("_"), *metric.replace("-", "_").split("_")}
        if metric in _LOSS_WORDS or "loss" in metric.split("_") or (split in _SPLITS_OF_LOSSES and metric in _WHOLE):
            found.append((name, words))
    return [name for name, words in found if not words & _NO_LOSS_TO_FALL] if len(found) == 1 else []


def training_losses(view: RunView) -> list[str]:
    """Every loss series of a training split; a GAN has several. The main one ("train/loss") comes first."""
    exact = _named(view, TRAIN_SPLITS, _LOSS_WORDS, exact=True)
    parts = [n for n in _named(view, TRAIN_SPLITS, _LOSS_WORDS, exact=False) if n not in exact]
    named = exact + parts or _named(view, TRAIN_SPLITS, _ERROR_WORDS, exact=True)
    named = named or _sole(view, TRAIN_SPLITS) or _of_no_side(view)
    if named or any("loss" in name.lower() for name in view.series_names):
        return named
    return _named(view, TRAIN_SPLITS, _PERPLEXITY_WORDS, exact=True)


def validation_losses(view: RunView) -> list[str]:
    """Every loss series of a validation split, the main one first."""
    exact = _named(view, VALIDATION_SPLITS, _LOSS_WORDS, exact=True)
    parts = [n for n in _named(view, VALIDATION_SPLITS, _LOSS_WORDS, exact=False) if n not in exact]
    return exact + parts or _like_training(view)


def _like_training(view: RunView) -> list[str]:
    """The validation series that goes by the very word that the one training loss goes by ("mape")."""
    measured = {split_of(name)[1] for name in training_losses(view)[:1]}
    return _named(view, VALIDATION_SPLITS, tuple(measured), exact=True)


_REWARD_WORDS = ("reward", "rewards", "return", "returns", "rew")


def rewards(view: RunView) -> list[str]:
    """Every series of rewards, of a training by reinforcement."""
    found = []
    for name in view.series_names:
        words = split_of(name)[1].replace("/", "_").split("_")
        if any(word in words for word in _REWARD_WORDS):
            found.append(name)
    return found


def training_loss(view: RunView) -> tuple[str, Curve]:
    """(name, curve) of the one training loss.

    Raises:
        NotJudged: when there is none, or several and none is simply called the loss (a GAN's two losses
            answer each other: neither has to fall), or when rewards are logged beside it (the loss of an agent
            rises as episodes grow longer and rewards higher).
    """
    rewarded = rewards(view)
    if rewarded:
        raise NotJudged(f"{rewarded[0]} is what this training raises: its loss does not have to fall")
    exact = _named(view, TRAIN_SPLITS, (*_LOSS_WORDS, *_ERROR_WORDS), exact=True)
    return _the_one(view, training_losses(view), exact, "train/loss")


def validation_loss(view: RunView) -> tuple[str, Curve]:
    """(name, curve) of the one validation loss; raises `NotJudged` as `training_loss` does."""
    exact = _named(view, VALIDATION_SPLITS, _LOSS_WORDS, exact=True)
    return _the_one(view, validation_losses(view), exact, "val/loss")


EVALUATED = "system/evaluation_mode"
_OF_ANOTHER_KIND = frozenset(
    {"adv", "adversarial", "attack", "pgd", "fgsm", "robust", "ood", "shift", "shifted", "noisy", "corrupted", "random"}
    | {"source", "target", "ema", "swa", "clean"}
)
"""Words of a split whose loss may rise, or be low, in a healthy training: other inputs, or another net."""


def loss_beside_training(view: RunView) -> tuple[str, Curve]:
    """(name, curve) of the one loss beside that of a training split, where no validation loss was logged: it goes by
    the same word under a split of its own ("sampled/loss"), and the net was evaluated whenever it was logged.

    Raises:
        NotJudged: when there is none, or several, or a validation loss.
    """
    name, _ = training_loss(view)
    side, word = split_of(name)
    seen = view.series(EVALUATED)
    beside = [other for other in view.series_names if split_of(other)[1] == word and other != name]
    words = set(split_of(beside[0])[0].replace("-", "_").split("_")) if beside else set()
    if len(beside) != 1 or side not in TRAIN_SPLITS or words & (_NO_LOSS_TO_FALL | _OF_ANOTHER_KIND | set(_MEASURED)):
        raise NotJudged("no val/loss was logged")
    curve = view.series(beside[0])
    if validation_losses(view) or curve is None or seen is None:
        raise NotJudged("no val/loss was logged")
    # What is evaluated after a step is counted with the next, or with the last.
    if not np.isin(curve.steps, np.concatenate((seen.steps - 1, seen.steps))).all():
        raise NotJudged(f"{beside[0]} was logged where the net was not evaluated")
    return beside[0], curve


def accuracy(view: RunView, *, validation: bool) -> tuple[str, Curve] | None:
    """(name, curve) of the accuracy of the training or the validation split, as shares of 1, when one was logged."""
    splits = VALIDATION_SPLITS if validation else TRAIN_SPLITS
    for name in _named(view, splits, _ACCURACY_WORDS, exact=True) or _accuracy_of_answers(view, splits):
        curve = view.series(name)
        if curve is not None:
            return name, Curve(curve.steps, share_right(curve.values))
    return None


def _accuracy_of_answers(view: RunView, splits: tuple[str, ...]) -> list[str]:
    """The one accuracy of ``splits`` that says what it counts ("token_acc"); none where there are several."""
    found = []
    for name in view.series_names:
        split, metric = split_of(name)
        words = set(metric.replace("-", "_").split("_"))
        if split in splits and words & {"acc", "accuracy"} and words - {"acc", "accuracy"} <= _COUNTED:
            found.append(name)
    return found if len(found) == 1 else []


def share_right(values: Floats) -> Floats:
    """An accuracy [T] as shares of 1: of percent, when any finite value is above 1 (and the rounding of a mean)."""
    finite = values[np.isfinite(values)]
    return values / 100.0 if len(finite) and float(finite.max()) > 1.001 else values


def _the_one(view: RunView, names: list[str], exact: list[str], usual: str) -> tuple[str, Curve]:
    logged = [(name, curve) for name in names if (curve := view.series(name)) is not None]
    if not logged:
        raise NotJudged(f"no {usual} was logged")
    if len(logged) > 1 and logged[0][0] not in exact:
        raise NotJudged(f"several losses were logged ({', '.join(n for n, _ in logged[:4])}) and none is {usual}")
    name, curve = logged[0]
    if split_of(name)[1] in _PERPLEXITY_WORDS:
        with np.errstate(divide="ignore", invalid="ignore"):
            return f"log {name}", Curve(curve.steps, np.log(curve.values))
    return name, curve
