"""What every answer of the control port tells browsers and caches, unless it says otherwise of itself."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_DOCUMENTED = {
    **HEADERS,
    # The page that FastAPI makes of the document loads its script from there and has a few lines of its own. Whatever
    # it does with a token that somebody gives it, it can send nothing elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src https://cdn.jsdelivr.net 'unsafe-inline'; style-src"
    " https://cdn.jsdelivr.net 'unsafe-inline'; img-src 'self' data: https://fastapi.tiangolo.com; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_DOCUMENT_PATHS = frozenset({"/docs", "/docs/oauth2-redirect"})
STRICT_TRANSPORT = "max-age=31536000"
"""What is reached by TLS once is not reached without it for a year."""


class WithHeaders:
    """An app, with these headers on whatever it answers, errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = _DOCUMENTED if scope["path"] in _DOCUMENT_PATHS else HEADERS

        started = False

        async def careful(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _add(MutableHeaders(scope=message), added, scope)
            await send(message)

        try:
            await self._app(scope, receive, careful)
        except Exception:
            # Starlette raises once more what was answered, and logged: the server would log it again, and hang up.
            if not started:
                raise


def _add(headers: MutableHeaders, added: Mapping[str, str], scope: Scope) -> None:
    for name, value in added.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
