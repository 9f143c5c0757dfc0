"""The pages and what they are made of: files of this package, each under a route of its own."""

import importlib.resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Listed one by one: no path of a request ever becomes a path of a file.
_FILES = {
    "/": ("read.html", "text/html"),
    "/labels": ("labels.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/read.js": ("read.js", "text/javascript"),
    "/labels.js": ("labels.js", "text/javascript"),
}


def page_routes() -> list[Route]:
    return [_route(path, *file) for path, file in _FILES.items()]


def _route(path: str, name: str, media_type: str) -> Route:
    content = (importlib.resources.files(__package__) / name).read_bytes()  # once, when the server starts

    async def send(_: Request) -> Response:
        return Response(content, media_type=f"{media_type}; charset=utf-8")

    return Route(path, send)
