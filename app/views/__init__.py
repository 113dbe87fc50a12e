"""The pages: one module each, with `render(page)`. `VIEWS` is (title, url path, label, render), in menu order."""

from __future__ import annotations

from app.views import compare, diagnosis, distributions, filters, layers, live, runs, sanity

VIEWS = (
    ("Live", "live", "Live", live.render),
    ("Layers", "layers", "Layers", layers.render),
    ("Distributions", "distributions", "Distributions", distributions.render),
    ("Filters", "filters", "Filters", filters.render),
    ("Diagnosis", "diagnosis", "Diagnosis", diagnosis.render),
    ("Sanity", "sanity", "Sanity", sanity.render),
    ("Runs", "runs", "Runs", runs.render),
    ("Compare", "compare", "Compare", compare.render),
)


def home(gallery: bool) -> str:
    """The url path of the view that stands at the page's root: how the newest run is doing, or the runs to browse."""
    return "runs" if gallery else VIEWS[0][1]
