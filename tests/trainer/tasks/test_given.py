"""What the arrays of a user mean, and what is refused; data from functions of the user's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from trainer.errors import TaskError
from trainer.tasks import TASKS
from trainer.tasks.given import Arrays, given_task

X = np.random.default_rng(0).normal(size=(20, 3))
CLASSES = np.arange(20) % 4


def given(inputs=X, targets=CLASSES, validation=None, **options):
    held = None if validation is None else Arrays(*validation, "a.npz: xv", "a.npz: yv")
    options = {"preprocessing": (), "validation_fraction": 0.25, "split_seed": 0, "source": "here", **options}
    return given_task("npz", Arrays(inputs, targets, "a.npz: x", "a.npz: y"), held, **options)


def both(task) -> torch.Tensor:
    """Targets of both splits, in the order of X, which says whose they are."""
    place = {row.astype(np.float32).tobytes(): i for i, row in enumerate(X)}
    inputs = torch.cat([task.train.inputs, task.validation.inputs])
    order = np.argsort([place[row.numpy().tobytes()] for row in inputs])
    return torch.cat([task.train.targets, task.validation.targets])[order]


@pytest.mark.parametrize(
    ("targets", "problem", "outputs", "expected"),
    [
        (CLASSES, "multi-class", 4, CLASSES),
        (CLASSES[:, None].astype(np.uint8), "multi-class", 4, CLASSES),
        (10 * CLASSES + 5, "multi-class", 4, CLASSES),
        (np.array(["d", "a", "b", "c"])[CLASSES], "multi-class", 4, np.array([3, 0, 1, 2])[CLASSES]),
        (CLASSES == 2, "multi-class", 2, (CLASSES == 2).astype(int)),
        (np.stack([CLASSES % 2, CLASSES // 2], 1), "multi-label", 2, np.stack([CLASSES % 2, CLASSES // 2], 1)),
    ],
)
def test_targets_tell_the_problem(targets, problem, outputs, expected):
    task = given(targets=targets)
    assert (task.problem, task.outputs) == (problem, outputs)
    np.testing.assert_array_equal(both(task).numpy(), expected)


def test_classes_are_called_by_their_values():
    assert given(targets=10 * CLASSES + 5).classes == ("5", "15", "25", "35")


@pytest.mark.parametrize(
    ("problem", "targets", "expected"),
    [
        ("binary", CLASSES % 2, (CLASSES % 2)[:, None]),
        ("multi-class", np.eye(4)[CLASSES], CLASSES),
        ("multi-class", CLASSES.astype(float), CLASSES),
        ("multi-label", np.eye(4)[CLASSES], np.eye(4)[CLASSES]),
        ("unit-regression", X[:, 0] > 0, (X[:, :1] > 0)),
    ],
)
def test_the_problem_can_be_said(problem, targets, expected):
    task = given(targets=targets, problem=problem)
    assert task.problem == problem
    np.testing.assert_array_equal(both(task).numpy(), expected)


def test_regression_is_standardised_by_the_training_targets():
    targets = np.stack([X[:, 0] * 100 + 5, X[:, 1]], 1)
    task = given(targets=targets, validation=(X[:5], targets[:5]))
    assert task.problem == "regression" and task.outputs == 2
    mean, std = targets.mean(0), targets.std(0)
    np.testing.assert_allclose(task.train.targets.numpy(), (targets - mean) / std, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(task.validation.targets.numpy(), (targets[:5] - mean) / std, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "options", "shape"),
    [
        (np.zeros((20, 6, 7), np.uint8), {}, (1, 6, 7)),
        (np.zeros((20, 3, 6, 7)), {}, (3, 6, 7)),
        (np.zeros((20, 6, 7, 3)), {"channels_last": True}, (3, 6, 7)),
        (torch.zeros(20, 5, dtype=torch.bfloat16), {}, (5,)),
        (X.tolist(), {}, (3,)),
    ],
)
def test_inputs_become_what_models_take(inputs, options, shape):
    task = given(inputs=inputs, **options)
    assert task.spec.shape == shape and task.train.inputs.dtype == torch.float32


def test_channels_last_moves_the_channels():
    images = np.random.default_rng(1).normal(size=(20, 4, 5, 3)).astype(np.float32)
    task = given(inputs=images, channels_last=True, validation=(images[:4], CLASSES[:4]))
    assert task.train.inputs[7, 2, 1, 3].item() == images[7, 1, 3, 2]


def test_symbols_with_one_target_a_position():
    text = np.random.default_rng(1).integers(0, 9, (20, 11))
    task = given(inputs=text[:, :-1], targets=text[:, 1:], symbols=True)
    assert task.per_position and task.vocabulary == 9 and task.outputs == 9
    assert task.train.inputs.dtype == torch.int64
    assert task.train.inputs[:, 1:].equal(task.train.targets[:, :-1])
    assert not given(inputs=text, symbols=True).per_position
    bits = np.eye(2, dtype=int)[CLASSES % 2]  # a text of two symbols is no one-hot table
    task = given(inputs=bits, targets=bits, symbols=True, validation=(bits, bits))
    assert task.train.targets.tolist() == task.validation.targets.tolist() == bits.tolist()


def one_bad(value, base):
    result = np.array(base, float)
    result.flat[3] = value
    return result


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": X[:19]}, r"a\.npz: x holds 19 examples, but a\.npz: y 20"),
        ({"inputs": X.astype(complex)}, r"a\.npz: x: found an array of complex128, allowed: numbers"),
        ({"inputs": np.array(["a"] * 20)}, r"a\.npz: x: found an array of <U1, allowed: numbers"),
        ({"inputs": X[:, 0]}, r"a\.npz: x: found shape \[20\], allowed: tables \[N, D\]"),
        ({"inputs": np.zeros((0, 3)), "targets": np.zeros(0, int)}, "which holds no examples"),
        ({"inputs": one_bad(np.nan, X)}, r"a\.npz: x: 1 of 60 numbers are NaN or infinite"),
        ({"inputs": X, "channels_last": True}, r"found shape \[20, 3\], allowed with channels_last = true"),
        ({"inputs": X, "symbols": True}, "allowed with symbols = true: whole numbers"),
        ({"inputs": [[1, 2], [3]]}, r"a\.npz: x: found list, allowed: an array"),
        ({"targets": np.zeros((20, 2, 2))}, r"a\.npz: y: found shape \[20, 2, 2\], allowed: \[N\] or \[N, D\]"),
        ({"targets": np.zeros(20, int)}, r"every target is 0; there is nothing to tell apart"),
        ({"targets": np.arange(20)}, r"class 0 has 1 example"),
        ({"targets": CLASSES.astype(float)}, r"4 different whole numbers as float64 \[20\]; say what they are"),
        ({"targets": np.eye(4, dtype=int)[CLASSES]}, r"every row holds exactly one 1; say which it is"),
        ({"targets": X[:, 0], "problem": "multi-class"}, "found fractions, NaN or Inf, allowed as classes"),
        ({"targets": X[:, 0], "problem": "unit-regression"}, r"found numbers from -.* allowed .*: from 0 to 1"),
        ({"targets": CLASSES, "problem": "binary"}, "found 2, allowed with task.problem = binary: 0 and 1"),
        ({"targets": CLASSES, "problem": "multi-label"}, "found 2, allowed with task.problem = multi-label"),
        ({"targets": np.array(["a", "b"] * 10), "problem": "regression"}, "found names, allowed .*: numbers"),
        ({"targets": one_bad(np.inf, X[:, 0])}, r"a\.npz: y: 1 of 20 targets are NaN or infinite"),
        ({"targets": np.ones(20) / 3}, "column 0 never varies"),
        ({"validation": (X[:5, :2], CLASSES[:5])}, r"a\.npz: xv: an example has shape \[2\], but \[3\] in a\.npz: x"),
        ({"validation": (X[:5], CLASSES[:5] + 3)}, r"a\.npz: yv: 3 validation targets are of classes .* such as 4"),
        ({"validation": (X[:5], CLASSES[:4])}, r"a\.npz: xv holds 5 examples, but a\.npz: yv 4"),
        ({"classes": ("a", "b")}, "found class 2, allowed: 0 to 1"),
    ],
)
def test_what_cannot_be_meant(change, words):
    with pytest.raises(TaskError, match=words):
        given(**change)


def test_many_whole_numbers_are_not_taken_for_classes():
    with pytest.raises(TaskError, match="300 different whole numbers as int64"):
        given(inputs=np.zeros((300, 2)), targets=np.arange(300))


OWN = """
import numpy as np, torch
from torch.utils.data import Dataset, TensorDataset
X, Y = torch.arange(40.).reshape(20, 2), torch.arange(20) % 2

class Squares(Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, i):
        return torch.full((1, 4, 4), float(i)), i % 3

def pair(): return X, Y
def four(): return X[:15], Y[:15], X[15:], Y[15:]
def pairs(): return (X[:15], Y[:15]), (X[15:], Y[15:])
def datasets(): return TensorDataset(X[:15], Y[:15]), TensorDataset(X[15:], Y[15:])
def named(): return {"train": (X[:15], Y[:15]), "validation": TensorDataset(X[15:], Y[15:])}
def arrays(): return X[:15].numpy(), Y[:15].tolist(), X[15:].numpy(), Y[15:].tolist()
def dataset(): return Squares()
def whole():
    from trainer.tasks import TASKS
    return TASKS["blobs"].make()
def nothing(): pass
def three(): return X, Y, X
def misnamed(): return {"train": (X, Y), "test": (X, Y)}
def ragged(): return [(torch.zeros(i + 1), 0) for i in range(3)], None
def broken(): raise KeyError("my own mistake")
def uneven():
    class Uneven(Squares):
        def __getitem__(self, i):
            return torch.zeros(i + 1), 0
    return Uneven()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_data_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)

    def call(name: str, file: bool = True, **options):
        source = str(tmp_path / "my_data_of_mine.py") if file else "my_data_of_mine"
        return TASKS["function"].make(function=f"{source}:{name}", **options)

    return call


@pytest.mark.parametrize("name", ["four", "pairs", "datasets", "named", "arrays"])
@pytest.mark.parametrize("file", [True, False])
def test_whatever_way_a_function_gives_two_splits(name, file, own):
    task = own(name, file)
    assert task.problem == "multi-class" and task.outputs == 2
    assert task.train.inputs.equal(torch.arange(30.0).reshape(15, 2))
    assert task.validation.targets.equal(torch.arange(15, 20) % 2)


def test_one_split_is_divided(own):
    task = own("pair", validation_fraction=0.5)
    assert len(task.train) == len(task.validation) == 10
    task = own("dataset")
    assert task.spec.shape == (1, 4, 4) and task.outputs == 3 and len(task.train) + len(task.validation) == 12


def test_a_whole_task_is_taken_as_it_is(own):
    assert own("whole").name == "blobs"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", r"nothing\(\) in .*my_data_of_mine.py returned nothing \(None\); expected \(inputs, targets\)"),
        ("three", "returned 3 things; expected"),
        ("misnamed", "returned a dict of train, test; expected"),
        ("ragged", "training"),
        ("uneven", "all of one shape"),
        ("broken", "my own mistake"),
        ("missing", "has no function 'missing'"),
    ],
)
def test_a_function_that_does_not_do(name, words, own):
    with pytest.raises(TaskError, match=words):
        own(name)


def test_a_target_that_is_none(tmp_path):
    with pytest.raises(TaskError, match=r"task.function = 'digits': 'digits' is not a target"):
        TASKS["function"].make(function="digits")
    with pytest.raises(TaskError, match="there is no module no_such_module_here"):
        TASKS["function"].make(function="no_such_module_here:data")


def test_tensor_datasets_keep_their_order():
    dataset = TensorDataset(torch.arange(6.0)[:, None], torch.arange(6) % 2)
    from trainer.tasks.own_function import _stacked

    inputs, targets = _stacked(dataset, "here")
    assert inputs[:, 0].tolist() == list(range(6)) and targets.tolist() == [0, 1] * 3


def test_rows_of_several_whole_numbers_are_no_classes():
    with pytest.raises(TaskError, match=r"a\.npz: y: found int64 \[20, 2\], allowed: one class an example"):
        given(targets=np.stack([CLASSES, CLASSES], 1), problem="multi-class")


@pytest.mark.parametrize("fraction", [0.05, 0.9])
def test_every_class_is_in_both_splits_however_uneven_they_are(fraction):
    task = given(X[:6], np.array([0, 0, 1, 1, 2, 2]), validation_fraction=fraction)
    for split in (task.train, task.validation):
        assert split.targets.tolist() == [0, 1, 2]
