"""Sending a message to a channel: to a checked address, following nobody elsewhere, and without telling secrets.

A channel's URL is a secret itself (Slack's is all that it takes to post), so neither it nor what an answer says is ever
logged or kept.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import structlog

from shadow.catalogue.notice_settings import NoticeChannel
from shadow.notices.messages import Message, Told, slack, webhook
from shadow.platforms.client import carrying_client
from shadow.platforms.resolving import Forbidden, Resolver
from shadow.platforms.throttle import retry_after

log = structlog.get_logger(__name__)

WITHIN = timedelta(seconds=10)
"""For one attempt, from the look-up of the name to the answer."""
_MOST_BYTES = 1024
_SLACK_ERROR = re.compile(r"[a-z_]{1,60}")
"""What Slack says of a message that it refuses: a word such as `invalid_payload`."""
_GONE = 410
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one attempt."""

    error: str | None
    """Why it was not taken; None where it was."""
    final: bool = False
    """Whether trying again is of no use."""
    asked: timedelta | None = None
    """How long the receiver asks us to wait."""


class Channel:
    """One channel of the catalogue, with a client of its own."""

    def __init__(
        self, name: str, settings: NoticeChannel, links: str | None, *, resolver: Resolver | None = None
    ) -> None:
        self.name = name
        self._settings = settings
        self._links = links
        self._url = httpx.URL(settings.url.get_secret_value())
        self._name = self._url.raw_host.decode("ascii")
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._resolver = resolver or Resolver(self._url.host, port, private=settings.private)
        self._http = carrying_client()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, told: Told) -> Result:
        """Try once to hand it over; whatever goes wrong is the result's."""
        try:
            async with asyncio.timeout(WITHIN.total_seconds()):
                return await self._answer(await self._post(self._message(told)))
        except Forbidden:
            # The address might be somebody's own network, of which nothing is to be told.
            return Result("its host lies at an address that is not public (`private: true` allows that)")
        except TimeoutError:
            return Result(f"no answer within {WITHIN.total_seconds():g}s")
        except (OSError, httpx.HTTPError) as error:
            return Result(f"can't be reached ({type(error).__name__})")
        except Exception as error:
            # What can't be told must not keep others from being told. Without its text: it might hold the address.
            log.error("notices.failed", channel=self.name, notice=str(told.notice), error=type(error).__name__)
            return Result(f"no message could be made of it ({type(error).__name__})")

    def _message(self, told: Told) -> Message:
        if self._settings.kind == "slack":
            return slack(told, self._links)
        secret = self._settings.secret
        return webhook(told, self._links, None if secret is None else secret.get_secret_value(), datetime.now(UTC))

    async def _post(self, message: Message) -> httpx.Response:
        addresses = await self._resolver.addresses()
        for position, address in enumerate(addresses):
            request = httpx.Request(
                "POST",
                self._url.copy_with(host=address),
                headers=[("host", self._url.netloc.decode("ascii")), ("user-agent", "shadow"), *message.headers],
                content=message.body,
                # The certificate has to be the host's, wherever it lies.
                extensions={
                    "sni_hostname": self._name,
                    "timeout": httpx.Timeout(None).as_dict(),
                },
            )
            try:
                response = await self._http.send(request, stream=True, follow_redirects=False)
            except httpx.ConnectError:
                # Nothing has left: the next address may be tried.
                if position + 1 == len(addresses):
                    raise
            else:
                self._resolver.prefer(address)
                return response
        raise OSError("the host has no address")

    async def _answer(self, response: httpx.Response) -> Result:
        try:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MOST_BYTES:
                    break
        finally:
            await response.aclose()
        status = response.status_code
        if 200 <= status < 300:
            return Result(None)
        refused = 400 <= status < 500 and status not in _LATER
        return Result(
            f"answered {status}{self._said(body)}",
            # A webhook's receiver may be in the middle of a deployment; Slack's means what it says.
            final=status == _GONE or (refused and self._settings.kind == "slack"),
            asked=retry_after({name.lower(): value for name, value in response.headers.items()}, datetime.now(UTC)),
        )

    def _said(self, body: bytes) -> str:
        text = body.decode(errors="replace").strip()
        known = self._settings.kind == "slack" and _SLACK_ERROR.fullmatch(text)
        return f": {text}" if known else ""
