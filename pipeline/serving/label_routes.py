"""The label view's requests. A client names an image by its number, never by a path.

POST /labels/session   {} -> {"session"}
POST /labels/next      {"session"} -> {"card", "progress", "agreement"}; card is null where nothing is left
POST /labels/add       {"session", "number", "text"} -> the next card
POST /labels/skip      {"session", "number"} -> the next card
POST /labels/unskip    {"session"} -> the next card
POST /labels/undo      {"session"} -> the last card again, with its label
GET  /labels/image/17  the file
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from digitwise import ReaderError
from pipeline.reading.output import reading_json
from pipeline.serving.desk import Card, LabelDesk
from pipeline.serving.inputs import parse_object
from pipeline.serving.limits import read_body
from pipeline.serving.refusals import Refused
from records.errors import quoted

_MAX_BYTES = 1 << 14  # a label and a session have far less
# Not a route with {number:int}: beyond 4,300 digits Python makes no number of it.
_NUMBER = re.compile("[0-9]{1,9}")


class LabelRoutes:
    def __init__(self, desk: LabelDesk, alphabet: str) -> None:
        self._desk = desk
        self._alphabet = alphabet  # that of the model, for a hint; empty without one

    @property
    def routes(self) -> list[Route]:
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "session": self._open,
            "next": lambda asked: self._next(_text(asked, "session")),
            "add": self._add,
            "skip": self._skip,
            "unskip": self._unskip,
            "undo": self._undo,
        }
        routes = [_route(name, action) for name, action in actions.items()]
        return [*routes, Route("/labels/image/{number}", self.image)]

    async def image(self, request: Request) -> Response:
        asked = request.path_params["number"]
        if not _NUMBER.fullmatch(asked) or (number := int(asked)) >= len(self._desk.images.names):
            raise Refused(404, f"there is no image {quoted(asked)}")
        try:
            content = await run_in_threadpool(self._desk.images.load, number)
        except ReaderError as error:
            raise Refused(404, str(error)) from None
        return Response(content, media_type=self._desk.images.media_type(number))

    def _open(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"session": self._desk.open_session(), "alphabet": self._alphabet}

    def _add(self, asked: dict[str, Any]) -> dict[str, Any]:
        session = _text(asked, "session")
        self._desk.add(session, _number(asked), _text(asked, "text"))
        return self._next(session)

    def _skip(self, asked: dict[str, Any]) -> dict[str, Any]:
        session = _text(asked, "session")
        self._desk.skip(session, _number(asked))
        return self._next(session)

    def _unskip(self, asked: dict[str, Any]) -> dict[str, Any]:
        session = _text(asked, "session")
        self._desk.unskip(session)
        return self._next(session)

    def _undo(self, asked: dict[str, Any]) -> dict[str, Any]:
        session = _text(asked, "session")
        card = self._desk.undo(session)
        if card is None:
            return self._next(session) | {"notice": "this session has no label to undo"}
        return self._view(session, card)

    def _next(self, session: str) -> dict[str, Any]:
        return self._view(session, self._desk.next(session))

    def _view(self, session: str, card: Card | None) -> dict[str, Any]:
        return {
            "card": card and _card_json(card),
            "progress": dataclasses.asdict(self._desk.progress(session)),
            "agreement": [dataclasses.asdict(block) for block in self._desk.agreement()],
        }


def _route(name: str, action: Callable[[dict[str, Any]], dict[str, Any]]) -> Route:
    async def answer(request: Request) -> JSONResponse:
        # A form on another page cannot send this type without asking first (CORS preflight), which is never allowed.
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Refused(415, "the body must be JSON, with Content-Type: application/json")
        asked = parse_object(await read_body(request, _MAX_BYTES))
        return JSONResponse(await run_in_threadpool(action, asked))

    return Route(f"/labels/{name}", answer, methods=["POST"], name=f"labels_{name}")


def _card_json(card: Card) -> dict[str, Any]:
    reading = reading_json(card.reading) if card.reading else None
    return {"number": card.number, "name": card.name, "reading": reading, "label": card.label}


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be text")
    return value


def _number(asked: dict[str, Any]) -> int:
    value = asked.get("number")
    if type(value) is not int:  # not isinstance: true is not a number
        raise Refused(400, "number must be the number of an image")
    return value
