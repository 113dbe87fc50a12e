"""Which series is the training loss, which the validation loss: by the split and the name they were logged
under.
"""

from __future__ import annotations

from probes.diagnosis.view import Curve, NotJudged, RunView

TRAIN_SPLITS = ("train", "training", "tr", "fit")
VALIDATION_SPLITS = ("val", "valid", "validation", "dev", "eval", "evaluation", "test", "holdout")
_LOSS_WORDS = ("loss", "nll", "objective", "cross_entropy", "crossentropy", "mse", "cost")
_ERROR_WORDS = ("mae", "rmse", "bce", "ce", "l1", "huber", "error")
"""What a loss is called when it goes by no other name; only as a whole word."""
_ACCURACY_WORDS = ("accuracy", "acc", "top1", "accuracy_top1")


def _split(series: str) -> tuple[str, str]:
    split, _, metric = series.partition("/")
    return split.lower(), metric.lower()


def _named(view: RunView, splits: tuple[str, ...], words: tuple[str, ...], *, exact: bool) -> list[str]:
    """Series of one of ``splits`` whose metric is (``exact``) or contains one of ``words``, best name
    first.
    """
    found = []
    for name in view.series_names:
        split, metric = _split(name)
        if split not in splits or not metric:
            continue
        for place, word in enumerate(words):
            if metric == word or (not exact and word in metric):
                found.append((splits.index(split), place, name))
                break
    return [name for _, _, name in sorted(found)]


def training_losses(view: RunView) -> list[str]:
    """Every loss series of a training split; a GAN has several. The main one ("train/loss") comes first."""
    exact = _named(view, TRAIN_SPLITS, _LOSS_WORDS, exact=True)
    parts = [n for n in _named(view, TRAIN_SPLITS, _LOSS_WORDS, exact=False) if n not in exact]
    return exact + parts or _named(view, TRAIN_SPLITS, _ERROR_WORDS, exact=True)


def validation_losses(view: RunView) -> list[str]:
    """Every loss series of a validation split, the main one first."""
    exact = _named(view, VALIDATION_SPLITS, _LOSS_WORDS, exact=True)
    parts = [n for n in _named(view, VALIDATION_SPLITS, _LOSS_WORDS, exact=False) if n not in exact]
    return exact + parts


_REWARD_WORDS = ("reward", "rewards", "return", "returns", "rew")


def rewards(view: RunView) -> list[str]:
    """Every series of rewards, of a training by reinforcement."""
    found = []
    for name in view.series_names:
        words = _split(name)[1].replace("/", "_").split("_")
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


def accuracy(view: RunView, *, validation: bool) -> tuple[str, Curve] | None:
    """(name, curve) of the accuracy of the training or the validation split, when one was logged."""
    names = _named(view, VALIDATION_SPLITS if validation else TRAIN_SPLITS, _ACCURACY_WORDS, exact=True)
    for name in names:
        curve = view.series(name)
        if curve is not None:
            return name, curve
    return None


def _the_one(view: RunView, names: list[str], exact: list[str], usual: str) -> tuple[str, Curve]:
    logged = [(name, curve) for name in names if (curve := view.series(name)) is not None]
    if not logged:
        raise NotJudged(f"no {usual} was logged")
    if len(logged) > 1 and logged[0][0] not in exact:
        raise NotJudged(f"several losses were logged ({', '.join(n for n, _ in logged[:4])}) and none is {usual}")
    return logged[0]
