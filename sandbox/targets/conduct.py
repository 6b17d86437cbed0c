"""Conduct: how well the targets behave, as switches that may be turned while they serve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_SHARES = 10_000


@dataclass
class Conduct:
    """Latency, outages and stumbles of targets.

    `latency`: seconds before every answer. `down`: names of targets that answer 503. `stumbles`: the share
    (0..1) of business keys whose first call is answered 503, before anything happened; which keys these are
    depends on the key and on `salt` alone, so it is the same in every run of the sandbox.
    """

    latency: float = 0.0
    down: set[str] = field(default_factory=set)
    stumbles: float = 0.0
    salt: str = ""
    _stumbled: set[tuple[str, str]] = field(default_factory=set, repr=False)

    def stumbles_at(self, target: str, key: str) -> bool:
        """Whether the call at hand, made for a business key, is to fail this once."""
        if (target, key) in self._stumbled:
            return False
        digest = hashlib.blake2b(f"{self.salt}/{target}/{key}".encode(), digest_size=8).digest()
        if int.from_bytes(digest, "big") % _SHARES >= self.stumbles * _SHARES:
            return False
        self._stumbled.add((target, key))
        return True
