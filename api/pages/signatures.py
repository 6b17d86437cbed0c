"""Signatures: the same difference over many pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.control.services import services_of
from api.pages.parameters import Parameters
from api.pages.problems import PageProblem, not_found
from api.pages.rendering import render
from api.pages.visitors import operator, tenant_operator, tenant_visitor
from shadow.access.tokens import Tenants
from shadow.judge import allowances as judged
from shadow.judge.allowances import AllowanceRefused, Grant
from shadow.replays import starting
from shadow.reports import allowances, pairs, replays, tenant_signatures
from shadow.reports import signatures as reported
from shadow.reports.shapes import SignatureDetail

_MOST = 200
_SOME = 20
_LASTS = timedelta(days=30)
"""How long an allowance lasts unless somebody says otherwise."""
_EVERY = "every"
_WITHOUT = "without"
_OF = "of:"
"""What a form says of tenants: all of them, events without one, or `of:` and whose."""
_DONE = {
    "allowed": "It is allowed. The pairs that show it get their verdict anew within moments.",
    "revoked": "The allowance is revoked. The pairs that it covered get their verdict anew within moments.",
    "replayed": "The replay has started: its events are being run again. Load the page again to see how they come out.",
}


async def signatures(request: Request) -> Response:
    """What differs, those that most pairs show first."""
    tenants = (await tenant_visitor(request)).token.tenants
    asked = Parameters(request, ("task",))
    services = services_of(request)
    task = asked.one_of("task", services.catalogue.tasks)
    if tenants is None:
        found = await reported.worst(services.engine, task=task, limit=_MOST)
    else:
        found = await tenant_signatures.worst(services.engine, tenants, task=task, limit=_MOST)
    return render(
        request, "signatures.html", signatures=found.items, task=task, tasks=list(services.catalogue.tasks), most=_MOST
    )


async def signature(request: Request) -> Response:
    """One of them."""
    session = await tenant_visitor(request)
    asked = Parameters(request, ("done",))
    return await _page(request, session.token.tenants, done=_DONE.get(asked.one_of("done", _DONE) or ""))


async def allow(request: Request) -> Response:
    """The form that allows it, sent in."""
    session, form = await tenant_operator(request)
    name, tenants = request.path_params["signature"], session.token.tenants
    await _known(request, tenants)
    try:
        wanted = Grant(
            name,
            form.get("reason", ""),
            _until(form.get("until", "")),
            _tenant(form.get("scope", ""), tenants),
            form.get("acknowledge_critical") == "yes",
        )
        actor = f"token:{session.token.name}"
        await judged.grant(services_of(request).database, wanted, actor=actor, now=datetime.now(UTC))
    except judged.UnknownSignature as error:
        raise not_found("signature", name) from error
    except AllowanceRefused as error:
        return await _page(request, tenants, status=422, problems={error.field: _sentence(error)}, form=form)
    return _back(name, "allowed")


async def revoke(request: Request) -> Response:
    """The button that ends an allowance, pressed."""
    session, _form = await tenant_operator(request)
    services = services_of(request)
    identifier = request.path_params["allowance"]
    known = await allowances.one(services.engine, identifier, tenants=session.token.tenants)
    if known is None:
        raise not_found("allowance", identifier)
    if not await judged.revoke(services.database, identifier, actor=f"token:{session.token.name}"):
        raise PageProblem(409, f"This allowance has ended already: it is {known.state}.")
    return _back(known.signature, "revoked")


async def replay(request: Request) -> Response:
    """The form that has its events run again, sent in."""
    session, form = await operator(request)
    services = services_of(request)
    name = request.path_params["signature"]
    problems = {}
    reason = form.get("replay_reason", "").strip()
    if not reason:
        problems["replay_reason"] = "Say why, for whoever reads the audit later."
    elif len(reason) > starting.LONGEST_REASON:
        problems["replay_reason"] = f"At most {starting.LONGEST_REASON} characters."
    limit = form.get("limit", "")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= starting.LARGEST_LIMIT):
        problems["limit"] = f"A number from 1 to {starting.LARGEST_LIMIT}."
    if problems:
        return await _page(request, None, status=422, problems=problems, form=form)
    actor = f"token:{session.token.name}"
    try:
        await starting.start_replay(
            services.database, services.catalogue, name, actor=actor, reason=reason, limit=int(limit)
        )
    except starting.UnknownSignature as error:
        raise not_found("signature", name) from error
    except starting.ReplayRefused as error:
        return await _page(request, None, status=409, refused=str(error), form=form)
    return _back(name, "replayed")


def _back(signature: str, done: str) -> Response:
    return RedirectResponse(f"/pages/signatures/{quote(signature, safe='')}?done={done}", 303)


def _until(day: str) -> datetime:
    """The end of that UTC day."""
    try:
        return datetime.combine(date.fromisoformat(day), time(23, 59, 59), UTC)
    except ValueError:
        raise AllowanceRefused("until", day[:60] or "nothing", "a day such as 2026-05-01") from None


def _tenant(scope: str, tenants: Tenants) -> str | None:
    if scope.startswith(_OF) and (tenants is None or scope.removeprefix(_OF) in tenants):
        return scope.removeprefix(_OF)
    if scope not in (_EVERY, _WITHOUT) or tenants is not None:
        raise AllowanceRefused("scope", scope[:60] or "nothing", "for whose pairs it shall hold")
    return None if scope == _EVERY else ""


def _sentence(error: AllowanceRefused) -> str:
    if error.field == "acknowledge_critical":
        return "Needed: this signature is critical, so money, recipients or effects themselves are what differs."
    return f"Found {error.found}, expected {error.expected}."


async def _known(request: Request, tenants: Tenants) -> SignatureDetail:
    """The signature, as these tenants see it or as all do.

    Raises:
        PageProblem: nobody of them shows it.
    """
    engine, name = services_of(request).engine, request.path_params["signature"]
    if tenants is None:
        found = await reported.detail(engine, name)
    else:
        found = await tenant_signatures.detail(engine, name, tenants)
    if found is None:
        raise not_found("signature", name)
    return found


async def _page(
    request: Request,
    tenants: Tenants,
    *,
    status: int = 200,
    done: str | None = None,
    refused: str | None = None,
    problems: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    """The page, with what became of a form that was sent in."""
    services = services_of(request)
    name = request.path_params["signature"]
    found = await _known(request, tenants)
    shown = await pairs.page(services.engine, pairs.PairFilter(signature=name, tenants=tenants), limit=_SOME)
    of_all = [(_EVERY, "all tenants")] if tenants is None else []
    today = datetime.now(UTC).date()
    return render(
        request,
        "signature.html",
        status=status,
        signature=found,
        page=shown,
        replays=(await replays.newest(services.engine, signature=name, limit=_SOME)).items if tenants is None else None,
        scopes=[*of_all, *(_scope(one.tenant) for one in found.tenants)],
        until=(today + _LASTS).isoformat(),
        first_day=today.isoformat(),
        last_day=(today + judged.LONGEST - timedelta(days=1)).isoformat(),
        limit=starting.DEFAULT_LIMIT,
        largest_limit=starting.LARGEST_LIMIT,
        done=done,
        refused=refused,
        problems=problems or {},
        form=defaultdict(str, form or {}),
    )


def _scope(tenant: str | None) -> tuple[str, str]:
    return (_WITHOUT, "events without a tenant") if tenant is None else (f"{_OF}{tenant}", f"the tenant {tenant}")
