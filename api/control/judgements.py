"""Judging a task's pairs again, from stored evidence, with the rules that this process has."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Body, Security
from pydantic import BaseModel, ConfigDict, Field

from api.control import examples
from api.control.bearer import operator
from api.control.documented import answers
from api.control.parameters import CursorText, Moment, Services, TaskName
from api.control.problems import FieldProblem, invalid, not_found
from shadow.access.tokens import Token
from shadow.judge.again import Again, judge_again, on_record
from shadow.reports.judgements import Changes
from shadow.reports.paging import read_cursor
from shadow.reports.shapes import Judgements
from shadow.store.database import Work

log = structlog.get_logger(__name__)

router = APIRouter(tags=["tasks"])

LARGEST = 1000
"""Pairs that one request judges."""


class JudgementsRequest(BaseModel):
    """Which pairs are to be judged again."""

    model_config = ConfigDict(extra="forbid")

    since: Moment = Field(description="Of events accepted from then on.")
    until: Moment | None = Field(None, description="Of events accepted before then.")
    dry_run: bool = Field(description="Whether it is only said what would change.")
    everything: bool = Field(False, description="Also those that were judged with these very rules.")
    limit: int = Field(LARGEST, ge=1, le=LARGEST, description="Pairs that are looked at.")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the page before.")


@router.post(
    "/v1/tasks/{task}/judgements",
    summary="Judge again",
    responses=answers(examples.JUDGEMENTS, 401, 403, 404, 422),
)
async def judge(
    task: TaskName,
    wanted: Annotated[JudgementsRequest, Body(examples=[examples.JUDGEMENTS_REQUEST])],
    services: Services,
    token: Annotated[Token, Security(operator)],
) -> Judgements:
    """Derive verdicts anew from stored evidence, newest pairs first, or only say what that would change.

    A page at a time: pass `next_cursor` as `cursor` until it is null. Each page is done when it is answered. Pairs
    whose evidence is gone keep their verdict and are counted apart, and so are those that were judged with these very
    rules already.
    """
    if task not in services.catalogue.tasks:
        raise not_found("task", task)
    if wanted.until is not None and wanted.until <= wanted.since:
        expected = f"a moment after {wanted.since.isoformat()}"
        raise invalid([FieldProblem(field="body.until", found=wanted.until.isoformat(), expected=expected)])
    again = Again(task, wanted.since, wanted.until, wanted.everything)
    changes = Changes(again, wanted.dry_run)
    before = None if wanted.cursor is None else read_cursor(wanted.cursor)
    if not wanted.dry_run:
        await on_record(services.database, again, actor=f"token:{token.name}", work=Work.CONTROL)
    changes.add(
        await judge_again(
            services.database,
            services.rulebook,
            again,
            limit=wanted.limit,
            before=before,
            write=not wanted.dry_run,
            work=Work.CONTROL,
        )
    )
    found = changes.shape()
    if not wanted.dry_run:
        log.info("judge.again", task=task, actor=f"token:{token.name}", judged=found.judged, changed=found.changed)
    return found
