"""Real trainings of a second or two on real digits (8x8 grey), recorded naively: healthy ones and ill
ones.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from naive_recorder import NaiveRecorder
from sklearn.datasets import load_digits

import probes
from probes.diagnosis.view import RunView

RECORDER = NaiveRecorder
"""What records the trainings; `ProbeRecorder` puts the real probes in its place."""


class ProbeRecorder:
    """The real probes, with the interface of the naive recorder; the cadence is theirs (`every="auto"`)."""

    def __init__(self, model, optimizer, every):
        self.folder = tempfile.TemporaryDirectory()
        self.probe = probes.watch(model, optimizer, run_dir=Path(self.folder.name) / "run")

    @property
    def step(self):
        return self.probe.step

    def before_step(self):
        pass

    def after_step(self):
        pass

    def log(self, name, value):
        split, _, metric = name.partition("/")
        self.probe.log(split, **{metric: value})

    def view(self):
        self.probe.close()
        view = RunView.of_run(probes.open_run(self.probe.run_dir))
        view.folder = self.folder  # the directory lives as long as the view
        return view


@functools.cache
def digits():
    """(inputs [1797, 1, 8, 8] normalised, targets [1797]), shuffled."""
    data = load_digits()
    inputs = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    inputs = (inputs - inputs.mean()) / inputs.std()
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    return inputs[order], torch.tensor(data.target)[order]


def watch_classes(recorder, targets):
    """Log the shares of the most frequent class, as the probes do when they are given the loss function."""
    scores = getattr(recorder, "scores", None)
    if scores is None or scores.dim() != 2 or scores.shape[1] < 2 or targets.dim() != 1 or len(targets) != len(scores):
        return
    for name, classes in (("prediction", scores.argmax(1)), ("label", targets.long())):
        share = torch.bincount(classes).max().item() / len(classes)
        recorder.log(f"data/largest_{name}_share", share)


def train(
    model, optimizer, *, loss_fn=None, data=None, validation=None, steps=120, batch=64, log_val=10, every=1,
    label_noise=0.0, accumulate=False, schedule=None, seed=0, transform=None, clip=None,
    status="finished", times=None,
):  # fmt: skip
    """Train for ``steps`` and return the run as a `RunView`."""
    inputs, targets = digits() if data is None else data
    if validation is None:
        if data is None:
            inputs, targets, validation = inputs[:1400], targets[:1400], (inputs[1400:], targets[1400:])
        else:
            validation = tuple(t[1400:] for t in digits())
    generator = torch.Generator().manual_seed(seed)
    if label_noise:
        wrong = torch.rand(len(targets), generator=generator) < label_noise
        targets = torch.where(
            wrong, torch.randint(0, int(targets.max()) + 1, targets.shape, generator=generator), targets
        )
    loss_fn = loss_fn or torch.nn.CrossEntropyLoss()
    recorder = RECORDER(model, optimizer, every)
    recorder.loss_fn = loss_fn
    if isinstance(loss_fn, torch.nn.CrossEntropyLoss):
        recorder.data = {"classes": 10} if data is None else {"classes": int(targets.max()) + 1}
        recorder.data["label_counts"] = torch.bincount(targets.flatten()).tolist()
    order = torch.randperm(len(inputs), generator=generator)
    place = 0
    for _ in range(steps):
        if place + batch > len(order):
            order, place = torch.randperm(len(inputs), generator=generator), 0
        rows = order[place : place + batch] if batch < len(order) else order
        place += batch
        x, y = inputs[rows], targets[rows]
        if transform is not None:
            x, y = transform(x, y)
        model.train()
        loss = loss_fn(model(x), y)
        if not accumulate:
            optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        recorder.before_step()
        optimizer.step()
        recorder.after_step()
        if schedule is not None:
            schedule.step()
        recorder.log("train/loss", loss.item())
        watch_classes(recorder, y)
        if times is not None:
            recorder.log("system/step_time", times[0])
            recorder.log("system/data_wait", times[1])
        if log_val and recorder.step % log_val == 0:
            model.eval()
            with torch.no_grad():
                scores = model(validation[0])
                recorder.log("val/loss", loss_fn(scores, validation[1]).item())
                if scores.dim() == 2 and scores.shape[1] > 1 and validation[1].dim() == 1:
                    recorder.log("val/accuracy", (scores.argmax(1) == validation[1]).float().mean().item())
    view = recorder.view()
    view.status = status
    return view
