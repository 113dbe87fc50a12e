"""The loop for real: it learns, it stops, and it goes on as if nothing had happened."""

from __future__ import annotations

import pytest
import torch

from trainer import checkpoint, loop
from trainer.errors import CheckpointError
from trainer.loop import train
from trainer.recipe import load_recipe
from trainer.sections import Training


def state(run_dir):
    return torch.load(run_dir / checkpoint.FILE, weights_only=True)


def flat(value):
    if isinstance(value, dict):
        return {f"{k}.{rest}": v for k, inner in value.items() for rest, v in flat(inner).items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)))
    return {"": value}


def assert_same_to_the_bit(left, right):
    left, right = flat(left), flat(right)
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, torch.Tensor):
            assert value.equal(right[key]), key
        else:
            assert value == right[key], key


@pytest.mark.parametrize("optimizer", ["nesterov", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("stop_at", [30, 44, 66])  # within the second, at its end, at the end of the third epoch
def test_resuming_equals_never_stopping_to_the_bit(optimizer, stop_at, small_recipe, tmp_path, monkeypatch):
    recipe = load_recipe(small_recipe(optimizer))
    whole = train(recipe, tmp_path / "whole", watched=False)

    _stop_after(stop_at, monkeypatch)
    part = train(recipe, tmp_path / "parts", watched=False)
    monkeypatch.undo()
    assert part.steps == stop_at and part.interrupted_by == 2
    torch.manual_seed(99)  # what the process did in between must not matter
    rest = train(recipe, tmp_path / "parts", watched=False, resume=True)

    assert (rest.loss, rest.score, rest.steps) == (whole.loss, whole.score, whole.steps)
    assert_same_to_the_bit(state(tmp_path / "whole"), state(tmp_path / "parts"))


def _stop_after(steps, monkeypatch):
    """Sends this process a real SIGINT from within the given step."""
    import os
    import signal

    real = loop.set_learning_rates
    calls = iter(range(1, 10_000))

    def counting(optimizer, factor):
        if next(calls) == steps:
            os.kill(os.getpid(), signal.SIGINT)
        real(optimizer, factor)

    monkeypatch.setattr(loop, "set_learning_rates", counting)


def test_the_same_seed_gives_the_same_training_and_another_another(small_recipe, tmp_path):
    path = small_recipe()
    first = train(load_recipe(path), tmp_path / "a", watched=False)
    second = train(load_recipe(path), tmp_path / "b", watched=False)
    other = train(load_recipe(path, ["training.seed=1"]), tmp_path / "c", watched=False)
    assert first.loss == second.loss != other.loss


def test_the_loop_agrees_with_one_written_by_hand(small_recipe, tmp_path):
    """Twelve lines of plain PyTorch give the same weights to the bit."""
    recipe = load_recipe(small_recipe(), ["model.dropout=0.0", "training.augment=[]", "schedule.name=constant"])
    train(recipe, tmp_path / "run", watched=False)

    from trainer.assembly import assemble

    parts = assemble(recipe)
    optimizer = torch.optim.SGD(parts.model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    for epoch in range(3):
        order = parts.batches.order(epoch)
        for start in range(0, len(order) - 63, 64):
            rows = order[start : start + 64]
            optimizer.zero_grad()
            scores = parts.model(parts.task.train.inputs[rows])
            torch.nn.functional.cross_entropy(scores, parts.task.train.targets[rows]).backward()
            optimizer.step()
    assert_same_to_the_bit(parts.model.state_dict(), state(tmp_path / "run")["model"])


def test_early_stopping_counts_looks_without_improvement():
    def stops(losses: list[float], patience: int) -> list[bool]:
        progress, stopped = checkpoint.Progress(), []
        for loss in losses:
            loop.note_look(progress, loss)
            stopped.append(loop.finished(progress, Training(patience=patience)))
        assert progress.best_loss == min(losses)
        return stopped

    assert stops([1.0, 0.8, 0.9, 0.7, 0.71, 0.75, 0.8], patience=3) == [False] * 6 + [True]
    assert not any(stops([1.0] * 50, patience=0))


def test_a_training_that_stopped_early_stays_stopped_when_resumed(small_recipe, tmp_path):
    recipe = load_recipe(small_recipe(), ["training.epochs=40", "training.patience=2", "optimizer.lr=0.5"])
    first = train(recipe, tmp_path / "run", watched=False)
    assert 3 <= first.epochs < 40
    again = train(recipe, tmp_path / "run", watched=False, resume=True)
    assert (again.epochs, again.loss) == (first.epochs, first.loss)
    more = load_recipe(str(tmp_path / "run" / "recipe.toml"), ["training.patience=4"])
    assert train(more, tmp_path / "run", watched=False, resume=True).epochs > first.epochs


def test_validation_is_that_of_the_whole_split_and_keeps_the_mode(small_recipe):
    from trainer.assembly import assemble

    parts = assemble(load_recipe(small_recipe()))
    parts.model.train()
    rng = torch.get_rng_state()
    loss, score = loop.validate(parts)
    assert parts.model.training and torch.get_rng_state().equal(rng)
    parts.model.eval()
    with torch.no_grad():
        scores = parts.model(parts.task.validation.inputs)
    targets = parts.task.validation.targets
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(scores, targets).item(), rel=1e-5)
    assert score == pytest.approx((scores.argmax(1) == targets).double().mean().item(), rel=1e-6)


def test_checkpoints_that_cannot_be_used_say_why(small_recipe, tmp_path):
    recipe = load_recipe(small_recipe(), ["training.epochs=1"])
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(recipe, tmp_path / "none", watched=False, resume=True)
    train(recipe, tmp_path / "run", watched=False)
    with pytest.raises(CheckpointError, match="does not fit"):
        train(load_recipe(small_recipe(), ["model.widths=[17]"]), tmp_path / "run", watched=False, resume=True)
    saved = tmp_path / "run" / checkpoint.FILE
    whole = saved.read_bytes()
    for damaged in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        saved.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt: not a readable checkpoint"):
            train(recipe, tmp_path / "run", watched=False, resume=True)


def test_a_checkpoint_never_runs_code(small_recipe, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    run_dir = tmp_path / "run"
    run_dir.mkdir()
    torch.save({"format": 1, "model": Evil()}, run_dir / checkpoint.FILE)
    for payload in (None, pickle.dumps(Evil())):
        if payload is not None:
            (run_dir / checkpoint.FILE).write_bytes(payload)
        with pytest.raises(CheckpointError):
            train(load_recipe(small_recipe()), run_dir, watched=False, resume=True)
    assert not (tmp_path / "ran").exists()
