"""The HTML document around a report's sections: everything inlined, nothing fetched.

A content security policy lets run only the two scripts whose hashes it names, and forbids every request: even a name
that got through the escaping could neither run nor call home.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from app.markup import CSS, text
from app.report.figures import Drawing
from app.theme import DARK, FONT, LIGHT, Theme

# Draws each chart in the page's colours, and again when these change, or the width does.
_SCRIPT = """
"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
function draw() {
  for (const place of document.querySelectorAll(".chart")) {
    const figures = JSON.parse(place.parentElement.querySelector("script").textContent);
    const figure = figures[dark.matches ? "dark" : "light"];
    Plotly.react(place, figure.data, figure.layout, options);
  }
}
dark.addEventListener("change", draw);
draw();
"""

_PAGE_CSS = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 82rem; padding: 1.4rem 1.6rem 3rem; line-height: 1.45; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.6rem; }
a { color: inherit; }
.about { opacity: 0.8; font-size: 0.88rem; margin: 0.5rem 0 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 0.8rem 1.2rem; }
.charts figure { margin: 0; min-width: 0; }
.finding { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.8rem 1.2rem; margin-bottom: 0.9rem; }
.finding:has(.charts) { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); align-items: start; }
.pictures { margin-top: 1rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 0 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
td, th { text-align: left; vertical-align: top; padding: 0.2rem 0.8rem 0.2rem 0; overflow-wrap: anywhere;
  border-bottom: 1px solid color-mix(in srgb, currentColor 10%, transparent); }
th { font-weight: 600; width: 13rem; }
summary { cursor: pointer; }
@media (max-width: 62rem) { .finding:has(.charts) { grid-template-columns: minmax(0, 1fr); } }
@media print { .charts figure, .bs-card { break-inside: avoid; } }
"""


@cache
def plotly_js() -> str:
    """plotly.js as the installed `plotly` carries it, safe inside a script element."""
    found = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return found.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def document(title: str, sections: Sequence[str]) -> str:
    """The whole page. `sections` are markup, `title` is plain text."""
    scripts = (plotly_js(), _SCRIPT)
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{text(title)}</title>\n<style>{_colours()}{_PAGE_CSS}{CSS}</style>\n</head>\n",
            '<body class="bs"><main>\n',
            "\n".join(sections),
            "\n</main>\n",
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def section(heading: str, body: str) -> str:
    """A part of the page; nothing when there is nothing in it."""
    return f"<section><h2>{text(heading)}</h2>{body}</section>" if body else ""


def charts(drawings: Sequence[Drawing]) -> str:
    """Charts side by side as far as the width allows, each with its sentence for those who cannot see it."""
    return f'<div class="charts">{"".join(map(_chart, drawings))}</div>' if drawings else ""


def table(caption: str, rows: Sequence[tuple[str, str]]) -> str:
    """Two columns of plain text; nothing without rows."""
    if not rows:
        return ""
    lines = "".join(f'<tr><th scope="row">{text(key)}</th><td>{text(value)}</td></tr>' for key, value in rows)
    return f"<div><h2>{text(caption)}</h2><table>{lines}</table></div>"


def folded(summary: str, body: str) -> str:
    """Something to open on demand."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def _chart(drawing: Drawing) -> str:
    # "<" cannot end a script element when there is none: JSON strings may spell it \\u003c.
    data = b'{"light":' + drawing.light + b',"dark":' + drawing.dark + b"}"
    inert = data.decode("utf-8").replace("<", "\\u003c")
    return (
        f'<figure aria-label="{text(drawing.summary)}"><div class="chart" style="height:{drawing.height}px"></div>'
        f'<noscript>{text(drawing.summary)}</noscript><script type="application/json">{inert}</script></figure>'
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _colours() -> str:
    def body(one: Theme) -> str:
        return f"body {{ background: {one.background}; color: {one.text}; }}"

    return f"body {{ font-family: {FONT}; }}\n{body(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {body(DARK)} }}\n"
