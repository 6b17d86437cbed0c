"""The page that shows the OpenAPI document: Swagger UI, served from here, so that it works and is safe without a CDN.

Its files lie unchanged in `swagger_ui/` (Apache-2.0, with notices); `package.json` there says which release they are.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

PATH = "/docs"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shadow control API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/{swagger-ui.css}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/{swagger-ui-bundle.js}"></script>
<script src="docs/{start.js}"></script>
</body>
</html>
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may: load from this port, and ask it."""


@cache
def _files() -> dict[str, tuple[str, bytes]]:
    """Address, with a hash of the content in it -> media type and content."""
    found = {}
    for name in _FILES:
        content = resources.files("api.control").joinpath("swagger_ui", name).read_bytes()
        found[_address(name, content)] = (_TYPES[name.rpartition(".")[2]], content)
    return found


def _address(name: str, content: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"


@cache
def _page() -> str:
    page = _PAGE
    for name, address in zip(_FILES, _files(), strict=True):
        page = page.replace(f"{{{name}}}", address)
    return page


async def page(_request: Request) -> Response:
    """The page itself."""
    return HTMLResponse(_page())


async def file(request: Request) -> Response:
    """A file of its by its address; any other is not there."""
    found = _files().get(request.path_params["address"])
    if found is None:
        raise HTTPException(404)
    media_type, content = found
    return Response(content, media_type=media_type, headers={"Cache-Control": "public, max-age=31536000, immutable"})


def install(app: FastAPI) -> None:
    """Serve it below `/docs`."""
    app.add_route(PATH, page, include_in_schema=False)
    app.add_route(PATH + "/{address}", file, include_in_schema=False)
