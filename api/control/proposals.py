"""Proposals: rules that would explain what differs without meaning anything, and deciding on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples
from api.control.bearer import operator, reader
from api.control.documented import answers
from api.control.parameters import Limit, Moment, Reason, Services, TaskName
from api.control.problems import FieldProblem, Refusal, invalid, not_found
from shadow.access.tokens import Token
from shadow.learning.looking import look
from shadow.learning.proposals import LONGEST, LONGEST_REASON, DecisionRefused, NothingToDecide, accept, reject
from shadow.reports import paging, proposals
from shadow.reports.proposal_shapes import Proposals, ProposalView

router = APIRouter(tags=["proposals"])

_SINCE = timedelta(days=30)


class LookRequest(BaseModel):
    """What is to be looked at."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = Field(None, description="Events accepted from then on; by default of 30 days.")


class DecisionRequest(BaseModel):
    """What becomes of a proposal, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "if": {"properties": {"decision": {"const": "accept"}}},
            "then": {"required": ["until"], "properties": {"until": {"type": "string"}}},
        },
    )

    decision: Literal["accept", "reject"]
    reason: Reason = Field(max_length=LONGEST_REASON, description="For whoever reads the audit later.")
    until: Moment | None = Field(
        None, description=f"Needed to accept: when the rule expires, at most {LONGEST.days} days ahead."
    )


@router.post(
    "/v1/tasks/{task}/proposals",
    summary="Look for noise",
    responses=answers(examples.PROPOSALS, 401, 403, 404, 422),
    dependencies=[Depends(operator)],
)
async def look_for_noise(
    task: TaskName,
    services: Services,
    wanted: Annotated[LookRequest | None, Body(examples=[{"since": "2026-05-01T00:00:00Z"}])] = None,
) -> Proposals:
    """Look at where recorded pairs differ, and propose a rule, or say why not, for each place.

    Each rule is tried out on recorded pairs first: `evidence.hides` says what it would have hidden. What was decided
    before stands. Pairs of legacy with itself (`POST /v1/replays` with `legacy_twice`) make the best evidence.
    """
    since = (wanted.since if wanted is not None else None) or datetime.now(UTC) - _SINCE
    try:
        kept = await look(services.database, services.catalogue, task, since)
    except LookupError as error:
        raise not_found("task", task) from error
    return await proposals.of_task(services.engine, task, only=kept, limit=len(kept) or 1)


@router.get(
    "/v1/tasks/{task}/proposals",
    summary="Proposals",
    responses=answers(examples.PROPOSALS, 401, 403, 404, 422),
    dependencies=[Depends(reader)],
)
async def list_proposals(
    task: TaskName,
    services: Services,
    state: Annotated[proposals.State | None, Query(description="Only those.", examples=["open"])] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> Proposals:
    """What was found when somebody last looked, what is to be decided first."""
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    return await proposals.of_task(services.engine, task, state=state, limit=limit)


@router.post(
    "/v1/proposals/{proposal}/decision",
    summary="Decide on a proposal",
    responses=answers(
        {
            **examples.PROPOSAL,
            "state": "accepted",
            "decided_at": "2026-05-02T08:00:00Z",
            "decided_by": "token:oncall",
            "reason": examples.PROPOSAL_DECISION["reason"],
            "expires_at": examples.PROPOSAL_DECISION["until"],
        },
        401,
        403,
        404,
        409,
        422,
    ),
)
async def decide(
    proposal: Annotated[UUID, Path(description="The proposal's id.", examples=[examples.PROPOSAL["id"]])],
    wanted: Annotated[DecisionRequest, Body(examples=[examples.PROPOSAL_DECISION])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> ProposalView:
    """Put the proposed rule in force until it expires, or reject it; on record under the token's name.

    Judges have an accepted rule within half a minute. What was judged before keeps its verdict until it is judged
    again (`POST /v1/tasks/{task}/judgements`). Rejecting an accepted one takes it back.
    """
    actor = f"token:{token.name}"
    try:
        if wanted.decision == "reject":
            await reject(services.database, proposal, actor=actor, reason=wanted.reason)
        else:
            if wanted.until is None:
                raise DecisionRefused("until", "nothing", "a moment, when the rule shall expire")
            now = datetime.now(UTC)
            await accept(services.database, proposal, actor=actor, reason=wanted.reason, until=wanted.until, now=now)
    except LookupError as error:
        raise not_found("proposal", str(proposal)) from error
    except NothingToDecide as error:
        raise Refusal(409, str(error)) from error
    except DecisionRefused as error:
        problem = FieldProblem(field=f"body.{error.field}", found=str(error.found), expected=error.expected)
        raise invalid([problem]) from error
    found = await proposals.one(services.engine, proposal)
    assert found is not None
    return found
