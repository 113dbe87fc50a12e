"""Metrics as curves: splits, gaps, and what is not finite."""

from __future__ import annotations

import math

import numpy as np

from app.series import metrics
from app.series.pace import pace
from app.series.runs import line


def test_training_comes_first_and_what_babysit_logs_itself_is_no_metric(make_run) -> None:
    maker = make_run()
    for name in (
        "val/loss",
        "optimizer/lr",
        "train/accuracy",
        "system/step_time",
        "data/output_std",
        "train/loss",
        "train/perplexity",
    ):
        maker.scalars(name, [1.0, 2.0])
    run = maker.open()
    assert list(metrics.metric_groups(run.series_names).items()) == [
        ("loss", ["train", "val"]),
        ("accuracy", ["train"]),
        ("perplexity", ["train"]),
    ]


def test_where_nothing_is_called_loss_the_losses_by_name_lead() -> None:
    names = ["train/accuracy", "train/discriminator_loss", "train/generator_loss", "train/lossless_ratio"]
    groups = metrics.metric_groups(names)
    assert list(groups) == ["discriminator_loss", "generator_loss", "accuracy", "lossless_ratio"]
    assert metrics.leading_metric(groups) == "discriminator_loss"
    with_loss = metrics.metric_groups([*names, "train/loss"])
    assert list(with_loss)[:2] == ["loss", "accuracy"] and metrics.leading_metric(with_loss) == "loss"
    assert metrics.leading_metric({}) == "loss"


def test_a_run_without_a_loss_shows_none_in_the_table(make_run) -> None:
    assert line(make_run().scalars("train/generator_loss", [1.0, 2.0]).open()).last_loss is None
    assert math.isnan(line(make_run().scalars("train/loss", [1.0, math.nan]).open()).last_loss or 0.0)


def test_a_curve_keeps_nan_and_inf_and_tells_the_newest_value_as_it_is(make_run) -> None:
    run = make_run().scalars("train/loss", [3.0, math.nan, math.inf, 1.0, math.nan]).open()
    (one,) = metrics.curves(run, "loss", smoothing=0.0)
    np.testing.assert_array_equal(one.steps, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(one.values, [3.0, math.nan, math.inf, 1.0, math.nan])
    assert one.marks.kinds == ("NaN", "+Inf", "NaN")
    assert math.isnan(one.newest) and one.last_step == 5


def test_the_gap_lies_between_validation_and_the_training_trend_where_both_are_known(make_run) -> None:
    run = (
        make_run()
        .scalars("train/loss", [4.0, 3.0, 2.0, 1.0])
        .scalars("val/loss", [5.0, math.nan, 2.5, 9.0], steps=[1, 2, 3, 8])
        .open()
    )
    train, validation = metrics.curves(run, "loss", smoothing=0.0)
    steps, low, high = metrics.gap(train, validation)
    np.testing.assert_array_equal(steps, [1, 3])  # step 2 is NaN, step 8 is beyond the training curve
    np.testing.assert_array_equal(low, [4.0, 2.0])
    np.testing.assert_array_equal(high, [5.0, 2.5])


def test_validation_is_not_smoothed(make_run) -> None:
    run = make_run().scalars("val/loss", [1.0, 9.0, 1.0, 9.0]).open()
    (one,) = metrics.curves(run, "loss", smoothing=0.5)
    np.testing.assert_array_equal(one.trend, [1.0, 9.0, 1.0, 9.0])


def test_the_pace_is_steps_over_time_and_its_shares_are_parts_of_that_time(make_run) -> None:
    run = (
        make_run()
        .scalars("system/step_time", [0.1] * 100)
        .scalars("system/data_wait", [0.02] * 100)
        .scalars("system/probe_time", [0.05] + [0.0] * 99)
        .open()
    )
    found = pace(run)
    assert found is not None
    np.testing.assert_allclose(found.per_second, 10.0)
    np.testing.assert_allclose(found.data_wait, 0.2)
    np.testing.assert_allclose(found.probes, [0.05] + [0.0] * 9)
    assert pace(make_run("other").scalars("train/loss", [1.0]).open()) is None
