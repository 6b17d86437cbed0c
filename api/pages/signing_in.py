"""Signing in with a token, and out."""

from __future__ import annotations

import math
import time

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.control.services import services_of
from api.pages import visitors
from api.pages.problems import problem_page
from api.pages.rendering import render
from shadow.access import sessions, tokens
from shadow.access.tokens import Scope

log = structlog.get_logger(__name__)


async def ask(request: Request) -> Response:
    """The form."""
    wanted = visitors.safe_address(request.query_params.get("next"))
    done = "You are signed out." if request.query_params.get("done") == "out" else None
    return render(request, "sign_in.html", next=wanted, problems={}, done=done)


async def sign_in(request: Request) -> Response:
    """The form, sent in. A token that is wrong is told nowhere, the log included."""
    visitors.check_origin(request)
    services = services_of(request)
    address = request.client.host if request.client is not None else ""
    if (wait := services.sign_ins.wait(address, time.monotonic())) > 0:
        log.warning("pages.sign_in_held_back", address=address)
        answer = problem_page(request, 429, "Too many tokens were tried from your address. Try again in a minute.")
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    form = await visitors.read_form(request)
    engine = services.engine
    wanted = visitors.safe_address(form.get("next"))
    token = await tokens.find(engine, form.get("token", "").strip())
    if token is None:
        says = "This token is unknown, expired or revoked."
    elif Scope.READ not in token.scopes:
        says = f"The token {token.name} may not read: pages need one with the scope read."
    else:
        onwards = RedirectResponse(wanted, 303)
        await _end(request)  # and never goes on: what a browser brought along may be somebody else's
        log.info("pages.signed_in", token=token.name)
        visitors.remember(onwards, request, await sessions.begin(engine, token))
        return onwards
    log.warning("pages.sign_in_refused", token=None if token is None else token.name)
    return render(request, "sign_in.html", status=422, next=wanted, problems={"token": says}, done=None)


async def sign_out(request: Request) -> Response:
    """The end of a session, here as in the browser."""
    visitors.check_origin(request)
    found = await visitors.tenant_visitor(request)
    visitors.check_form_token(found, await visitors.read_form(request))
    await _end(request)
    answer = RedirectResponse(f"{visitors.ROOT}sign-in?done=out", 303)
    visitors.forget(answer, request)
    return answer


async def _end(request: Request) -> None:
    """A session that the browser has is not left behind."""
    if secret := request.cookies.get(visitors.COOKIE):
        await sessions.end(services_of(request).engine, secret)
