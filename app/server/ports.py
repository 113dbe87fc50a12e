"""A port that can be bound, found before anything is started."""

from __future__ import annotations

import errno
import os
import socket

from app.server.settings import DEFAULT_PORT, PORTS_TRIED
from probes.errors import BabysitError, InvalidArgumentError


class PortInUseError(BabysitError):
    """The port asked for cannot be had."""


def choose_port(host: str, port: int | None) -> int:
    """`port` when it is free (0 stays 0: any free one); for None the first free one from 8501 on.

    Raises:
        PortInUseError: it is not free, or none was.
        InvalidArgumentError: `port` is no port number, or `host` no address of this machine.
    """
    if port is None:
        last = DEFAULT_PORT + PORTS_TRIED - 1
        for candidate in range(DEFAULT_PORT, last + 1):
            if _free(host, candidate):
                return candidate
        raise PortInUseError(f"ports {DEFAULT_PORT} to {last} on {host} are all in use; give another with --port")
    if not 0 <= port <= 65535:
        raise InvalidArgumentError(f"--port {port} is not a port number; use 0 (any free one) to 65535")
    if not _free(host, port):
        raise PortInUseError(
            f"port {port} on {host} is in use or not allowed; stop what uses it, or give another with --port "
            f"(0: any free one)"
        )
    return port


def _free(host: str, port: int) -> bool:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Bound but not listening, a second bind would succeed on some systems.
            probe.listen(1)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise InvalidArgumentError(
            f"cannot serve on {host} port {port}: {error.strerror or error}; check --host"
        ) from error
    return True
