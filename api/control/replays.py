"""Replays: recorded events run again, on the candidate to see what a fix has cleared, or by legacy to find noise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Security
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.control import examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import Limit, Reason, Services, TaskFilter
from api.control.problems import FieldProblem, Refusal, invalid, not_found
from shadow.access.tokens import Token
from shadow.replays.starting import (
    DEFAULT_LIMIT,
    LARGEST_LIMIT,
    LONGEST_REASON,
    ReplayRefused,
    Started,
    UnknownSignature,
    start_legacy_twice,
    start_replay,
    start_task_replay,
)
from shadow.reports import paging, replays
from shadow.reports.shapes import Replays, ReplayView

router = APIRouter(tags=["replays"])


_NAMES = ("signature", "task", "legacy_twice")
_ONE_OF_THREE: list[JsonValue] = [
    {"required": [one], "properties": {name: {"type": "string" if name == one else "null"} for name in _NAMES}}
    for one in _NAMES
]


class ReplayRequest(BaseModel):
    """Which events shall be run again, and why."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": _ONE_OF_THREE})

    signature: str | None = Field(
        None, max_length=200, description="Run the events of the newest pairs that show it again, on the candidate."
    )
    task: str | None = Field(
        None,
        max_length=200,
        description="Run recorded events of this task again, on the candidate, as evidence for its present epoch: those"
        " first that show what was not compared in it.",
    )
    legacy_twice: str | None = Field(
        None,
        max_length=200,
        description="A task: have legacy run its newest events again instead, to see what is noise. Give one of three.",
    )
    reason: Reason = Field(max_length=LONGEST_REASON, description="For whoever reads the audit later.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=LARGEST_LIMIT, description="Events at most.")


@router.post(
    "/v1/replays",
    summary="Replay recorded events",
    responses=answers(
        {**examples.REPLAY, "pending": 9, "cleared": 0, "inconclusive": 0, "verdicts": {}}, 401, 403, 404, 409, 422
    ),
)
async def start(
    wanted: Annotated[ReplayRequest, Body(examples=[examples.REPLAY_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> ReplayView:
    """Run recorded events once more, hermetically, and compare with the recorded runs of legacy.

    Nobody has authority: every call is answered with what legacy's run was answered. The pairs are judged as any
    other and counted apart from live ones; ask `GET /v1/replays/{replay}` how they came out, and why events were left
    out (`skipped`). Of `legacy_twice` only what passes the gateway is contained: the reason says why that is all.
    """
    named = [one for one in (wanted.signature, wanted.task, wanted.legacy_twice) if one is not None]
    if len(named) != 1:
        expected = "one of signature, task and legacy_twice"
        found = f"{len(named)} of them" if named else "none"
        raise invalid([FieldProblem(field="body", found=found, expected=expected)])
    actor = f"token:{token.name}"
    start_this: Callable[..., Awaitable[Started]] = start_replay
    if wanted.task is not None:
        start_this = start_task_replay
    elif wanted.legacy_twice is not None:
        start_this = start_legacy_twice
    try:
        started = await start_this(
            services.database, services.catalogue, named[0], actor=actor, reason=wanted.reason, limit=wanted.limit
        )
    except UnknownSignature as error:
        raise not_found("signature", wanted.signature or "") from error
    except ReplayRefused as error:
        raise Refusal(409, str(error), kind="replay-refused", title="Replay refused") from error
    return await _view(services, started.id)


@router.get(
    "/v1/replays",
    summary="Replays",
    responses=answers(examples.REPLAYS, 401, 403, 422),
    dependencies=[Depends(reader)],
)
async def list_replays(services: Services, task: TaskFilter = None, limit: Limit = paging.DEFAULT_LIMIT) -> Replays:
    """Every replay that was started, newest first."""
    return await replays.newest(services.engine, task=task, limit=limit)


@router.get(
    "/v1/replays/{replay}",
    summary="One replay",
    responses=answers(examples.REPLAY, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def get_replay(
    replay: Annotated[UUID, Path(description="The replay's id.", examples=[examples.REPLAY["id"]])], services: Services
) -> ReplayView:
    """How the pairs of a replay came out; `GET /v1/pairs?replay=` lists them."""
    return await _view(services, replay)


async def _view(services: Services, replay: UUID) -> ReplayView:
    found = await replays.one(services.engine, replay)
    if found is None:
        raise not_found("replay", str(replay))
    return found
