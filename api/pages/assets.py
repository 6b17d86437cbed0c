"""Styles, script and icon: served under names that say what is in them, so that they may be kept for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the folder `static`."""

    address: str
    """Its name with a hash of its content in it."""
    content: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Name of the file -> what is served."""
    found = {}
    for path in resources.files("api.pages").joinpath("static").iterdir():
        stem, dot, suffix = path.name.rpartition(".")
        if dot + suffix in _TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[path.name] = Asset(f"{stem}.{digest}.{suffix}", content, _TYPES[dot + suffix])
    return found


async def asset(request: Request) -> Response:
    """A file by its address; any other version of it is not there."""
    wanted = request.path_params["address"]
    for found in assets().values():
        if found.address == wanted:
            return Response(found.content, media_type=found.media_type, headers={"Cache-Control": _FOR_EVER})
    raise HTTPException(404)
