"""The server's application: its routes behind its guard.

app = build_app(Served(model, examples, desk), Access("127.0.0.1", 8000), RateLimit(100))
"""

import dataclasses
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from digitwise.images import MAX_PIXELS
from pipeline.machine.memory import own_memory
from pipeline.serving.desk import LabelDesk
from pipeline.serving.examples import Examples
from pipeline.serving.guard import Access, Guard
from pipeline.serving.label_routes import LabelRoutes
from pipeline.serving.limits import MAX_BYTES, RateLimit
from pipeline.serving.metrics import Gauge, Metrics
from pipeline.serving.model import ServedModel
from pipeline.serving.pages import page_routes
from pipeline.serving.read_routes import ReadRoutes
from pipeline.serving.refusals import Refused
from pipeline.serving.tensorflow_serving import TensorFlowServingRoutes
from records.errors import DigitwiseError, printable, quoted

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(frozen=True)
class Served:
    """What there is to serve; the pages leave out what is None."""

    model: ServedModel | None = None
    examples: Examples | None = None
    desk: LabelDesk | None = None


def build_app(served: Served, access: Access, rate: RateLimit) -> Guard:
    metrics = Metrics()
    routes = [*page_routes(), Route("/health", _health), Route("/about", _about(served))]
    if served.model:
        read_routes = ReadRoutes(served.model, served.examples, metrics)
        routes += [*read_routes.routes, *TensorFlowServingRoutes(read_routes, served.model.metadata).routes]
    if served.desk:
        alphabet = served.model.metadata.alphabet if served.model else ""
        routes += LabelRoutes(served.desk, alphabet).routes
    handlers = {Refused: _refused, DigitwiseError: _conflict, HTTPException: _not_found, Exception: _failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    guard = Guard(app, access, rate, metrics)
    # Only now, as it tells of the guard, which is built around the application.
    app.router.routes.append(Route("/metrics", _metrics(served, guard, metrics)))
    return guard


async def _health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _about(served: Served) -> Endpoint:
    """What the pages have to know."""

    async def answer(_: Request) -> JSONResponse:
        model = served.model
        promise = model.metadata.promise if model else None
        return JSONResponse(
            {
                "model": model is not None,
                "examples": served.examples.split if served.examples else None,
                "labels": served.desk.images.folder.name if served.desk else None,
                "alphabet": model.metadata.alphabet if model else "",
                "max_error": promise.max_error if promise else None,
                "promise_suspended": model.suspended if model else "",
                "max_bytes": MAX_BYTES,
                "max_pixels": MAX_PIXELS,
            }
        )

    return answer


def _metrics(served: Served, guard: Guard, metrics: Metrics) -> Endpoint:
    async def answer(_: Request) -> PlainTextResponse:
        gauges = [
            Gauge("digitwise_requests_running", "Requests that are being answered.", guard.running),
            Gauge("process_resident_memory_bytes", "Memory of the process.", own_memory()),
        ]
        if served.model:
            suspended = float(bool(served.model.suspended))
            gauges += [
                Gauge("digitwise_images_waiting", "Images that wait for the network.", served.model.waiting),
                Gauge(
                    "digitwise_promise_suspended",
                    "1 while images differ from those certified on.",
                    suspended,
                ),
            ]
        return PlainTextResponse(metrics.text(*gauges), media_type="text/plain; version=0.0.4; charset=utf-8")

    return answer


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.sentence}, error.status, error.headers)


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    """What is on the disk does not allow it, such as a labels.csv that cannot be read."""
    return JSONResponse({"error": printable(str(error), limit=1000)}, 409)


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    """Of paths and methods that no route has."""
    assert isinstance(error, HTTPException)
    sentence = f"{request.method} {quoted(request.scope['path'])}: {HTTPStatus(error.status_code).phrase.lower()}"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    """A mistake in the server: the traceback goes to stderr, not to the client."""
    return JSONResponse({"error": f"the server failed ({type(error).__name__}); see its terminal"}, 500)
