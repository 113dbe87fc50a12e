"""A person's note on a run, whatever the file holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.notes import MAX_LETTERS, note


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"# The run\n\nTwo lines\nof a note.\n\nMore.\n", "Two lines of a note."),
        (b"# The run\r\n\r\nFrom Windows.\r\n", "From Windows."),
        (b"# Only\n\n## headings", ""),
        (b"", ""),
        (b"\xff odd", "\ufffd odd"),
    ],
)
def test_the_first_paragraph(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(content)
    assert note(tmp_path) == expected


def test_a_long_one_is_cut_and_what_is_no_file_is_none(tmp_path: Path) -> None:
    assert note(tmp_path) == note(tmp_path / "nowhere") == ""
    (tmp_path / "README.md").write_text("word " * 40_000)
    assert len(note(tmp_path)) == MAX_LETTERS and note(tmp_path).endswith("…")
    (tmp_path / "README.md").unlink()
    os.mkfifo(tmp_path / "README.md")  # nobody writes to it: reading would wait for ever
    assert note(tmp_path) == ""
