"""The pages: one module each, with `render(page)`. `VIEWS` is (title, url path, label, render), in menu order."""

from app.views import live

VIEWS = (
    ("Live", "live", "Live", live.render),
)
