"""The scripts the page loads: plotly.js as the installed `plotly` package carries it, and the chart component's own.

Their paths carry a hash of the content, so that a browser may keep them for ever. Nothing is fetched from outside.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PREFIX = "/_babysit/assets"

_SCRIPTS = Path(__file__).resolve().parent.parent / "component" / "frontend"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file: the path it is served under, below `PREFIX`, and its bytes."""

    path: str
    content: bytes

    @property
    def url(self) -> str:
        """Relative to the page's base, so that a proxy may serve the page below a prefix."""
        return f"{PREFIX}/{self.path}".lstrip("/")


@cache
def plotly_js() -> Asset:
    """plotly.js, as carried by the installed `plotly`."""
    content = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return Asset(f"{_version(content)}/plotly.min.js", content)


@cache
def scripts() -> dict[str, Asset]:
    """The component's modules by name. They import each other by relative path, so all share one version."""
    contents = {path.name: path.read_bytes() for path in sorted(_SCRIPTS.glob("*.js"))}
    version = _version(b"".join(name.encode() + content for name, content in contents.items()))
    return {name: Asset(f"{version}/{name}", content) for name, content in contents.items()}


def _version(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


@cache
def _by_path() -> dict[str, Asset]:
    return {asset.path: asset for asset in (plotly_js(), *scripts().values())}


_compressing = threading.Lock()


@cache
def _compressed(asset: Asset) -> bytes:
    return gzip.compress(asset.content, compresslevel=6, mtime=0)


def compress(asset: Asset) -> bytes:
    """The file's bytes, gzipped; done once (0.3 s for plotly.js)."""
    with _compressing:
        return _compressed(asset)


def serve_asset(request: Request) -> Response:
    """Answers `/_babysit/assets/<version>/<name>`."""
    asset = _by_path().get(request.path_params["path"])
    if asset is None:
        return PlainTextResponse("There is no such file; reload the page.", status_code=404)
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    content = asset.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = compress(asset)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="text/javascript", headers=headers)


route = Route(f"{PREFIX}/{{path:path}}", serve_asset)
