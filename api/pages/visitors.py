"""Who looks: sessions in a cookie, scopes, and that a form which is sent in was ours."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.control.services import services_of
from api.pages.problems import PageProblem
from shadow.access import sessions
from shadow.access.sessions import LONGEST, Session
from shadow.access.tokens import Scope

COOKIE = "shadow_session"
FORM_TOKEN = "form_token"  # noqa: S105 - the field's name
ROOT = "/pages/"
_MOST_BYTES = 64 * 1024
_BY_PERSON = "document"
"""What browsers say they want when somebody opens a page or sends a form in."""
_FORM = "application/x-www-form-urlencoded"


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        """Where they wanted to go."""

    @property
    def address(self) -> str:
        return f"{ROOT}sign-in?next={quote(self.wanted, safe='/')}"


async def visitor(request: Request) -> Session:
    """Who is signed in, to see what is of all tenants together.

    Raises:
        SignInNeeded: nobody.
        PageProblem: with a token that is limited to tenants.
    """
    found = await tenant_visitor(request)
    _not_of_tenants(found)
    return found


async def tenant_visitor(request: Request) -> Session:
    """Who is signed in, be it with a token that is limited to tenants: what they see must be of these alone.

    Raises:
        SignInNeeded: nobody.
    """
    found = await signed_in(request)
    if found is None:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeeded(wanted if request.method in ("GET", "HEAD") else ROOT)
    request.state.visitor = found
    return found


async def signed_in(request: Request) -> Session | None:
    """Who is signed in, if anybody is, and may read."""
    if request.headers.get("sec-fetch-dest", _BY_PERSON) != _BY_PERSON:
        return None  # a script's request, as of one that another page of this port loads: no page of ours makes any
    secret = request.cookies.get(COOKIE)
    found = await sessions.find(services_of(request).engine, secret) if secret else None
    return found if found is not None and Scope.READ in found.token.scopes else None


async def operator(request: Request) -> tuple[Session, dict[str, str]]:
    """Who sends a form in that is about all tenants together, and what it says.

    Raises:
        SignInNeeded: nobody is signed in.
        PageProblem: the token may not operate, is limited to tenants, or the form was not ours.
    """
    found, form = await tenant_operator(request)
    _not_of_tenants(found)
    return found, form


async def tenant_operator(request: Request) -> tuple[Session, dict[str, str]]:
    """The same, be it with a token that is limited to tenants: what they do must be about these alone."""
    check_origin(request)
    found = await tenant_visitor(request)
    form = await read_form(request)
    check_form_token(found, form)
    if Scope.OPERATE not in found.token.scopes:
        raise PageProblem(403, f"The token {found.token.name} may read only: this needs one with the scope operate.")
    return found, form


def _not_of_tenants(session: Session) -> None:
    if session.token.tenants is not None:
        says = f"The token {session.token.name} is limited to tenants, and this page tells of all of them together."
        raise PageProblem(403, says)


def check_form_token(session: Session, form: Mapping[str, str]) -> None:
    """Refuse a form that was made for another session, or by somebody else."""
    if not hmac.compare_digest(form.get(FORM_TOKEN, "").encode(), session.form_token.encode()):
        raise PageProblem(403, "This form is of another session. Go back, load the page again and send it from there.")


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends in somebody's name. Browsers say where a form comes from; what says
    nothing is no browser, and has no cookie that it was not told."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    elif origin is not None:
        ours = _host_of(origin) == request.headers.get("host")
    else:
        ours = True
    if not ours:
        raise PageProblem(403, "This form was sent from another site.")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name the last. Line ends are as on Unix.

    Raises:
        PageProblem: it is too large, or no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise PageProblem(415, f"Expected a form ({_FORM}).")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise PageProblem(413, f"A form may have {_MOST_BYTES // 1024} KiB.")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise PageProblem(422, "This form can't be read.") from error
    return {name: value.replace("\r\n", "\n") for name, value in fields}


def remember(response: Response, request: Request, secret: str) -> None:
    """Give the browser its secret. No script can read it, and no other site's page can have it sent along."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(LONGEST.total_seconds()),
        path=ROOT.rstrip("/"),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def forget(response: Response, request: Request) -> None:
    """Take it back."""
    response.delete_cookie(
        COOKIE, path=ROOT.rstrip("/"), secure=request.url.scheme == "https", httponly=True, samesite="strict"
    )


def safe_address(wanted: str | None) -> str:
    """Where to go after signing in: one of the pages, whatever somebody put into the address."""
    if not wanted or not wanted.isascii() or not wanted.isprintable():
        return ROOT
    elsewhere = not wanted.startswith(ROOT) or wanted.startswith(f"{ROOT}sign-") or "\\" in wanted or "//" in wanted
    return ROOT if elsewhere else wanted
