"""A resumed run continues in its directory; what was rolled back to a checkpoint is hidden, not deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from probes.errors import RunDirectoryError
from probes.runlog import RunWriter, open_run


def test_rolled_back_steps_are_superseded(finished_run: Path, record: Callable) -> None:
    """40 steps, resumed from the checkpoint at 22, on to 30: everywhere 1..22 of old and 23..30 of new."""
    reader = open_run(finished_run)
    assert reader.last_step == 40
    size = sum(path.stat().st_size for path in finished_run.glob("*.arrows"))
    writer = RunWriter(finished_run, {"name": "again"}, start_step=22)
    reader.refresh()
    assert reader.last_step == 22
    assert reader.series("val/loss").steps.tolist() == [5, 10, 15, 20]
    for step in range(23, 31):
        writer.scalars(step, 100.0 + step, {"train/loss": -float(step)})
    record(writer, 35, 35)
    writer.close()
    reader.refresh()
    for run in (reader, open_run(finished_run)):
        loss = run.series("train/loss")
        assert loss.steps.tolist() == [*range(1, 31), 35]
        assert loss.values[:22].tolist() == [step / 2 for step in range(1, 23)]
        assert loss.values[22:30].tolist() == [-float(step) for step in range(23, 31)]
        for steps in (
            run.layer_series("grad_norm").steps,
            run.histograms("weight", "p1").steps,
            run.filters().steps,
            run.series("val/loss").steps,
        ):
            assert steps.tolist() == [5, 10, 15, 20, 35]
        assert run.filters(40).step == 35
        assert run.histograms_at("weight", 34).step == 35
        assert run.histograms_at("weight", 21).counts.tolist() == [[20, 21, 22, 23], [24, 25, 26, 27]]
        (event,) = run.events
        assert (event.kind, event.step) == ("resumed", 22)
        assert event.data == {"start_step": 22, "last_step": 40, "session": 1}
        assert run.name == "again"
        assert [session["start_step"] for session in run.manifest["sessions"]] == [0, 22]
        assert run.problems == []
    assert sum(path.stat().st_size for path in finished_run.glob("*.arrows")) > size


def test_the_created_time_survives(finished_run: Path) -> None:
    created = open_run(finished_run).manifest["created"]
    RunWriter(finished_run, {"created": 1.0}).close()
    assert open_run(finished_run).manifest["created"] == created


def test_without_a_start_step_it_goes_on_from_the_last_one(finished_run: Path, record: Callable) -> None:
    assert RunWriter.last_step(finished_run) == 40
    writer = RunWriter(finished_run, {})
    assert (writer.start_step, writer.session) == (40, 1)
    record(writer, 41, 45)
    writer.close()
    assert open_run(finished_run).series("train/loss").steps.tolist() == list(range(1, 46))


def test_the_last_step_is_one_that_stands(finished_run: Path) -> None:
    """A session that resumed from 22 and recorded nothing leaves 22 as the last step, not 40."""
    RunWriter(finished_run, {}, start_step=22).close("crashed")
    assert RunWriter.last_step(finished_run) == 22
    assert open_run(finished_run).last_step == 22
    RunWriter(finished_run, {}, start_step=10).close("crashed")
    RunWriter(finished_run, {}, start_step=12).close("crashed")
    assert open_run(finished_run).series("train/loss").steps.tolist() == list(range(1, 11))
    assert RunWriter.last_step(finished_run) == open_run(finished_run).last_step == 10


def test_last_step_of_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "file"):
        assert RunWriter.last_step(path) is None


def test_a_run_of_a_newer_format_is_left_alone(finished_run: Path) -> None:
    manifest = finished_run / "run.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"version": 1', b'"version": 2'))
    before = {path.name: path.read_bytes() for path in finished_run.iterdir()}
    for attempt in (lambda: RunWriter(finished_run, {}), lambda: open_run(finished_run)):
        with pytest.raises(RunDirectoryError, match="format version 2, this babysit reads up to 1"):
            attempt()
    assert {path.name: path.read_bytes() for path in finished_run.iterdir()} == before


def test_what_a_killed_writer_was_preparing_is_cleaned_up(finished_run: Path) -> None:
    (finished_run / "scalars-r0-00000.arrows.partial").write_bytes(b"half")
    assert open_run(finished_run).problems == []
    RunWriter(finished_run, {}).close()
    assert list(finished_run.glob("*.partial")) == []
