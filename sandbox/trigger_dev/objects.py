"""Packet routes: signed addresses from the API, and the object store behind them (reference 1.4)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.errors import reply
from sandbox.trigger_dev.platform import Platform


def _presigned(platform: Platform, request: Request, method: str) -> dict[str, str]:
    caller = platform.caller(request, "Invalid or Missing API key")
    path = request.path_params["path"]
    base_url = str(request.base_url)
    return {"presignedUrl": platform.packets.presigned(base_url, method, caller.environment, path)}


async def upload_address(platform: Platform, request: Request) -> Response:
    """v2: where to put a packet, and the path to name in the trigger request."""
    return reply(_presigned(platform, request, "PUT") | {"storagePath": request.path_params["path"]}, headers={})


async def old_upload_address(platform: Platform, request: Request) -> Response:
    """v1: where to put a packet."""
    return reply(_presigned(platform, request, "PUT"), headers={})


async def download_address(platform: Platform, request: Request) -> Response:
    """Where to get a packet, whether it exists or not."""
    return reply(_presigned(platform, request, "GET"), headers={})


def _permitted(platform: Platform, request: Request) -> tuple[str, str] | None:
    address = f"{request.path_params['project']}/{request.path_params['slug']}"
    path = request.path_params["path"]
    allowed = platform.packets.permits(request.method, address, path, dict(request.query_params))
    return (address, path) if allowed else None


async def put_object(platform: Platform, request: Request) -> Response:
    """Store the bytes of a packet with their content type."""
    if (place := _permitted(platform, request)) is None:
        return Response("SignatureDoesNotMatch", 403)
    kind = request.headers.get("content-type", "application/octet-stream")
    platform.packets.put(*place, await request.body(), kind)
    return Response(status_code=200)


async def get_object(platform: Platform, request: Request) -> Response:
    """The bytes of a packet."""
    if (place := _permitted(platform, request)) is None:
        return Response("SignatureDoesNotMatch", 403)
    found = platform.packets.get(*place)
    return Response("NoSuchKey", 404) if found is None else Response(found[0], media_type=found[1])


ROUTES = (
    ("PUT", "/api/v2/packets/{path:path}", upload_address),
    ("PUT", "/api/v1/packets/{path:path}", old_upload_address),
    ("GET", "/api/v1/packets/{path:path}", download_address),
    ("PUT", "/packets/{project}/{slug}/{path:path}", put_object),
    ("GET", "/packets/{project}/{slug}/{path:path}", get_object),
)
