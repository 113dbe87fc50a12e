"""The published criteria, each on made series on which it is known to fire and on ones on which it is known not to."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.diagnosis.baselines import BASELINES
from probes.diagnosis import RULES
from probes.diagnosis.view import RunView

STEPS = np.arange(1, 201)
ENDS = np.arange(20, 201, 20)
FRAMES = np.array([1, 5, 10, 50, 100, 200])
FALLING = 2.0 * 0.99**STEPS  # 1% a step: 9.6% in ten
GOOD = np.linspace(0.5, 0.9, 10)


def manifest(*, loss="CrossEntropyLoss", last=None, lr=0.005, counts=(50,) * 10, between="relu", image=False):
    modules = [("a", "Linear", None), ("r", "ReLU", between), ("b", "Linear", None), ("s", "Softmax", last)]
    return {
        "model": {
            "parameters": [
                {"name": f"{m}.weight", "module": m, "shape": [100, 100], "trainable": True} for m in ("a", "b")
            ],
            "modules": [
                {"name": n, "type": t, "activation": a, "output_shape": [8, 10]}
                for n, t, a in modules
                if (n != "s" or last) and (n != "r" or between)
            ],
            "input_shape": [1, 8, 8] if image else [64],
        },
        "optimizers": [{"class": "SGD", "groups": [{"lr": lr, "parameters": ["a.weight", "b.weight"]}]}],
        "loss": {"class": loss, "reduction": "mean"},
        "data": {"label_counts": list(counts)},
    }


def flags(tool, *, train=FALLING, val=None, accuracy=None, val_accuracy=None, layers=None, series=None, **described):
    """What ``tool`` reports of a run that is healthy but for what is given."""
    everything = {"train/loss": (STEPS, train), "val/loss": (ENDS, FALLING[ENDS - 1] if val is None else val)}
    if accuracy is not None:
        everything["train/accuracy"] = (ENDS, accuracy)
    if val_accuracy is not None:
        everything["val/accuracy"] = (ENDS, val_accuracy)
    both = ["a.weight", "b.weight"]
    n = len(FRAMES)
    usual = {
        "grad_norm": (both, np.ones((n, 2))),
        "grad_std": (both, np.full((n, 2), 0.01)),
        "grad_mean": (both, 1e-3 * np.arange(1, 2 * n + 1).reshape(n, 2)),
        "weight_mean": (both, 1e-3 * np.arange(1, 2 * n + 1).reshape(n, 2)),
        "weight_std": (both, np.tile([0.1, 0.2], (n, 1))),
        "update_ratio": (both, np.full((n, 2), 1e-3)),
        "grad_zero_fraction": (both, np.zeros((n, 2))),
        "zero_fraction": (["a", "r", "b"], np.tile([0.0, 0.5, 0.0], (n, 1))),
        "dead_fraction": (["r"], np.zeros((n, 1))),
        "input_mean": (["0"], np.zeros((n, 1))),
        "input_min": (["0"], np.full((n, 1), -1.0)),
        "input_max": (["0"], np.full((n, 1), 1.0)),
        "grad_nonfinite": (both, np.zeros((n, 2))),
    }
    tables = {kind: (names, FRAMES, values) for kind, (names, values) in (usual | (layers or {})).items()}
    view = RunView.of_arrays(everything | (series or {}), tables, manifest=manifest(**described))
    with np.errstate(all="ignore"):
        return BASELINES[tool](view)


def said(tool, **run):
    return {flag.term for flag in flags(tool, **run)}


def table(kind, values, names=("a.weight", "b.weight")):
    return {"layers": {kind: (list(names), np.tile(values, (len(FRAMES), 1)))}}


@pytest.mark.parametrize("tool", ["SageMaker Debugger", "AutoTrainer", "DeepDiagnosis", "UMLAUT"])
def test_nothing_is_said_of_a_smooth_run(tool):
    assert said(tool, accuracy=GOOD, val_accuracy=GOOD - 0.05) == set()


def jump(at, factor):
    return np.where(at == STEPS, FALLING * factor, FALLING)


SAGEMAKER = [
    ("VanishingGradient", table("grad_norm", [1e-5 / 0.8 * 0.99, 1.0])),  # 10,000 elements: mean |g| just below 1e-7
    ("ExplodingTensor", table("grad_nonfinite", [1, 0])),
    ("ExplodingTensor", {"train": np.where(STEPS > 150, np.nan, FALLING)}),
    ("WeightUpdateRatio (large)", table("update_ratio", [10.1, 1e-3])),
    ("WeightUpdateRatio (small)", table("update_ratio", [0.9e-8, 1e-3])),
    ("PoorWeightInitialization", table("weight_std", [0.1, 0.1 * 10.1**0.5])),  # variances 10.1 times apart
    ("PoorWeightInitialization", table("grad_std", [0.9e-3 / 3.29, 0.01])),
    ("DeadRelu", table("dead_fraction", [0.51], ["r"])),
    ("LossNotDecreasing", {"train": np.maximum(FALLING, 1.0)}),
    ("LossNotDecreasing", {"train": jump(11, 1.2)}),
    ("Overfit", {"val": FALLING[ENDS - 1] * 1.5}),
    ("Overtraining", {"train": np.full(200, 0.5), "val": np.full(10, 0.5)}),
    ("ClassImbalance", {"counts": (991, 99)}),
    ("CheckInputImages", table("input_mean", [0.21], ["0"]) | {"image": True}),
]
SAGEMAKER_QUIET = [
    ("VanishingGradient", table("grad_norm", [1e-5 / 0.8 * 1.01, 1.0])),
    ("WeightUpdateRatio (large)", table("update_ratio", [9.9, 1e-3])),
    ("WeightUpdateRatio (small)", table("update_ratio", [1.1e-8, 1e-3])),
    ("PoorWeightInitialization", table("weight_std", [0.1, 0.1 * 9.9**0.5])),
    ("DeadRelu", table("dead_fraction", [0.5], ["r"])),
    ("LossNotDecreasing", {"train": jump(12, 1.2)}),  # between two looks
    ("Overfit", {"val": np.concatenate([FALLING[ENDS[:9] - 1], [9.0]])}),  # once is within the patience
    ("ClassImbalance", {"counts": (989, 99)}),
    ("ClassImbalance", {"counts": (400, 1)}),  # too few labels
    ("CheckInputImages", table("input_mean", [5.0], ["0"])),  # no images
]
BAD = np.full(10, 0.3)
WELL = np.linspace(0.75, 0.9, 10)
AUTOTRAINER = [
    ("gradient explosion", {"train": np.where(STEPS > 150, np.inf, FALLING)}),
    ("gradient explosion", {"val": np.full(10, 1.1e5)}),
    ("gradient explosion", table("grad_norm", [71.0, 1.0]) | {"accuracy": BAD, "val_accuracy": BAD}),
    ("gradient vanishing", table("grad_norm", [0.9e-4, 0.1]) | {"accuracy": BAD, "val_accuracy": BAD}),
    ("dying ReLU", table("grad_zero_fraction", [0.7, 0.7]) | {"accuracy": BAD, "val_accuracy": BAD}),
    ("slow convergence", {"accuracy": BAD, "val_accuracy": BAD}),
    ("oscillating loss", {"accuracy": [0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9, 0.8, 0.9], "val_accuracy": GOOD}),
]
AUTOTRAINER_QUIET = [
    ("gradient explosion", table("grad_norm", [71.0, 1.0]) | {"accuracy": WELL, "val_accuracy": WELL}),  # it converges
    ("gradient vanishing", table("grad_norm", [1.1e-4, 0.2]) | {"accuracy": BAD, "val_accuracy": BAD}),
    ("dying ReLU", table("grad_zero_fraction", [0.69, 0.69]) | {"accuracy": BAD, "val_accuracy": BAD}),
    ("oscillating loss", {"accuracy": 0.9 + 0.01 * (-1.0) ** np.arange(10), "val_accuracy": GOOD}),
    ("slow convergence", {}),  # no accuracy was logged
]
MSE = {"loss": "MSELoss"}


def outputs(low, high, target_low, target_high):
    ends = {"output_min": low, "output_max": high, "target_min": target_low, "target_max": target_high}
    return {"series": {f"data/{name}": ([1], [value]) for name, value in ends.items()}} | MSE


DEEPDIAGNOSIS = [
    ("Out of Range", {"last": "softmax"}),
    ("Out of Range", outputs(-6, 5, 0, 1)),
    ("Out of Range", outputs(0, 1, -0.1, 1) | {"last": "sigmoid"}),
    ("Exploding Tensor", table("grad_nonfinite", [1, 0])),
    ("Dead Node", table("zero_fraction", [0.0, 0.7, 0.0], ["a", "r", "b"])),
    ("Saturated Activation", table("saturated_fraction", [0.51], ["t"])),
    ("Loss Not Decreasing / Accuracy Not Increasing", {"train": np.full(200, 2.3)}),
    ("Unchanged Weight", table("weight_mean", [0.1, 0.1])),
    ("Vanishing Gradient", table("grad_norm", [1e-5 / 0.8 * 0.99, 1.0])),
]
DEEPDIAGNOSIS_QUIET = [
    ("Out of Range", outputs(-4, 5, 0, 1)),
    ("Out of Range", outputs(0, 1, 0, 1) | {"last": "sigmoid"}),
    ("Dead Node", table("zero_fraction", [0.9, 0.69, 0.9], ["a", "r", "b"])),  # rectifiers only
    ("Saturated Activation", table("saturated_fraction", [0.5], ["t"])),
    ("Vanishing Gradient", table("grad_norm", [1e-5 / 0.8 * 1.01, 1.0])),
]
UMLAUT = [
    ("Input Not Normalized", table("input_max", [1.1], ["0"])),
    ("Input Not Normalized", table("input_min", [-1.1], ["0"])),
    ("NaN In Loss", {"train": np.where(STEPS > 150, np.nan, FALLING)}),
    ("Missing Softmax Before Loss", {"last": "softmax"}),
    ("Learning Rate High", {"lr": 0.011}),
    ("Learning Rate Low", {"lr": 0.9e-7}),
    ("Possible Overfitting", {"val": np.concatenate([FALLING[ENDS[:9] - 1], [9.0]])}),
    ("Overconfident Validation Accuracy", {"accuracy": GOOD + 0.09, "val_accuracy": GOOD + 0.06}),
    ("Overconfident Validation Accuracy", {"accuracy": GOOD, "val_accuracy": GOOD + 0.01}),
    ("Missing Activation Functions", {"between": None}),
]
UMLAUT_QUIET = [
    ("Learning Rate High", {"lr": 0.01}),
    ("Learning Rate Low", {"lr": 1e-7}),
    ("Missing Softmax Before Loss", {"last": "softmax", "loss": "MSELoss"}),
    # the first three epochs are left out
    ("Overconfident Validation Accuracy", {"accuracy": GOOD, "val_accuracy": np.where(np.arange(10) < 3, 0.94, 0.4)}),
]


@pytest.mark.parametrize(("term", "run"), SAGEMAKER)
def test_sagemaker_fires(term, run):
    assert term in said("SageMaker Debugger", **run)


@pytest.mark.parametrize(("term", "run"), SAGEMAKER_QUIET)
def test_sagemaker_stays_quiet(term, run):
    assert term not in said("SageMaker Debugger", **run)


@pytest.mark.parametrize(("term", "run"), AUTOTRAINER)
def test_autotrainer_fires(term, run):
    assert said("AutoTrainer", **run) == {term}


@pytest.mark.parametrize(("term", "run"), AUTOTRAINER_QUIET)
def test_autotrainer_stays_quiet(term, run):
    assert term not in said("AutoTrainer", **run)


@pytest.mark.parametrize(("term", "run"), DEEPDIAGNOSIS)
def test_deepdiagnosis_fires(term, run):
    assert term in said("DeepDiagnosis", **run)


@pytest.mark.parametrize(("term", "run"), DEEPDIAGNOSIS_QUIET)
def test_deepdiagnosis_stays_quiet(term, run):
    assert term not in said("DeepDiagnosis", **run)


@pytest.mark.parametrize(("term", "run"), UMLAUT)
def test_umlaut_fires(term, run):
    assert term in said("UMLAUT", **run)


@pytest.mark.parametrize(("term", "run"), UMLAUT_QUIET)
def test_umlaut_stays_quiet(term, run):
    assert term not in said("UMLAUT", **run)


@pytest.mark.parametrize(
    ("tool", "runs"),
    [
        ("SageMaker Debugger", SAGEMAKER),
        ("AutoTrainer", AUTOTRAINER),
        ("DeepDiagnosis", DEEPDIAGNOSIS),
        ("UMLAUT", UMLAUT),
    ],
)
def test_every_term_is_mapped_to_rules_of_the_catalogue(tool, runs):
    for _term, run in runs:
        for flag in flags(tool, **run):
            assert flag.slugs
            assert set(flag.slugs) <= set(RULES)
