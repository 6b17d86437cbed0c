"""Ids as workers, databases and targets make them up."""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Callable
from types import MappingProxyType

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE62 = string.ascii_letters + string.digits
_BASE36 = string.ascii_lowercase + string.digits


def _uuid4(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _uuid7(rng: random.Random) -> str:
    value = (rng.randrange(1_700_000_000_000, 1_790_000_000_000) << 80) | rng.getrandbits(80)
    value = (value & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def _ulid(rng: random.Random) -> str:
    return "01" + _any(rng, _CROCKFORD, 24)


def _any(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def _mixed(rng: random.Random, alphabet: str, length: int) -> str:
    """With enough of everything that nobody takes it for a word."""
    while True:
        made = _any(rng, alphabet, length)
        if sum(c.isdigit() for c in made) >= 3 and sum(c.isalpha() for c in made) >= 6:
            return made


def _cuid(rng: random.Random) -> str:
    """Some cuids have all their digits together, as a word with a number has: those nobody can tell."""
    while True:
        made = "c" + _mixed(rng, _BASE36, 24)
        if len(re.findall(r"\d+", made)) >= 2:
            return made


FORMS: MappingProxyType[str, Callable[[random.Random], str]] = MappingProxyType(
    {
        "uuid": _uuid4,
        "uuid7": _uuid7,
        "UUID": lambda rng: _uuid4(rng).upper(),
        "hex32": lambda rng: _uuid4(rng).replace("-", ""),
        "ulid": _ulid,
        "object": lambda rng: f"{rng.getrandbits(32) | 1 << 30:08x}{rng.getrandbits(64):016x}",
        "transfer": lambda rng: f"tr_{rng.getrandbits(96):024x}",
        "message": lambda rng: f"msg_{rng.getrandbits(96):024x}",
        "base62": lambda rng: "po_" + _mixed(rng, _BASE62, 24),
        "deep": lambda rng: "acct_link_" + _mixed(rng, _BASE62, 22),
        "cuid": _cuid,
        # Only at the birth place of a database's key: nothing else tells such an id from a figure.
        "serial": lambda rng: str(rng.randrange(1_000, 4_000_000)),
    }
)
"""How ids look, by the name of the form."""

MADE_BY_WORKERS = ("uuid", "uuid7", "UUID", "hex32", "ulid", "object", "cuid")
"""Forms that a worker makes up by itself; the others come with a target's answer."""
