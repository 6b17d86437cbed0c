"""Ids in the shapes Trigger.dev gives out: cuids, with a prefix where the API shows them.

Clients must treat them as opaque; the shape is kept only so that logs and fixtures look alike.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_counter = itertools.count(secrets.randbelow(36**2))


def base36(number: int, width: int) -> str:
    """`number` in base 36, cut or padded on the left to `width` digits."""
    digits = []
    for _ in range(width):
        number, rest = divmod(number, 36)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def new_cuid() -> str:
    """A 25-character id: `c`, milliseconds, a counter, randomness."""
    milliseconds = base36(time.time_ns() // 1_000_000, 8)
    return f"c{milliseconds}{base36(next(_counter), 4)}{base36(secrets.randbits(64), 12)}"


def stable_cuid(text: str) -> str:
    """A cuid-shaped id that is the same for the same text, so that restarts keep environment ids."""
    return f"cm{base36(int.from_bytes(hashlib.sha256(text.encode()).digest()), 23)}"


def span_id() -> str:
    """A W3C span id: 16 hex digits."""
    return secrets.token_hex(8)


def trace_id() -> str:
    """A W3C trace id: 32 hex digits."""
    return secrets.token_hex(16)
