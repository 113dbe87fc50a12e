"""Lets in only requests that name this server: the defence of a local server against pages of other sites.

A web page anywhere can make the browser of whoever reads it call `http://127.0.0.1:8501`. Such a request carries the
other site's Origin, or, after DNS rebinding, its host name in Host. Both are refused, for every route.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def allowed_hosts(address: str, extra: Collection[str] = ()) -> list[str]:
    """The host names under which a server bound to `address` may be addressed, sorted."""
    names = {*LOOPBACK, *extra}
    try:
        wildcard = ipaddress.ip_address(address).is_unspecified
    except ValueError:
        wildcard = False
    if wildcard:
        names |= {socket.gethostname(), socket.getfqdn()}
        names |= {str(info[4][0]) for info in _addresses(socket.gethostname())}
    else:
        names.add(address)
    return sorted(name.lower() for name in names)


def _addresses(name: str) -> list[tuple]:
    try:
        return socket.getaddrinfo(name, None)
    except OSError:
        return []


class HostGuard:
    """ASGI middleware: 403 unless Host is one of `hosts` and Origin, when there is one, is this very host."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self.refusal(_header(scope, b"host"), _header(scope, b"origin"))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            # Closing before accepting is answered with HTTP 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send)

    def refusal(self, host: str | None, origin: str | None) -> str | None:
        """Why a request with these headers is refused, None when it is not."""
        name = _host_name(host)
        if name is None or name not in self._hosts:
            return f"This server does not answer to the host name {host!r}."
        if origin is not None and _netloc(origin) != (host or "").lower():
            return f"Requests from {origin!r} are not answered."
        return None


def _header(scope: Scope, wanted: bytes) -> str | None:
    # Given twice, it is compared as a whole, and so refused: another reader may take the other one.
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return ", ".join(values) if values else None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_name(host: str | None) -> str | None:
    if not host or "@" in host or "/" in host:
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None
