"""Random nonces, drawn from the system many at a time: one system call each would be felt on the doors' path."""

from __future__ import annotations

import os

LENGTH = 12
"""Bytes of a nonce for AES-GCM."""
_DRAWN = 256

_ready: list[bytes] = []


def nonce() -> bytes:
    """A nonce that nobody else gets."""
    try:
        return _ready.pop()
    except IndexError:
        drawn = os.urandom(LENGTH * _DRAWN)
        _ready.extend(drawn[start : start + LENGTH] for start in range(LENGTH, len(drawn), LENGTH))
        return drawn[:LENGTH]


# A forked process would hand out the same ones again.
os.register_at_fork(after_in_child=_ready.clear)
