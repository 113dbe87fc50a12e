"""What a person wrote about a run: the first paragraph of the README.md in its directory. No Streamlit."""

from __future__ import annotations

from pathlib import Path

NAME = "README.md"
MAX_BYTES, MAX_LETTERS = 65_536, 600


def note(directory: Path) -> str:
    """The first paragraph that is no heading, on one line; "" where there is none, or it cannot be read.

    Longer ones than `MAX_LETTERS` are cut.
    """
    path = directory / NAME
    try:
        if not path.is_file():  # a pipe of that name would never end
            return ""
        with open(path, "rb") as file:
            words = file.read(MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    paragraphs = (" ".join(part.split()) for part in words.replace("\r\n", "\n").split("\n\n"))
    said = next((paragraph for paragraph in paragraphs if paragraph and not paragraph.startswith("#")), "")
    return said if len(said) <= MAX_LETTERS else f"{said[: MAX_LETTERS - 1]}…"
