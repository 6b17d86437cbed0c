"""The object store of a platform, at addresses that the platform tells.

Whoever stands behind the platform could name any: the metadata service of our cloud, a database's port, our own control
port. What lies there would be taken for a payload, and handed on. So an address outside of the platform's own origin is
looked up and checked as a target's is, and the connection goes to what was checked. A store in a private network is
right where the platform itself lies in one, and where the catalogue says so.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

import httpx

from shadow.platforms.client import Answer, carry
from shadow.platforms.resolving import Forbidden, Lookup, Resolver, system
from shadow.platforms.transport import origin


class NoStore(ValueError):
    """The platform named an address where no store of its may be. `str()` quotes nothing of it but the host."""


class PacketStore:
    """Reads what a platform keeps elsewhere."""

    def __init__(
        self,
        platform: str,
        http: httpx.AsyncClient,
        within: timedelta,
        most: int,
        *,
        private: bool = False,
        lookup: Lookup = system,
    ) -> None:
        """The store of a platform.

        Args:
            platform: its URL.
            within: for reading one packet.
            most: bytes that one may have.
            private: the store may lie in a private network wherever the platform lies.
        """
        self._platform = httpx.URL(platform)
        self._own = origin(self._platform)
        self._http = http
        self._within = within
        self._most = most
        self._private = private
        self._lookup = lookup
        self._home = self._resolver(self._platform, private=False)

    async def read(self, url: str) -> Answer:
        """What lies at the address; no redirect is followed, and no key of the platform's is sent.

        Raises:
            NoStore: no store may lie there.
            httpx.TransportError, TimeoutError: it does not answer, or its name can't be resolved.
            client.TooLarge: it is too long.
        """
        try:
            where = httpx.URL(url)
            is_own = origin(where) == self._own
            if (where.port or 1) > 65535:
                raise httpx.InvalidURL("no port")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise NoStore("what the platform names as the place of a packet is no address of HTTP") from None
        if is_own:
            return await self._carried(url, None)
        *others, last = await self._checked(where)
        for at in others:
            with contextlib.suppress(httpx.ConnectError):  # nobody is there; somebody may be at the next
                return await self._carried(url, at)
        return await self._carried(url, last)

    async def _carried(self, url: str, at: str | None) -> Answer:
        return await carry(self._http, "GET", url, (), b"", within=self._within, most=self._most, at=at)

    async def _checked(self, where: httpx.URL) -> tuple[str, ...]:
        host = where.raw_host.decode("ascii")
        try:
            private = self._private or await self._is_private()
            if where.scheme != "https" and not private and self._platform.scheme == "https":
                raise NoStore(f"packets of a platform that is reached by https are not read from {host} without")
            return await self._resolver(where, private=private).addresses()
        except Forbidden:
            raise NoStore(
                f"the platform names {host} as the place of a packet, which is not public "
                "(`private_store: true` allows that)"
            ) from None
        except OSError as error:  # a timeout is one
            raise httpx.ConnectError(f"{host} can't be resolved ({type(error).__name__})") from None

    async def _is_private(self) -> bool:
        try:
            await self._home.addresses()
        except Forbidden:
            return True
        return False

    def _resolver(self, url: httpx.URL, *, private: bool) -> Resolver:
        where = origin(url)
        return Resolver(where.host, where.port, private=private, lookup=self._lookup)
