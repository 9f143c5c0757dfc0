"""Listens, answers until SIGTERM or Ctrl-C, and then finishes what it has begun.

with listening_socket("127.0.0.1", 8000) as listener:
    run(app, listener)
"""

import contextlib
import ipaddress
import pathlib
import secrets
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from records.errors import DigitwiseError

DRAIN_SECONDS = 30
_IDLE_SECONDS = 15  # an open connection without a request
_SHORTEST_TOKEN = 16  # characters: 64 bits even where they are hexadecimal digits
_BACKLOG = 512


def run(app: ASGIApp, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        http="h11",  # where others are installed, too: this is what the limits were tried with
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # clients could say that they are somebody else
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    with ending_on_signals(server):
        server.run(sockets=[listener])


@contextlib.contextmanager
def ending_on_signals(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn ends on a signal, and then sends it again to the handlers from before; a server that drained is done.

    One that comes before uvicorn listens to signals ends it as soon as it does."""

    def end(*_: object) -> None:
        server.should_exit = True

    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, end) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def listening_socket(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise DigitwiseError(f"--host={host}: not an address or a name of this machine ({error})") from None
    family, kind, protocol, _, address = found[0]  # the first: a name may have an IPv4 and an IPv6 address
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise DigitwiseError(f"--host={host} --port={port}: {reason}; choose another, or --port=0 for any") from None
    return listener


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    # By the address that is really bound, not by the name that was given.
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def address_of(listener: socket.socket) -> str:
    """For a browser on this machine."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def token_of(path: str, is_needed: bool) -> str:
    """The first line of a file, or a random one where one is needed and none is given; else empty."""
    if not path:
        return secrets.token_urlsafe(24) if is_needed else ""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DigitwiseError(f"--token_file={path} cannot be read ({reason})") from None
    token = lines[0].strip() if lines else ""
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or set(token) & set(' ";,\\'):
        raise DigitwiseError(
            f"--token_file={path}: its first line must be a token of at least {_SHORTEST_TOKEN} ASCII characters "
            "without spaces, quotes, commas and semicolons"
        )
    return token
