"""A task: its gate with every condition, parity over days, what differs, what was decided, and where it may move."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.control.evidence import pack_of
from api.control.services import ControlServices, services_of
from api.pages.charts import Chart, ParityDay, parity_chart
from api.pages.parameters import Parameters
from api.pages.problems import PageProblem, not_found
from api.pages.rendering import render
from api.pages.visitors import operator, visitor
from shadow.catalogue import ResolvedTask
from shadow.cutover.decision import Phase
from shadow.cutover.joined import joined_with
from shadow.cutover.moves import MoveRefused
from shadow.gate.process import upper_bound
from shadow.gate.report import GateReport
from shadow.gate.signing_off import SignOffRefused, sign_off
from shadow.gate.stored import stored_reports
from shadow.reports import allowances, costs, moves, parity, signatures
from shadow.reports.board import board as read_board
from shadow.reports.containments import containment
from shadow.reports.draining import drain
from shadow.reports.shapes import Parity
from shadow.steering.moving import move
from shadow.store.database import Work

_DAYS = timedelta(days=89)
"""How far back the chart goes."""
_MOST = 20
"""Of signatures, allowances and moves; their own pages have all."""
_LONGEST_REASON = 2000
_PACKS = {"html": "text/html; charset=utf-8", "json": "application/json"}
_DONE = {
    "moved": "The move is on record and holds in two seconds.",
    "signed": "Your sign-off is on record. The gate counts it once somebody else has signed off, too.",
}


async def task(request: Request) -> Response:
    """Everything about one task."""
    await visitor(request)
    asked = Parameters(request, ("done",))
    return await _page(request, done=_DONE.get(asked.one_of("done", _DONE) or ""))


async def evidence(request: Request) -> Response:
    """What the task's migration rests on, as a file to keep: a page, or JSON."""
    await visitor(request)
    name, kind = _named(request), request.path_params["kind"]
    if kind not in _PACKS:
        raise PageProblem(404, "There is no such page.")
    pack = await pack_of(services_of(request), name)
    file_name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{name}-evidence.{kind}")
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return Response(pack.html if kind == "html" else pack.json, media_type=_PACKS[kind], headers=headers)


async def move_task(request: Request) -> Response:
    """The form that moves the task's route, sent in."""
    session, form = await operator(request)
    services, name = services_of(request), _named(request)
    problems = {}
    phase, share = form.get("phase", ""), None
    reason = form.get("reason", "").strip()
    if phase not in set(Phase):
        problems["phase"] = f"Choose one of {', '.join(Phase)}."
    if not reason:
        problems["reason"] = "Say why, in words that a later reader understands."
    elif len(reason) > _LONGEST_REASON:
        problems["reason"] = f"At most {_LONGEST_REASON} characters."
    if phase == Phase.RAMP and form.get("share", "").strip():
        try:
            share = int(form["share"])
        except ValueError:
            problems["share"] = "A whole percentage from 1 to 100."
    if problems:
        return await _page(request, status=422, problems=problems, form=form)
    try:
        await move(
            services.database,
            services.catalogue,
            name,
            Phase(phase),
            actor=f"token:{session.token.name}",
            reason=reason,
            share=share,
            force=form.get("force") == "yes",
        )
    except MoveRefused as error:
        return await _page(request, status=409, refused=str(error), form=form)
    return _back(name, "moved")


async def sign_task_off(request: Request) -> Response:
    """The form with which somebody vouches for a task that has too few pairs, sent in."""
    session, form = await operator(request)
    name = _named(request)
    actor = f"token:{session.token.name}"
    try:
        await sign_off(services_of(request).database, name, actor=actor, reason=form.get("sign_off_reason", ""))
    except SignOffRefused as error:
        return await _page(request, status=422, problems={"sign_off_reason": str(error)}, form=form)
    return _back(name, "signed")


def _back(task: str, done: str) -> Response:
    return RedirectResponse(f"/pages/tasks/{quote(task, safe='')}?done={done}", 303)


def _named(request: Request) -> str:
    name: str = request.path_params["task"]
    if name not in services_of(request).catalogue.tasks:
        raise not_found("task", name)
    return name


async def _page(
    request: Request,
    *,
    status: int = 200,
    done: str | None = None,
    refused: str | None = None,
    problems: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    """The page, with what became of a form that was sent in."""
    name = _named(request)
    return render(
        request,
        "task.html",
        status=status,
        **await _read(services_of(request), name),
        done=done,
        refused=refused,
        problems=problems or {},
        form=defaultdict(str, form or {}),
        phases=list(Phase),
    )


async def _read(services: ControlServices, name: str) -> dict[str, Any]:
    engine, catalogue = services.engine, services.catalogue
    resolved = catalogue.tasks[name]
    board = await read_board(engine, catalogue)
    row = next(row for row in board.tasks if row.task == name)
    route = catalogue.routes[resolved.route]
    async with services.database.connection(Work.CONTROL) as connection:
        report = (await stored_reports(connection, [name])).get(name)
        joined = await joined_with(connection, catalogue, route)
    recent = await parity.parity(engine, catalogue, name, since=(datetime.now(UTC) - _DAYS).date())
    spent = await costs.of_task(engine, catalogue, name)
    return {
        "task": row,
        "resolved": resolved,
        "mates": [mate for one in (route, *joined) for mate in one.tasks if mate != name],
        "report": report,
        "few": report is not None and report.pairs_a_day < resolved.gate.sign_off_below,
        "recent": recent,
        "chart": await asyncio.to_thread(_chart, recent, report, resolved) if recent.days else None,
        "signatures": (await signatures.worst(engine, task=name, limit=_MOST)).items,
        "allowances": (await allowances.newest(engine, task=name, limit=_MOST)).items,
        "moves": (await moves.newest(engine, task=name, limit=_MOST)).items,
        "containment": await containment(engine, name, limit=5),
        "costs": spent if spent.month.legacy.recent_runs or spent.month.candidate.recent_runs else None,
        "drain": await drain(engine, catalogue, name) if row.phase in (Phase.RAMP, Phase.LIVE) else None,
    }


def _chart(recent: Parity, report: GateReport | None, resolved: ResolvedTask) -> Chart:
    """Parity by day, and what all pairs of the epoch up to then show. Pure."""
    start = None if report is None or report.epoch_started_at is None else report.epoch_started_at.date()
    days = []
    pairs = mismatches = 0
    for day in recent.days:
        missing = day.missing_candidate + day.missing_legacy
        bound = None
        if report is not None and start is not None and day.day >= start:
            pairs += day.match + day.allowed + day.mismatch + missing
            mismatches += day.mismatch + missing
            bound = 1 - upper_bound(pairs, mismatches, report.alpha)
        days.append(ParityDay(day.day, day.parity, bound, day.match + day.mismatch + missing))
    return parity_chart(days, 1 - (resolved.gate.budget or 0))
