"""Where a host that a catalogue names lies: every address is checked, so that no name leads into our own network."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_FRESH_SECONDS = 30.0
_RESOLVE_SECONDS = 5.0
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
"""NAT64: the IPv4 address is in the last four bytes."""

_LOCAL = (IPv6Network("fec0::/10"), IPv6Network("64:ff9b:1::/48"))
"""Of one site, though nobody has told `ipaddress`."""
_METADATA = frozenset(
    map(
        ip_address,
        (
            "168.63.129.16",  # Azure; a public address that only its own machines reach
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, of pods
            "fd20:ce::254",  # Google
        ),
    )
)
"""Where clouds tell their machines of themselves, credentials included: no server of anybody's lies there. The one at
169.254.169.254 is link-local, as most are."""

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class Forbidden(Exception):
    """A host resolves to an address that its target may not have."""


def check(address: Address, *, private: bool) -> None:
    """Whether a target may lie at that address.

    Args:
        private: whether private and loopback addresses are declared to be right.

    Raises:
        Forbidden: it may not.
    """
    actual = _actual(address)
    odd = actual.is_multicast or actual.is_unspecified or actual.is_link_local or _is_reserved(actual)
    if odd or actual in _METADATA:
        raise Forbidden(f"{address} is no address of a server")
    local = not actual.is_global or any(address in network for network in _LOCAL)
    if local and not private:
        raise Forbidden(f"{address} is not public; a target there is declared with `private: true`")


def _is_reserved(address: Address) -> bool:
    return address.is_reserved and not address.is_loopback  # ::1 lies in a reserved block


def _actual(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if any(address in network for network in _TRANSLATED):
            return IPv4Address(address.packed[-4:])
    return address


async def system(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Resolves one target's host. What was found is used for a little while; connections go to what was checked."""

    def __init__(self, host: str, port: int, *, private: bool, lookup: Lookup = system) -> None:
        self._host = host
        self._port = port
        self._private = private
        self._lookup = lookup
        self._lock = asyncio.Lock()
        self._known: tuple[str, ...] = ()
        self._until = 0.0

    async def addresses(self) -> tuple[str, ...]:
        """Where the host lies; one forbidden address among them forbids all.

        Raises:
            Forbidden: it may not lie there.
            OSError, TimeoutError: the name can't be resolved.
        """
        if time.monotonic() < self._until:
            return self._known
        async with self._lock:
            if time.monotonic() < self._until:
                return self._known
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = list(dict.fromkeys(await self._lookup(self._host, self._port)))
            if not found:
                raise OSError(f"{self._host} has no address")
            for text in found:
                # An address with a zone (fe80::1%eth0) is of this machine's own links.
                check(ip_address(text.partition("%")[0]), private=self._private)
            self._known, self._until = tuple(found), time.monotonic() + _FRESH_SECONDS
        return self._known

    def prefer(self, address: str) -> None:
        """That one answered: it comes first from now on."""
        if self._known and self._known[0] != address:
            self._known = (address, *(other for other in self._known if other != address))
