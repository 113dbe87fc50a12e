"""`babysit report`: one HTML file about a run that needs nothing but a browser."""

from app.report.page import page

__all__ = ["page"]
