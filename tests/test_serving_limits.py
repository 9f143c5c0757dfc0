"""How many requests are answered at a time, and how long a body may take."""

import asyncio
import contextlib

import pytest

pytest.importorskip("starlette")

from starlette.requests import Request

from digitwise import Reader
from pipeline.serving.app import Served, build_app
from pipeline.serving.guard import Access
from pipeline.serving.limits import MAX_OF_CLIENT, MAX_REQUESTS, Pace, Places, RateLimit, read_body
from pipeline.serving.model import ServedModel
from pipeline.serving.refusals import Refused
from tests.stripes import StripesNetwork

NEVER = object()


def coming(*messages):
    """An ASGI receive: chunks of a body, seconds to wait, or NEVER for a body that does not continue."""
    left = list(messages)

    async def receive():
        while left:
            message = left.pop(0)
            if message is NEVER:
                await asyncio.Event().wait()
            elif isinstance(message, bytes):
                return {"type": "http.request", "body": message, "more_body": True}
            else:
                await asyncio.sleep(message)
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


def body_of(receive, pace):
    async def read():
        return await read_body(Request({"type": "http", "method": "POST", "headers": []}, receive), pace=pace)

    return asyncio.run(read())


def test_places_are_shared_between_clients():
    places = Places(most=4, of_client=3)
    with contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.taken("a"))
        with pytest.raises(Refused, match="3 requests of a are being answered already") as refused, places.taken("a"):
            pass
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        with places.taken("b"):
            assert places.running == 4
            with pytest.raises(Refused, match="^4 requests are being answered already"), places.taken("c"):
                pass
        assert places.running == 3
    assert places.running == 0
    with places.taken("a"):
        assert places.running == 1


def test_one_client_has_enough_for_32_at_once_and_never_all():
    assert 32 < MAX_OF_CLIENT < MAX_REQUESTS


def test_a_body_gets_more_time_the_more_of_it_has_come():
    pace = Pace(first=5, bytes_per_second=1000, most=30)
    assert [pace.seconds(size) for size in (0, 2, 10_000, 25_000, 1_000_000)] == [5, 5.002, 15, 30, 30]
    assert Pace().seconds(2) < 6 and Pace().seconds(1 << 23) == 30


@pytest.mark.parametrize("messages", [(NEVER,), (b"12", NEVER)])
def test_a_body_that_does_not_come_is_not_waited_for(messages):
    with pytest.raises(Refused, match="the body did not arrive within 0 seconds") as refused:
        body_of(coming(*messages), Pace(first=0.01, bytes_per_second=1000))
    assert refused.value.status == 408


def test_a_body_that_keeps_coming_is_read():
    pace = Pace(first=0.01, bytes_per_second=1, most=300)
    assert body_of(coming(b"x" * 100, 0.05, b"y"), pace) == b"x" * 100 + b"y"


@pytest.fixture
def app():
    with ServedModel(Reader(StripesNetwork())) as model:
        yield build_app(Served(model), Access("127.0.0.1", 8000, "a-long-secret-token"), RateLimit(0))


async def ask(app, client, method, path, receive=None, token="a-long-secret-token"):
    """The status of the answer."""
    statuses = []

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", b"127.0.0.1:8000"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": (client, 1), "root_path": "", "http_version": "1.1", "scheme": "http"}
    await app(scope, receive or coming(), send)
    return statuses[0]


async def begin(app, client, count, token="a-long-secret-token"):
    """Requests whose bodies do not come."""
    begun = [asyncio.create_task(ask(app, client, "POST", "/read", coming(b"12", NEVER), token)) for _ in range(count)]
    for _ in range(100):  # turns of the event loop: each goes as far as it can
        await asyncio.sleep(0)
    return begun


async def stop(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_unfinished_bodies_of_one_client_leave_places_for_others(app):
    async def run():
        begun = await begin(app, "10.0.0.1", 70)
        assert app.running == MAX_OF_CLIENT
        answers = [await ask(app, "10.0.0.1", "GET", path) for path in ("/about", "/health", "/metrics")]
        assert answers == [429, 200, 200]
        assert await ask(app, "10.0.0.2", "GET", "/about") == 200
        begun += await begin(app, "10.0.0.2", 70)
        assert app.running == MAX_REQUESTS
        answers = [await ask(app, "10.0.0.3", "GET", path) for path in ("/about", "/health", "/metrics")]
        assert answers == [429, 200, 200]
        await stop(begun)
        assert app.running == 0
        assert await ask(app, "10.0.0.1", "GET", "/about") == 200

    asyncio.run(run())


def test_who_is_refused_takes_no_place(app):
    async def run():
        begun = await begin(app, "10.0.0.1", 70, token="wrong")
        assert app.running == 0
        assert await ask(app, "10.0.0.1", "GET", "/about") == 200
        await stop(begun)

    asyncio.run(run())
