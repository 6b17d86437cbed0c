"""The HTTP client: one for all that Shadow sends, and a way to carry others' requests unchanged.

What is carried arrives as it was sent: no redirect is followed, nothing is decompressed, no cookie is kept, no
proxy or netrc of the environment is used, repeated headers stay repeated, and the length is announced
(Trigger.dev answers 413 to a body without Content-Length). `tests/integration/platforms/test_client.py` holds
the transport to that with a server made of raw sockets.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from shadow.platforms.connection import Overlong
from shadow.platforms.pool import Tls
from shadow.platforms.transport import WITH_BODY, Wire, address

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that speak of one connection and not of the message (RFC 9110, 7.6.1)."""
_REMADE = frozenset({"host", "content-length", "expect"})
"""Headers that the client makes anew for the next hop."""


class TooLarge(Exception):
    """An answer was longer than the caller allows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: headers in their order, repeated ones included, and the bytes of the body as sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def fields(self) -> Mapping[str, str]:
        """The headers by lower-case name; of repeated ones the last."""
        return {name.lower(): value for name, value in self.headers}


class CarryingClient(httpx.AsyncClient):
    """httpx's client over `Wire`."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(
            transport=wire,
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            headers={"accept-encoding": "identity", "user-agent": "shadow"},
            timeout=httpx.Timeout(30.0),
        )
        self.wire = wire

    def bare(self) -> bool:
        """Whether nobody wants to see requests and answers in httpx's shape."""
        hooks = self.event_hooks
        return not hooks["request"] and not hooks["response"]


def carrying_client(*, tls: ssl.SSLContext | None = None, tls_of: Tls | None = None) -> CarryingClient:
    """The client. Its connections are not limited: who uses it bounds what is in flight, so that a platform
    that hangs cannot take the connections of another.

    Args:
        tls: how upstreams are verified, and which certificate is shown to them; None: the usual authorities.
        tls_of: the same for a host and port that has its own.
    """
    return CarryingClient(Wire(tls=tls, tls_of=tls_of))


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a message that go on to the next hop, in their order."""
    headers = list(headers)
    named = {
        token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")
    }
    dropped = HOP_BY_HOP | _REMADE | named
    return [(name, value) for name, value in headers if name.lower() not in dropped]


async def carry(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    content: bytes,
    *,
    within: timedelta,
    most: int = 64 * 1024 * 1024,
    at: str | None = None,
) -> Answer:
    """Send a request just as it is and return the answer just as it is.

    Args:
        headers: sent as they are, besides those of one hop; Host and Content-Length are added.
        within: for the whole exchange, from connecting to the last byte.
        most: bytes that the answer's body may have.
        at: the address to connect to, where it was looked up and checked; the certificate has to be the host's all
            the same.

    Raises:
        httpx.TransportError: no connection, or it broke.
        TimeoutError: not done in time.
        TooLarge: the answer is too long.
    """
    try:
        sent = [(name.encode("ascii"), value.encode("latin-1")) for name, value in end_to_end(headers)]
    except UnicodeEncodeError as error:
        raise httpx.LocalProtocolError(f"a header that can't be written: {error.reason}") from None
    async with asyncio.timeout(within.total_seconds()):
        if isinstance(http, CarryingClient) and http.bare():
            return await _carry(http.wire, method, url, sent, content, most, at)
        return await _carry_by_httpx(http, method, url, sent, content, most, at)


async def _carry(
    wire: Wire,
    method: str,
    url: str,
    sent: Sequence[tuple[bytes, bytes]],
    content: bytes,
    most: int,
    at: str | None,
) -> Answer:
    where, host, target = address(url)
    if at is not None:
        where = where._replace(host=at)
    try:
        status, raw, body = await wire.whole(method, where, target, [(b"host", host), *sent], content, most=most)
    except Overlong:
        raise TooLarge(f"{method} {where.host}: more than {most} bytes came back") from None
    return Answer(status, tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw), body)


async def _carry_by_httpx(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    sent: list[tuple[bytes, bytes]],
    content: bytes,
    most: int,
    at: str | None,
) -> Answer:
    if not content and method in WITH_BODY:
        sent.append((b"content-length", b"0"))  # httpx announces no length of an empty body
    # A request of its own making gets none of the client's default headers.
    # No credential of the address's own: what is sent is what the caller gives.
    parsed = httpx.URL(url).copy_with(userinfo=b"")
    extensions: dict[str, object] = {"timeout": httpx.Timeout(None).as_dict()}
    if at is not None:
        sent.append((b"host", parsed.netloc))
        extensions["sni_hostname"] = parsed.raw_host.decode("ascii")
        parsed = parsed.copy_with(host=at)
    request = httpx.Request(method, parsed, headers=sent, content=content, extensions=extensions)
    response = await http.send(request, stream=True, follow_redirects=False)
    try:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > most:
                raise TooLarge(f"{method} {request.url.host}: more than {most} bytes came back")
            chunks.append(chunk)
    finally:
        await response.aclose()
    raw = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw)
    return Answer(response.status_code, raw, b"".join(chunks))
