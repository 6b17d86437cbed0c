"""Schedule routes (reference 5)."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.errors import ApiError, reply
from sandbox.trigger_dev.platform import Platform, plain_json_body
from sandbox.trigger_dev.queue_routes import offset_page
from sandbox.trigger_dev.schedule_store import Schedule

_OLD_WORDING = "Invalid or Missing API Key"


async def list_schedules(platform: Platform, request: Request) -> Response:
    """Every schedule of the environment, page by page."""
    environment = platform.caller(request, _OLD_WORDING).environment
    page, pagination = offset_page(request, platform.schedules.all(environment))
    return reply({"data": [schedule.described() for schedule in page], "pagination": pagination}, headers={})


def _found(platform: Platform, request: Request) -> Schedule:
    environment = platform.caller(request, _OLD_WORDING).environment
    schedule = platform.schedules.find(environment, request.path_params["schedule"])
    if schedule is None:
        raise ApiError(404, "Schedule not found", {})
    return schedule


async def _wanted(request: Request, *names: str) -> dict[str, Any]:
    body = await plain_json_body(request)
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        raise ApiError(400, "Invalid request body", {})
    return body


async def create(platform: Platform, request: Request) -> Response:
    """Make a schedule, or change the one with the same deduplication key."""
    environment = platform.caller(request, _OLD_WORDING).environment
    body = await _wanted(request, "task", "cron", "deduplicationKey")
    try:
        schedule = platform.schedules.make(
            environment,
            body["task"],
            body["cron"],
            body.get("timezone") or "UTC",
            declared=False,
            deduplication_key=body["deduplicationKey"],
            external_id=body.get("externalId"),
        )
    except ValueError as error:
        raise ApiError(422, str(error), {}) from None
    return reply(schedule.described(), headers={})


async def retrieve(platform: Platform, request: Request) -> Response:
    """One schedule."""
    return reply(_found(platform, request).described(), headers={})


async def update(platform: Platform, request: Request) -> Response:
    """Change a schedule made over the API."""
    schedule = _found(platform, request)
    body = await _wanted(request, "task", "cron")
    if schedule.declared:
        raise ApiError(422, "Cannot update a declarative schedule", {})
    timezone = body.get("timezone") or "UTC"
    try:
        platform.schedules.change(schedule, body["task"], body["cron"], timezone, body.get("externalId"))
    except ValueError as error:
        raise ApiError(422, str(error), {}) from None
    return reply(schedule.described(), headers={})


async def delete(platform: Platform, request: Request) -> Response:
    """Remove a schedule."""
    schedule = _found(platform, request)
    platform.schedules.remove(schedule)
    return reply({"id": schedule.id}, headers={})


async def activate(platform: Platform, request: Request) -> Response:
    """Let a schedule fire again."""
    schedule = _found(platform, request)
    schedule.active = True
    return reply(schedule.described(), headers={})


async def deactivate(platform: Platform, request: Request) -> Response:
    """Stop a schedule from firing."""
    schedule = _found(platform, request)
    schedule.active = False
    return reply(schedule.described(), headers={})


async def timezones(platform: Platform, request: Request) -> Response:
    """Names of time zones; needs no key."""
    return reply({"timezones": sorted(available_timezones())}, headers={})


ROUTES = (
    ("GET", "/api/v1/timezones", timezones),
    ("GET", "/api/v1/schedules", list_schedules),
    ("POST", "/api/v1/schedules", create),
    ("GET", "/api/v1/schedules/{schedule}", retrieve),
    ("PUT", "/api/v1/schedules/{schedule}", update),
    ("DELETE", "/api/v1/schedules/{schedule}", delete),
    ("POST", "/api/v1/schedules/{schedule}/activate", activate),
    ("POST", "/api/v1/schedules/{schedule}/deactivate", deactivate),
)
