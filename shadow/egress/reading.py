"""Reads that Shadow makes at targets itself: probes. With the target's credential, and the same checks as any call."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import orjson

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Authority
from shadow.effects.probes import Fetched
from shadow.effects.sql_reading import CannotRead
from shadow.egress.address import BadAddress, address
from shadow.egress.answers import Answer
from shadow.egress.disposition import CallEffect, Disposition
from shadow.egress.upstream import Outgoing, Response, Unreachable, Upstream, permit
from shadow.platforms.resolving import Forbidden

MOST_BYTES = 1024 * 1024
_NOBODYS: Authority = "none"
_READS = frozenset({"GET", "HEAD"})


class TargetReads:
    """Reads at declared targets."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._upstreams = {
            name: Upstream(name, target) for name, target in catalogue.targets.items() if not target.is_mail
        }

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()

    async def fetch(self, target: str, method: str, path: str, query: str, within: timedelta) -> Fetched:
        """One read; see `FetchesTarget.fetch`."""
        upstream = self._upstreams.get(target)
        if upstream is None or method not in _READS:
            raise CannotRead(f"{target} has no {method} by HTTP")
        try:
            call = Outgoing(method, address(path.encode()), query.encode(), [(b"accept", b"application/json")], "")
            allowed = permit(Disposition.FORWARD, _NOBODYS, CallEffect.READ, "forward")
            async with asyncio.timeout(within.total_seconds()):
                return await self._answer(await upstream.send(allowed, call, None))
        except TimeoutError:
            raise CannotRead(f"it took longer than {within.total_seconds():g}s") from None
        except (BadAddress, Forbidden, Unreachable) as error:
            raise CannotRead(str(error)) from None
        except httpx.HTTPError as error:
            raise CannotRead(type(error).__name__) from None

    async def _answer(self, response: Response) -> Fetched:
        try:
            content = b""
            async for chunk in response.pieces():
                content += chunk
                if len(content) > MOST_BYTES:
                    break
        finally:
            response.close()
        # Whoever packs an answer that was asked for as it is, packs it with gzip.
        content = Answer(response.status, tuple(response.headers), content).for_client("identity").body
        if len(content) > MOST_BYTES:
            raise CannotRead(f"the answer is longer than {MOST_BYTES} bytes")
        return Fetched(response.status, _parsed(content))


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        return content.decode(errors="replace")
