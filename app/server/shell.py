"""Streamlit's HTML document, with what this page needs to know before Streamlit's own script starts.

Two things are written into its head:

- where the server is. Streamlit would find out by asking: on `/layers` it first tries `/layers/_stcore/health`, gets a
  404 and puts an error into the console.
- the charting library, so that it loads while the page is still being put together.

The address of the first view is the page's root; its own name leads there, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD = b"<head>"
# A change of ours would not show while the browser is told that Streamlit's file is still the same. And a compressed
# document could not be written into.
_NOT_PASSED_ON = (b"if-none-match", b"if-modified-since", b"accept-encoding", b"range")


def head(library: str) -> bytes:
    """What goes into the document's head. `library` is the charting library's address, relative to the page's base."""
    # "./" is the base on every view (their addresses have one part), also behind a proxy that serves below a prefix.
    base = 'window.__streamlit = { BACKEND_BASE_URL: new URL("./", location.origin + location.pathname).href };'
    src = json.dumps(f"./{library}")
    return f"<script>{base}</script><script async data-babysit-plotly src={src}></script>".encode()


class PageShell:
    """ASGI middleware: adds `addition` to the head of HTML documents, and leads `/<home>` to the root.

    Args:
        home: path of the first view, without slashes.
    """

    def __init__(self, app: ASGIApp, addition: bytes, home: str) -> None:
        self._app = app
        self._addition = addition
        self._home = f"/{home}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        elif scope["path"] == self._home:
            query = scope["query_string"].decode("latin-1")
            await RedirectResponse(f"./?{query}" if query else "./", status_code=307)(scope, receive, send)
        elif "text/html" in Headers(scope=scope).get("accept", ""):
            passed = [(name, value) for name, value in scope["headers"] if name not in _NOT_PASSED_ON]
            await self._app({**scope, "headers": passed}, receive, _Writer(send, self._addition))
        else:
            await self._app(scope, receive, send)


class _Writer:
    """Passes a response on; an HTML one with `addition` in its head."""

    def __init__(self, send: Send, addition: bytes) -> None:
        self._send = send
        self._addition = addition
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message["headers"]):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start, b"".join(self._parts))

    async def _finish(self, start: Message, document: bytes) -> None:
        written = document.replace(_HEAD, _HEAD + self._addition, 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        for name in ("etag", "last-modified"):
            if name in headers:
                del headers[name]
        if document:  # else the answer to HEAD, whose length is that of what GET gets
            headers["content-length"] = str(len(written))
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": written})


def _is_html(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return Headers(raw=list(headers)).get("content-type", "").startswith("text/html")
