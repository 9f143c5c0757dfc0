"""What every request passes before anything else: who may ask, how often, and what a browser may do.

app = Guard(app, Access(host="127.0.0.1", port=8000, token=""), RateLimit(100), metrics)
"""

import asyncio
import contextlib
import dataclasses
import hmac
import http.cookies
import ipaddress
import socket
import time
import urllib.parse

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.limits import Places, RateLimit
from pipeline.serving.metrics import Metrics
from pipeline.serving.refusals import Refused

OPEN_PATHS = ("/health",)  # need no token
UNLIMITED_PATHS = ("/health", "/metrics")  # are answered however busy the server is, as they tell whether it is
_COOKIE_DAYS = 30
# Even if text of a stranger became markup somewhere, it could neither run nor load anything.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclasses.dataclass(frozen=True)
class Access:
    """Where a server listens, and the token that it asks for; without one it answers everybody who reaches it."""

    host: str
    port: int
    token: str = ""

    def check_host(self, header: str) -> None:
        """A page elsewhere can have its own name lead to this machine (DNS rebinding). It cannot do that with an
        address, with localhost, or with the names of this machine."""
        name = _host_name(header)
        if not (_is_address(name) or name in self._names):
            raise Refused(421, f"this server is not called {name[:100]!r}: use its IP address, or localhost")

    @property
    def _names(self) -> set[str]:
        return {name.lower() for name in ("localhost", self.host, socket.gethostname(), socket.getfqdn()) if name}

    @property
    def cookie(self) -> str:
        return f"digitwise_{self.port}"  # browsers share cookies between the ports of one host

    def is_token(self, given: str) -> bool:
        # In a time that does not depend on how many characters are right.
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


class Guard:
    def __init__(self, app: ASGIApp, access: Access, rate: RateLimit, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._metrics = metrics
        self._places = Places()

    @property
    def running(self) -> int:
        return self._places.running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._watched(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)  # setdefault: a route may have its own
            await send(message)

        try:
            await self._checked(scope, receive, send_marked)
        finally:
            # The route's pattern, not the address that was asked for: clients must not be able to make up names in the
            # metrics.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, status, time.monotonic() - began)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        client = (scope.get("client") or ("unknown",))[0]
        with contextlib.ExitStack() as place:
            try:
                self._access.check_host(headers.get("host", ""))
                # Before the token: guessing it must be slow as well.
                self._rate.take(client)
                _check_origin(scope, headers)
                given = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
                if self._access.token and given and scope["method"] == "GET" and self._access.is_token(given):
                    return await self._signed_in(scope, receive, send)
                self._check_token(scope, headers)
                # Last: who is refused must not take a place from those who may ask.
                if scope["path"] not in UNLIMITED_PATHS:
                    place.enter_context(self._places.taken(client))
            except Refused as refused:
                # Or the connection would be reset while the client still sends, and it would never read the answer.
                await _drain(receive)
                response = JSONResponse({"error": refused.sentence}, refused.status, refused.headers)
                return await response(scope, receive, send)
            await self._app(scope, receive, send)

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        if not self._access.token or scope["path"] in OPEN_PATHS:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        with contextlib.suppress(http.cookies.CookieError):
            cookies.load(headers.get("cookie", ""))
        cookie = cookies.get(self._access.cookie)
        if kind.lower() == "bearer" and self._access.is_token(given.strip()):
            return
        if cookie is not None and self._access.is_token(cookie.value):
            return
        raise Refused(401, "this needs the server's token: open /?token=TOKEN, or send Authorization: Bearer TOKEN")

    async def _signed_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token goes from the address into a cookie, so that it is not in the browser's history of pages."""
        # Two slashes at the beginning would lead to another server.
        response = RedirectResponse("/" + scope["path"].lstrip("/\\"), status_code=303)
        response.set_cookie(
            self._access.cookie, self._access.token, max_age=_COOKIE_DAYS * 86400, httponly=True, samesite="strict"
        )
        await response(scope, receive, send)


def _check_origin(scope: Scope, headers: Headers) -> None:
    """Pages of other servers may send forms here; browsers say so."""
    origin = headers.get("origin")
    if scope["method"] in ("GET", "HEAD") or origin is None:
        return
    host = headers.get("host", "").lower()
    if origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise Refused(403, f"the page {origin[:100]!r} may not send requests to this server")


def _host_name(header: str) -> str:
    """Without the port, in lower case; IPv6 addresses without their brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _drain(receive: Receive, max_bytes: int = 1 << 25, seconds: float = 2.0) -> None:
    """What is left of a small body, so that the client hears the answer before the connection ends."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while size < max_bytes:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
