"""What every answer of the control port tells browsers and caches, unless it says otherwise of itself."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.control import viewer

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_VIEWER = {**HEADERS, "Content-Security-Policy": viewer.POLICY}
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
        added = _VIEWER if scope["path"] == viewer.PATH else HEADERS

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
