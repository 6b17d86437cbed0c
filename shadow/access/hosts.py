"""Whether a request was meant for us: by what name its sender called the host.

A page of anybody's can point its own name at 127.0.0.1 and have the browser of somebody on this machine ask what needs
no token (DNS rebinding). The browser sends that name along, and can't be made to send another: so a name that is not
ours is answered nothing. Addresses are nobody's to point elsewhere, and health checks ask by them.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

_OURS = frozenset({"localhost"})


def is_ours(host: str | None, names: Collection[str] = ()) -> bool:
    """Whether a `Host` (RFC 9110, 7.2) is an address, `localhost` or a name below it, or one of `names`.

    A request without any comes from no browser.
    """
    if host is None:
        return True
    name = _name(host)
    if name in _OURS or name.endswith(".localhost") or name in {one.lower().rstrip(".") for one in names}:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """Without port, brackets and the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")
