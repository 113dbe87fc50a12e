"""The pages: one module each, with `render(page)`. `VIEWS` is (title, url path, label, render), in menu order."""

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
