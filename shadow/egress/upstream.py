"""Sending a call to its target: the one place from which anything leaves, and only with a permit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

import httpx
import structlog

from shadow.catalogue.outside import Target
from shadow.cutover.decision import Authority
from shadow.egress.address import Address
from shadow.egress.disposition import CallEffect, Disposition, ReadsPolicy
from shadow.egress.keys import PREFIX, offered
from shadow.platforms.client import HOP_BY_HOP, carrying_client, end_to_end
from shadow.platforms.resolving import Resolver
from shadow.platforms.tls import context_of
from shadow.platforms.transport import Exchange, origin

log = structlog.get_logger(__name__)

RawHeaders = Sequence[tuple[bytes, bytes]]

OURS = b"x-shadow-"
"""How our own headers begin; none of them reaches a target, or comes from one."""
_READABLE_ENCODINGS = ("gzip", "identity", "deflate")
"""What a target may encode its answer with: every client can take it when it is replayed."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NO_BODY = frozenset({204, 304})
_DROPPED = frozenset(name.encode() for name in HOP_BY_HOP)


class NotPermitted(Exception):
    """Something was about to leave that must not. It did not."""


class Unreachable(Exception):
    """The target could not be reached, or broke off before it answered."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Permit:
    """That a call may leave. There is no other way to make one than `permit`."""

    authority: Authority
    effect: CallEffect


def permit(disposition: Disposition, authority: Authority | None, effect: CallEffect, reads: ReadsPolicy) -> Permit:
    """The permit for a call, once more from what it rests on, whatever was decided elsewhere.

    Raises:
        NotPermitted: it must not leave.
    """
    if disposition is not Disposition.FORWARD:
        raise NotPermitted(f"the disposition is {disposition}")
    if authority == "real":
        return Permit("real", effect)
    if authority == "none" and effect is CallEffect.READ and reads == "forward":
        return Permit("none", effect)
    raise NotPermitted(f"a {effect} of a run whose authority is {authority}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call as the worker made it."""

    method: str
    address: Address
    query: bytes
    headers: RawHeaders
    key: str
    """The egress key that it carried, wherever that was."""


class Response:
    """A target's answer: its head, and its body as it comes."""

    def __init__(self, exchange: Exchange, within: float) -> None:
        self._exchange = exchange
        self._within = within
        self.status = exchange.status
        self.headers: RawHeaders = exchange.headers
        """In their order, repeated ones included."""

    def length(self) -> int | None:
        """Of the body, as far as it is announced."""
        told = [value for name, value in self.headers if name.lower() == b"content-length"]
        return int(told[-1]) if told and told[-1].isdigit() else None

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, encoded as it is.

        Raises:
            httpx.TransportError: it breaks off.
        """
        return self._exchange.pieces(self._within)

    def close(self) -> None:
        """Nothing more of it is read."""
        self._exchange.close()


class Upstream:
    """One target."""

    def __init__(self, name: str, target: Target, *, resolver: Resolver | None = None) -> None:
        self.name = name
        self._target = target
        self._base = httpx.URL(target.url)
        port = self._base.port or (443 if self._base.scheme == "https" else 80)
        self._resolver = resolver or Resolver(self._base.host, port, private=target.private)
        # A client of its own: a connection is never shared with another target that lies at the same address.
        self._http = carrying_client(tls=None if target.tls is None else context_of(target.tls))
        timeout = target.timeout.total_seconds()
        self._timeouts = {"connect": min(timeout, 10.0), "read": timeout, "write": timeout}
        self._name = self._base.raw_host.decode("ascii")
        self._path = self._base.raw_path.rstrip(b"/")
        set_here = {name.lower(): value.get_secret_value() for name, value in target.headers.items()}
        credential = target.credential
        if credential is not None and credential.header is not None:
            set_here[credential.header.lower()] = credential.secret.get_secret_value()
        self._set_here = {name: (name.encode("ascii"), value.encode()) for name, value in set_here.items()}

    async def close(self) -> None:
        await self._http.aclose()

    async def check(self) -> None:
        """Look where the target lies, before anything is written down of a call that can't leave.

        Raises:
            Forbidden: where it may not.
        """
        try:
            await self._resolver.addresses()
        except (OSError, TimeoutError):
            return  # that is told when the call is sent

    async def send(self, allowed: Permit, outgoing: Outgoing, body: AsyncIterator[bytes] | bytes | None) -> Response:
        """Forward a call; the answer's head is there, its body is to be read. Who gets it closes it.

        Args:
            body: whole, or streamed; None when the worker announced none.

        Raises:
            NotPermitted: the permit is of another call.
            Forbidden: the target lies where it may not.
            Unreachable: no answer.
        """
        if allowed.authority != "real" and allowed.effect is not CallEffect.READ:
            raise NotPermitted("only a run with authority writes")
        try:
            addresses = await self._resolver.addresses()
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"the host can't be resolved ({type(error).__name__})") from None
        query = self._query(outgoing)
        target = self._path + outgoing.address.raw + (b"?" + query if query else b"")
        headers = self._headers(outgoing, body)
        # Most servers refuse one that is spelled otherwise, and most clients spell it so by themselves.
        method = outgoing.method.upper()
        for position, address in enumerate(addresses):
            # The certificate has to be the host's, wherever it lies.
            where = origin(self._base.copy_with(host=address), self._name)
            try:
                exchange = await self._http.wire.open(
                    method, where, target, headers, body or b"", timeouts=self._timeouts
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                # Nothing has left: the next address may be tried.
                if position + 1 == len(addresses):
                    raise Unreachable(_reason(error), timed_out=isinstance(error, httpx.TimeoutException)) from None
            except httpx.TimeoutException as error:
                raise Unreachable(_reason(error), timed_out=True) from None
            except httpx.TransportError as error:
                raise Unreachable(_reason(error)) from None
            else:
                self._resolver.prefer(address)
                return Response(exchange, self._timeouts["read"])
        raise Unreachable("the host has no address")

    def _headers(self, outgoing: Outgoing, body: AsyncIterator[bytes] | bytes | None) -> list[tuple[bytes, bytes]]:
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outgoing.headers]
        length = next((value for name, value in given if name.lower() == "content-length"), None)
        kept = [
            (name.encode("latin-1"), (self._encodings(value) if low == "accept-encoding" else value).encode("latin-1"))
            for name, value in end_to_end(given)
            if (low := name.lower()) not in self._set_here
            and not low.startswith(OURS.decode())
            and not (low == "authorization" and self._holds_key(value, outgoing.key))
        ]
        headers = [(b"host", self._base.netloc), *kept, *self._set_here.values()]
        if not any(name.lower() == b"accept-encoding" for name, _value in kept):
            headers.append((b"accept-encoding", b"identity"))
        if isinstance(body, bytes) and body:
            headers.append((b"content-length", b"%d" % len(body)))
        elif body:
            headers.append(
                (b"transfer-encoding", b"chunked") if length is None else (b"content-length", length.encode("latin-1"))
            )
        elif outgoing.method in _WITH_BODY and length is not None:
            headers.append((b"content-length", b"0"))
        return headers

    def _encodings(self, accepted: str) -> str:
        kept = [one.strip() for one in accepted.split(",") if one.split(";")[0].strip().lower() in _READABLE_ENCODINGS]
        return ", ".join(kept) or "identity"

    def _holds_key(self, value: str, key: str) -> bool:
        """Whether it carries the call's key, or any other of ours."""
        return any(text == key or text.startswith(PREFIX) for text in offered({"authorization": value}, {}, None, None))

    def _query(self, outgoing: Outgoing) -> bytes:
        credential = self._target.credential
        if credential is None or credential.query is None:
            return outgoing.query
        # Every other parameter stays as it was spelled.
        kept = [part for part in outgoing.query.split(b"&") if part and _name(part) != credential.query]
        secret = quote(credential.secret.get_secret_value(), safe="")
        return b"&".join([*kept, f"{quote(credential.query, safe='')}={secret}".encode()])


def _name(part: bytes) -> str:
    found = parse_qsl(part.decode("latin-1"), keep_blank_values=True)
    return found[0][0] if found else ""


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200] if str(error) else type(error).__name__


def answer_headers(response: Response) -> tuple[tuple[bytes, bytes], ...]:
    """An answer's headers as they came, without those of one hop and without any that look like ours."""
    told = (value for name, value in response.headers if name.lower() == b"connection")
    dropped = _DROPPED | {token.strip().lower() for value in told for token in value.split(b",")}
    if response.status in _NO_BODY:
        dropped |= {b"content-length"}
    return tuple(
        (name, value)
        for name, value in response.headers
        if (low := name.lower()) not in dropped and not low.startswith(OURS)
    )
