"""Who gets an answer from the server: only requests that name it, over real sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from app.server.guard import HostGuard, allowed_hosts

PATHS = ["/", "/layers", "/_stcore/health", "/_stcore/host-config", "/_babysit/assets/x", "/_babysit/live", "/live"]
SOCKETS = ["/_babysit/live", "/_stcore/stream"]
REBOUND = "evil.example"  # after DNS rebinding the browser sends the other site's name to this address


def answer(port: int, path: str, *headers: str) -> tuple[int, str]:
    """Status and body of a GET with exactly these headers."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode("utf-8", "replace")


def handshake(port: int, path: str, *headers: str) -> int:
    """The status of a WebSocket handshake: 101 when it is let in."""
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", *headers, *upgrade, key, "", ""]).encode())
        return int(connection.recv(65536).split()[1])


@pytest.mark.parametrize("path", PATHS)
def test_another_host_name_is_refused_on_every_route(shared: Any, path: str) -> None:
    status, body = answer(shared.port, path, f"Host: {REBOUND}:{shared.port}")
    assert status == 403
    assert "host name" in body


@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_another_site_is_refused_on_every_route(shared: Any, path: str) -> None:
    own = f"Host: 127.0.0.1:{shared.port}"
    for origin in (f"http://{REBOUND}", "null", f"http://127.0.0.1:{shared.port + 1}", "http://[", "https://a@b"):
        assert answer(shared.port, path, own, f"Origin: {origin}")[0] == 403, origin


@pytest.mark.parametrize("path", SOCKETS)
def test_web_sockets_are_guarded_alike(shared: Any, path: str) -> None:
    own = f"127.0.0.1:{shared.port}"
    assert handshake(shared.port, path, f"Host: {own}", f"Origin: http://{own}") == 101
    assert handshake(shared.port, path, f"Host: {own}", f"Origin: http://{REBOUND}") == 403
    assert handshake(shared.port, path, f"Host: {REBOUND}", f"Origin: http://{REBOUND}") == 403


def test_the_servers_own_names_are_answered(shared: Any) -> None:
    for name in (f"127.0.0.1:{shared.port}", f"localhost:{shared.port}", f"LOCALHOST:{shared.port}", "[::1]:80"):
        assert answer(shared.port, "/_stcore/health", f"Host: {name}")[0] == 200, name
        assert answer(shared.port, "/_stcore/health", f"Host: {name}", f"Origin: http://{name}")[0] == 200, name


@pytest.mark.parametrize(
    "host", [None, "", "evil", "127.0.0.1@evil", "127.0.0.1/evil", "127.0.0.1:x", "127.0.0.1.evil", "[::1", "a, b"]
)
def test_what_is_no_name_of_the_server_is_refused(host: str | None) -> None:
    guard = HostGuard(lambda *_: None, allowed_hosts("127.0.0.1"))
    assert guard.refusal(host, None)


def test_a_host_given_twice_is_refused(shared: Any) -> None:
    twice = (f"Host: 127.0.0.1:{shared.port}", f"Host: {REBOUND}")
    assert answer(shared.port, "/_stcore/health", *twice)[0] in (400, 403)
    assert answer(shared.port, "/_stcore/health", *reversed(twice))[0] in (400, 403)


def test_a_bound_address_and_allowed_names_are_names_of_the_server() -> None:
    assert "10.1.2.3" in allowed_hosts("10.1.2.3")
    assert "box.example" in allowed_hosts("127.0.0.1", ["Box.Example"])
    assert socket.gethostname().lower() in allowed_hosts("0.0.0.0")
    assert "0.0.0.0" not in allowed_hosts("0.0.0.0")
