"""The app of the pages, to be mounted below `/pages` on the control port."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from api.control.services import ControlServices
from api.pages import audit, board, pairs, problems, signatures, signing_in, tasks
from api.pages.assets import asset
from api.pages.headers import WithHeaders
from api.pages.rendering import render
from api.pages.visitors import SignInNeeded
from shadow.reports.paging import BadCursor


def pages_app(services: ControlServices) -> ASGIApp:
    """The pages over these services."""
    app = Starlette(
        routes=[
            Route("/", board.board),
            Route("/static/{address}", asset),
            Route("/sign-in", signing_in.ask),
            Route("/sign-in", signing_in.sign_in, methods=["POST"]),
            Route("/sign-out", signing_in.sign_out, methods=["POST"]),
            Route("/tasks/{task}", tasks.task),
            Route("/tasks/{task}/evidence.{kind}", tasks.evidence),
            Route("/tasks/{task}/move", tasks.move_task, methods=["POST"]),
            Route("/tasks/{task}/sign-off", tasks.sign_task_off, methods=["POST"]),
            Route("/pairs", pairs.pairs),
            Route("/pairs/{pair:uuid}", pairs.pair),
            Route("/pairs/{pair:uuid}/explanation", pairs.explanation),
            Route("/signatures", signatures.signatures),
            Route("/signatures/{signature}", signatures.signature),
            Route("/signatures/{signature}/allow", signatures.allow, methods=["POST"]),
            Route("/signatures/{signature}/replay", signatures.replay, methods=["POST"]),
            Route("/allowances/{allowance:uuid}/revoke", signatures.revoke, methods=["POST"]),
            Route("/audit", audit.audit),
        ],
        exception_handlers={
            SignInNeeded: _to_sign_in,
            problems.PageProblem: problems.on_problem,
            HTTPException: problems.on_http,
            BadCursor: problems.on_cursor,
            **dict.fromkeys(problems.UNREACHABLE, problems.on_unreachable),
            **dict.fromkeys(problems.UNREADABLE, problems.on_unreadable),
            Exception: problems.on_bug,
        },
    )
    app.state.services = services
    return WithHeaders(app)


async def _to_sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        # Whoever follows a link from a chat comes without the cookie, which is of our own pages only. One step on
        # from a page of ours it is there.
        return render(request, "onwards.html", address=error.wanted)
    return RedirectResponse(error.address, 303)
