"""Reading images: for programs, and with what a person wants to see for the page.

POST /read            an image file as the body, or {"images": [{"b64": ...}, ...]}
POST /read?show=1     with the picture that the network was given, and where it looked
GET  /examples        some images of the test split, read
POST /promise/resume  accept again, once somebody has found out why the watch suspended the promise
"""

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from digitwise import Reading
from digitwise.images import Source
from pipeline.reading.output import reading_json
from pipeline.serving.examples import Examples
from pipeline.serving.inputs import images_of, parse_object
from pipeline.serving.limits import read_body
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ServedModel, shown_json
from pipeline.serving.refusals import Refused

_JSON = "application/json"
_EXAMPLES = 6
_RESULTS = {True: "accepted", False: "refused", None: "undecided"}


class ReadRoutes:
    def __init__(self, model: ServedModel, examples: Examples | None, metrics: Metrics) -> None:
        self._model = model
        self._examples = examples
        self._metrics = metrics

    @property
    def routes(self) -> list[Route]:
        routes = [
            Route("/read", self.read, methods=["POST"]),
            Route("/promise/resume", self.resume, methods=["POST"]),
        ]
        return [*routes, Route("/examples", self.examples)] if self._examples else routes

    async def read(self, request: Request) -> JSONResponse:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type.startswith("multipart/"):
            raise Refused(415, 'forms are not read: send the image file itself as the body, or JSON with "images"')
        body = await read_body(request)
        if media_type == _JSON:
            # 256 images of base64 take long enough to hold up the event loop.
            sources = await run_in_threadpool(lambda: images_of(parse_object(body)))
            readings = await self.read_all(list(sources))
            return JSONResponse(self._with_promise({"readings": [reading_json(reading) for reading in readings]}))
        read = self._show if request.query_params.get("show") else self._read_one
        return JSONResponse(self._with_promise(await read(body)))

    async def examples(self, _: Request) -> JSONResponse:
        assert self._examples is not None
        taken = await run_in_threadpool(self._examples.take, _EXAMPLES)
        shown = await asyncio.gather(*(self._model.show(image) for image, _ in taken))
        read = [shown_json(each) | {"label": text} for each, (_, text) in zip(shown, taken, strict=True)]
        return JSONResponse(self._with_promise({"split": self._examples.split, "readings": read}))

    async def resume(self, _: Request) -> JSONResponse:
        self._model.reader.reset_watch()
        return JSONResponse({})

    async def read_all(self, sources: list[Source]) -> list[Reading]:
        readings = await asyncio.gather(
            *(self._model.read(source, str(number)) for number, source in enumerate(sources))
        )
        for reading in readings:
            self._count(reading)
        return readings

    async def _read_one(self, body: bytes) -> dict[str, Any]:
        if not body:
            raise Refused(400, "the body is empty: send an image file")
        reading = await self._model.read(body)
        self._count(reading)
        if reading.code is None:
            raise Refused(422, reading.error)
        return reading_json(reading)

    async def _show(self, body: bytes) -> dict[str, Any]:
        """For the page, a file that is not an image is an answer too: browsers log a status of 422 as an error."""
        shown = await self._model.show(body)
        self._count(shown.reading)
        return shown_json(shown)

    def _count(self, reading: Reading) -> None:
        self._metrics.image("unreadable" if reading.code is None else _RESULTS[reading.accepted])

    def _with_promise(self, values: dict[str, Any]) -> dict[str, Any]:
        """Where the promise is suspended, every answer says so."""
        suspended = self._model.suspended
        return values | {"promise_suspended": suspended} if suspended else values
