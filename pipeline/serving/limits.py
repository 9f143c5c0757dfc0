"""How much one client, and all of them together, may ask for.

rate = RateLimit(per_second=100)
rate.take("10.0.0.7")          # raises Refused 429 where that client asks too often
with places.taken("10.0.0.7"):     # raises it where too many requests are being answered
    await read_body(request, MAX_BYTES)
"""

import asyncio
import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from starlette.requests import ClientDisconnect, Request

from pipeline.serving.refusals import Refused

MAX_BYTES = 1 << 23  # of a body
MAX_IMAGES = 256  # of one request
MAX_REQUESTS = 64  # at a time; together with MAX_BYTES this limits the memory
MAX_OF_CLIENT = 48  # of them, so that no single client can take all places
_MAX_CLIENTS = 10_000
_DRAINED = 4  # times the limit: a body that is too large is read to its end, so that the client hears why


class RateLimit:
    """Each client has a bucket that holds one second's worth of requests; 0 per second is no limit."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._size = max(1.0, per_second)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what is left, and since when

    def take(self, client: str) -> None:
        if not self._per_second:
            return
        now = self._clock()
        left, since = self._buckets.pop(client, (self._size, now))
        left = min(self._size, left + (now - since) * self._per_second)
        # The client that asked last is the last of the dictionary, so the first is the one to forget.
        self._buckets[client] = max(left - 1, 0.0) if left >= 1 else left, now
        if len(self._buckets) > _MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        if left < 1:
            raise Refused(429, f"more than {self._per_second:g} requests a second came from {client}", retry_seconds=1)


class Places:
    """The requests that are being answered. For one event loop only."""

    def __init__(self, most: int = MAX_REQUESTS, of_client: int = MAX_OF_CLIENT) -> None:
        self._most = most
        self._of_client = of_client
        self._taken: collections.Counter[str] = collections.Counter()

    @property
    def running(self) -> int:
        return self._taken.total()

    @contextlib.contextmanager
    def taken(self, client: str) -> Iterator[None]:
        if self._taken[client] >= self._of_client:
            raise Refused(429, f"{self._of_client} requests of {client} are being answered already", retry_seconds=1)
        if self.running >= self._most:
            raise Refused(429, f"{self._most} requests are being answered already", retry_seconds=1)
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            self._taken += collections.Counter()  # forgets clients that have none


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long a body may take: longer the more of it has come. Who sends nothing, or a byte now and then, must not
    keep one of the places for long."""

    first: float = 5.0  # seconds
    bytes_per_second: float = 8192.0  # a slow phone has more
    most: float = 30.0  # seconds

    def seconds(self, size: int) -> float:
        return min(self.first + size / self.bytes_per_second, self.most)


async def read_body(request: Request, most: int = MAX_BYTES, pace: Pace = Pace()) -> bytes:
    chunks, size = [], 0
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began + pace.seconds(0)) as timeout:
            async for chunk in request.stream():
                size += len(chunk)
                timeout.reschedule(began + pace.seconds(size))
                if size <= most:
                    chunks.append(chunk)
                elif size > _DRAINED * most:
                    break
    except TimeoutError:
        raise Refused(408, f"the body did not arrive within {pace.seconds(size):.0f} seconds") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the body did") from None
    if size > most:
        raise Refused(413, f"the body has more than {most:,} bytes")
    return b"".join(chunks)
