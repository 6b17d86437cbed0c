"""Ids: UUIDv7 for everything stored, ULIDs as Inngest assigns them."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uuid_utils
import uuid_utils.compat

_V7_TIME_BITS = 80
_TIME = ((1 << 128) - 1) >> _V7_TIME_BITS << _V7_TIME_BITS
_V7 = (0x7 << 76) | (0x2 << 62)
"""Version and variant, in their places."""
_FREE = ((1 << _V7_TIME_BITS) - 1) & ~(0xF << 76) & ~(0x3 << 62)
"""The bits that are not time, version or variant."""
_UNKNOWN = uuid.SafeUUID.unknown  # to ask an enumeration for it each time takes longer than all the rest
_ENTROPY_BYTES = 10
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]
_SHIFTS = range(120, -1, -10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> uuid.UUID:
    """A UUIDv7 of now."""
    return uuid_utils.compat.uuid7()


def new_ids_bytes(number: int) -> list[bytes]:
    """The 16 bytes of so many UUIDv7s of now, for rows whose id nobody here needs as an object."""
    make = uuid_utils.uuid7
    return [make().bytes for _ in range(number)]


def id_of(identifier: bytes) -> uuid.UUID:
    """The UUID of these 16 bytes."""
    return _uuid(int.from_bytes(identifier, "big"))


def text_of(identifier: bytes) -> str:
    """The UUID of these 16 bytes as it is written, in a third of the time that an object of it takes."""
    digits = identifier.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_id(parent: uuid.UUID, *parts: str) -> uuid.UUID:
    """A UUIDv7 with the parent's time and random bits made from the parent and `parts`.

    Whoever derives it gets the same id, so that creating the row is idempotent, and it falls into the same
    partition as its parent.
    """
    whole = parent.int
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=10, key=whole.to_bytes(16, "big")).digest()
    return _uuid(whole & _TIME | int.from_bytes(digest, "big") & _FREE | _V7)


def _uuid(value: int) -> uuid.UUID:
    """The same as `UUID(int=value)` in a third of the time: each event needs a dozen of them."""
    made = object.__new__(uuid.UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def time_of(identifier: uuid.UUID) -> datetime:
    """The millisecond at which a UUIDv7 was made."""
    return _EPOCH + timedelta(milliseconds=identifier.int >> _V7_TIME_BITS)


def first_id_at(moment: datetime) -> uuid.UUID:
    """The smallest UUIDv7-sized value of that millisecond: a partition bound or a cursor. Before 1970 there is none
    smaller than 0."""
    milliseconds = max((moment - _EPOCH) // timedelta(milliseconds=1), 0)
    return uuid.UUID(int=milliseconds << _V7_TIME_BITS)


@dataclass(frozen=True, slots=True)
class Seed:
    """What fixes the ULIDs that Inngest gives the events of one request (`x-inngest-event-id-seed`).

    The i-th event (from 0) gets the ULID of `milliseconds` and `entropy` whose last four bytes, big-endian,
    are increased by i + 1. A request that starts at the n-th event therefore sends `shifted(n)`: whatever
    is sent together, each event keeps its id.
    """

    milliseconds: int
    entropy: bytes

    @classmethod
    def new(cls) -> Seed:
        """A seed of now, with room for any batch in its last four bytes."""
        entropy = bytearray(os.urandom(_ENTROPY_BYTES))
        entropy[-4] &= 0x7F
        return cls(time.time_ns() // 1_000_000, bytes(entropy))

    @classmethod
    def parse(cls, header: str) -> Seed | None:
        """Read the header's `<milliseconds>,<base64 of 10 bytes>`; None when malformed (ignored upstream)."""
        milliseconds, _, encoded = header.partition(",")
        try:
            entropy = b64decode(encoded, validate=True)
            moment = int(milliseconds)
        except ValueError:
            return None
        if len(entropy) != _ENTROPY_BYTES or not 0 <= moment < 1 << 48:
            return None
        return cls(moment, entropy)

    def header(self) -> str:
        return f"{self.milliseconds},{b64encode(self.entropy).decode()}"

    def shifted(self, positions: int) -> Seed:
        counter = (int.from_bytes(self.entropy[-4:], "big") + positions) & 0xFFFFFFFF
        return Seed(self.milliseconds, self.entropy[:-4] + counter.to_bytes(4, "big"))

    def ulid(self, position: int) -> str:
        """The internal event id that Inngest assigns to the event at `position` (from 0)."""
        return next(self.shifted(position).ulids())

    def ulids(self) -> Iterator[str]:
        """The internal event ids of the events from position 0 on. All but the last eight characters stay the same."""
        entropy = int.from_bytes(self.entropy, "big")
        fixed = self.milliseconds << 80 | entropy & ~0xFFFFFFFF
        start = "".join([_PAIRS[fixed >> shift & 1023] for shift in _SHIFTS[:-4]])
        rest = fixed & 0xFF_0000_0000
        counter = entropy & 0xFFFFFFFF
        while True:
            counter = (counter + 1) & 0xFFFFFFFF
            end = rest | counter
            # The next of them, often a thousand, differ in the last two characters only.
            most = f"{start}{_PAIRS[end >> 30]}{_PAIRS[end >> 20 & 1023]}{_PAIRS[end >> 10 & 1023]}"
            for last in range(end & 1023, 1024):
                yield most + _PAIRS[last]
            counter |= 1023
