"""What every operation says of itself in the OpenAPI document: an example, and the problems it may answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.control.bearer import NEEDS, Need, bearer, told_by
from api.control.problems import MEDIA_TYPE, Problem

DESCRIPTION = """
What Shadow knows of the migration: how each task's candidate does against legacy, every pair with its
differences, what waits and what failed; and the few things an operator can do about it.

Requests carry `Authorization: Bearer TOKEN`. Lists come newest first; pass `next_cursor` as `cursor` for the next
page. Every error is a problem detail (RFC 9457). Parameters that an operation does not know are errors.

`x-scope` of an operation is the scope that its token needs. A token that is limited to tenants is told of these alone
where `x-tenants` says `own`, and refused where it says `refused`, as that is of all tenants together.
""".strip()

TAGS = [
    {"name": "tasks", "description": "Tasks and their parity."},
    {"name": "board", "description": "How far the migration is."},
    {"name": "costs", "description": "What runs cost on either side."},
    {"name": "pairs", "description": "Pairs of runs, their verdicts and differences."},
    {"name": "signatures", "description": "The same difference over many pairs."},
    {"name": "allowances", "description": "What is acceptable by a reviewed decision: who, why, for what, until when."},
    {"name": "proposals", "description": "Rules that would explain what differs without meaning anything, for review."},
    {"name": "replays", "description": "Recorded events, run again on the candidate to see what a fix has cleared."},
    {"name": "events", "description": "Events, and those that could not be delivered."},
    {
        "name": "gates",
        "description": "Whether tasks may move on, and the evidence that counts together.",
    },
    {"name": "phases", "description": "Where routes stand and how they were moved."},
    {"name": "incidents", "description": "What must not happen and did: leaks above all."},
    {"name": "notices", "description": "What people want to hear of, and how they were told."},
    {"name": "process", "description": "Health and metrics."},
]

_PROBLEMS = {
    400: ("The body can't be read.", "Bad Request", "There was an error parsing the body"),
    401: ("No valid token.", "Unauthorized", "this token is unknown, expired or revoked"),
    403: ("The token lacks the scope.", "Forbidden", "the token 'ci' has the scope read; this needs operate"),
    404: ("There is no such thing.", "Not Found", "there is no task 'ordersync'"),
    409: ("It can't be done as things stand.", "Conflict", "task 'order-sync' is in phase shadow already"),
    413: ("The body is too large.", "Content Too Large", "the body may have 4194304 bytes"),
    415: ("The body is packed.", "Unsupported Media Type", "send the body without a content encoding"),
    421: (
        "It was called by a name that is not of this port, without a token.",
        "Misdirected Request",
        "without a token metrics are told to whoever calls this port by an address, localhost or a name of"
        " SHADOW_CONTROL_NAMES; found Host: metrics.example",
    ),
    422: ("The request is wrong.", "Invalid request", "wrong in this request: query.limit"),
    500: ("The service failed.", "Internal Server Error", "the service failed; its log says more"),
    429: ("The token asks too often.", "Too Many Requests", "the token 'ci' asks too often; come back in 1 s"),
    503: ("The database can't be reached.", "Service Unavailable", "the database can't be reached; try again"),
}


def answers(
    example: Any, *problems: int, media_type: str = "application/json", status: int = 200
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation: its example, its problems, and those that any may have."""
    found: dict[int | str, dict[str, Any]] = {status: {"content": {media_type: {"example": example}}}}
    limited = {429} if 401 in problems else set()
    return found | {code: _answer(code) for code in sorted({*problems, *limited, 500, 503})}


def _answer(code: int) -> dict[str, Any]:
    """A problem, as a response of an operation."""
    description, title, detail = _PROBLEMS[code]
    problem: dict[str, Any] = {"type": "about:blank", "title": title, "status": code, "detail": detail}
    if code == 422:
        problem["type"] = "/problems/invalid-request"
        problem["errors"] = [{"field": "query.limit", "found": "0", "expected": "greater than or equal to 1"}]
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem}},
    }


def document(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The OpenAPI document of the control API, which consists of these routers."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=TAGS,
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs"))
        schemas["Problem"] = described
        _restore_examples(routers, schema)
        _tell_limits(schema)
        _tell_needs(routers, schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _restore_examples(routers: Sequence[APIRouter], schema: dict[str, Any]) -> None:
    """Put nulls back, which FastAPI leaves out of the document, examples included."""
    for route in (route for router in routers for route in router.routes):
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            answers = schema["paths"][route.path][method.lower()]["responses"]
            for code, given in route.responses.items():
                for media_type, content in given.get("content", {}).items():
                    answers[str(code)]["content"][media_type]["example"] = content["example"]


def _tell_limits(schema: dict[str, Any]) -> None:
    """Say how a body is refused before anything looks at it (api/bounded.py)."""
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                answers = operation["responses"] | {str(code): _answer(code) for code in (400, 413, 415)}
                operation["responses"] = dict(sorted(answers.items()))


def need_of(route: APIRoute) -> Need | None:
    """What a token needs for an operation; None where it takes no token."""
    called = list(_called(route.dependant))
    for dependency in called:
        if dependency in NEEDS:
            return NEEDS[dependency]
    return NEEDS[told_by] if bearer in called else None  # it looks for the token itself


def _called(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _called(dependency)


def _tell_needs(routers: Sequence[APIRouter], schema: dict[str, Any]) -> None:
    """Say of every operation which scope it needs, and what a token of some tenants gets."""
    for route in (route for router in routers for route in router.routes):
        assert isinstance(route, APIRoute)
        need = need_of(route)
        if need is None:
            continue
        for method in route.methods or ():
            operation = schema["paths"][route.path][method.lower()]
            operation["x-scope"] = need.scope.value
            operation["x-tenants"] = "own" if need.own_tenants else "refused"
