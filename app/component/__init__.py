"""What a view puts on the page so that it stays live: `live_chart` and `live_version`."""

from app.component.live import live_chart, live_version

__all__ = ["live_chart", "live_version"]
