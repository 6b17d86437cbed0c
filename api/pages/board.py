"""The board: which tasks may move, and why the others may not."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.control.services import services_of
from api.pages.charts import burn_up_chart
from api.pages.parameters import Parameters
from api.pages.rendering import render
from api.pages.visitors import ROOT, tenant_visitor
from shadow.cutover.decision import Phase
from shadow.reports import parity
from shadow.reports.board import board as read_board
from shadow.reports.board_shapes import BoardTask

_BEYOND = {
    "in shadow or further": (Phase.SHADOW, Phase.RAMP, Phase.LIVE, Phase.RETIRED),
    "in ramp or further": (Phase.RAMP, Phase.LIVE, Phase.RETIRED),
    "live or retired": (Phase.LIVE, Phase.RETIRED),
}
_SHOWN = ("may-move", "held", *Phase)


async def board(request: Request) -> Response:
    """Every task by category, or some of them."""
    if (await tenant_visitor(request)).token.tenants is not None:
        return RedirectResponse(f"{ROOT}pairs", 303)  # everybody begins here, and the board is of all tenants
    asked = Parameters(request, ("show",))
    shown = asked.one_of("show", _SHOWN)
    services = services_of(request)
    read = await read_board(services.engine, services.catalogue)
    figures = {one.task: one for one in (await parity.tasks(services.engine, services.catalogue)).items}
    listed = [task for task in read.tasks if _is_shown(task, shown)]
    return render(
        request,
        "board.html",
        board=read,
        figures=figures,
        categories=[
            (category, [task for task in listed if task.category == category.category]) for category in read.categories
        ],
        number=len(listed),
        held=sum(_is_shown(task, "held") for task in read.tasks),
        shown=shown,
        phases=list(Phase),
        chart=burn_up_chart(
            [
                (day.day, [sum(day.phases[phase] for phase in phases) for phases in _BEYOND.values()])
                for day in read.burn_up
            ],
            list(_BEYOND),
            read.total.tasks,
        ),
    )


def _is_shown(task: BoardTask, shown: str | None) -> bool:
    if shown == "may-move":
        return task.next.ready
    if shown == "held":
        return not task.next.ready and task.next.phase is not None
    return shown is None or task.phase == shown
