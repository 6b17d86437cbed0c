"""A task: its gate with every condition, parity over days, what differs, what was decided, and where it may move."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.control.services import ControlServices, services_of
from api.pages.charts import ParityDay, parity_chart
from api.pages.parameters import Parameters
from api.pages.problems import not_found
from api.pages.rendering import render
from api.pages.visitors import visitor
from shadow.gate.report import GateReport
from shadow.reports import allowances, moves, parity, signatures
from shadow.reports.board import board as read_board
from shadow.reports.board import gate_reports
from shadow.reports.containments import containment
from shadow.reports.shapes import Parity

_DAYS = timedelta(days=89)
"""How far back the chart goes."""
_MOST = 20
"""Of signatures, allowances and moves; their own pages have all."""


async def task(request: Request) -> Response:
    """Everything about one task."""
    await visitor(request)
    Parameters(request, ("done",))
    return await task_page(request)


async def task_page(request: Request, *, status: int = 200, **form: Any) -> Response:
    """The page, with what was wrong about a form that was sent in."""
    services = services_of(request)
    name = request.path_params["task"]
    if name not in services.catalogue.tasks:
        raise not_found("task", name)
    return render(request, "task.html", status=status, **await _read(services, name), **form)


async def _read(services: ControlServices, name: str) -> Mapping[str, Any]:
    engine, catalogue = services.engine, services.catalogue
    resolved = catalogue.tasks[name]
    board = await read_board(engine, catalogue)
    async with engine.connect() as connection:
        report = (await gate_reports(connection)).get(name)
    since = (datetime.now(UTC) - _DAYS).date()
    recent = await parity.parity(engine, catalogue, name, since=since)
    return {
        "task": next(row for row in board.tasks if row.task == name),
        "resolved": resolved,
        "mates": [mate for mate in catalogue.routes[resolved.route].tasks if mate != name],
        "report": report,
        "recent": recent,
        "chart": _chart(recent, report, 1 - (resolved.gate.budget or 0)),
        "signatures": (await signatures.worst(engine, task=name, limit=_MOST)).items,
        "allowances": (await allowances.newest(engine, task=name, limit=_MOST)).items,
        "moves": (await moves.newest(engine, task=name, limit=_MOST)).items,
        "containment": await containment(engine, name, limit=5),
    }


def _chart(recent: Parity, report: GateReport | None, required: float) -> Any:
    days = [
        ParityDay(day.day, day.parity, None, day.match + day.mismatch + day.missing_candidate + day.missing_legacy)
        for day in recent.days
    ]
    return parity_chart(days, required) if days else None
