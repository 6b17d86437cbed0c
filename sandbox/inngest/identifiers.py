"""Every id the pretend server hands out: ULIDs (random or from a sender's seed), UUIDs of apps and
functions, trace ids.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import struct
import uuid
from functools import lru_cache

from ulid import ULID

ACCOUNT_ID = "00000000-0000-4000-a000-000000000000"
"""The fixed account of development servers, sent as `account-id` with every call."""

ENVIRONMENT_ID = "00000000-0000-4000-b000-000000000000"
"""The fixed environment of development servers, shown by `/v1/runs/{id}`."""

NIL_ID = "00000000-0000-0000-0000-000000000000"

ENTROPY_BYTES = 10
MASK = 0xFFFFFFFF
IN_ALL_LANES = sum(1 << (64 * lane) for lane in range(4))
LANES = MASK * IN_ALL_LANES
COUNTERS = sum(lane << (64 * lane) for lane in range(4))
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Seed = tuple[int, bytes]
"""Milliseconds and ten bytes of entropy, as the header `x-inngest-event-id-seed` carries them."""


def new_ulid(millis: int) -> str:
    """A random ULID with the given time."""
    return str(ULID.from_bytes(millis.to_bytes(6, "big") + secrets.token_bytes(ENTROPY_BYTES)))


def is_ulid(text: str) -> bool:
    """Whether the server would parse `text` as a ULID; like the real one, it looks at the length alone."""
    return len(text) == 26


def parse_seed(header: str | None) -> Seed | None:
    """Read `<millis>,<base64 of 10 bytes>`; anything malformed is ignored, as the real server does."""
    if not header:
        return None
    millis, comma, entropy = header.partition(",")
    if not comma:
        return None
    try:
        moment = int(millis)
        raw = base64.b64decode(entropy, validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(raw) != ENTROPY_BYTES or not 0 < moment < 1 << 48:
        return None
    return moment, raw


def seeded_ulid(seed: Seed, position: int) -> str:
    """The ULID of the event at `position` (0-based) of a request with this seed.

    The last four bytes of the entropy, big-endian, are raised by position + 1 (wrapping).
    """
    millis, entropy = seed
    tail = (int.from_bytes(entropy[6:], "big") + position + 1) & MASK
    return str(ULID.from_bytes(millis.to_bytes(6, "big") + entropy[:6] + tail.to_bytes(4, "big")))


def app_uuid(app_name: str) -> str:
    """The server's UUID of an app, a function of its name alone."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, app_name))


def function_uuid(name: str, uri: str) -> str:
    """The server's UUID of a function: its display name followed by the URI of its only step."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name + uri))


def new_job_id() -> str:
    """The id of one queue job, short base 36 as the real queue writes it."""
    number = secrets.randbits(64)
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = BASE36[digit] + digits
    return digits or "0"


def queue_item_reference(job_id: str) -> str:
    """`ctx.qi_id`: what an SDK hands back when it checkpoints, to name the job that called it."""
    return base64.b64encode(f"{job_id}::default".encode()).decode()


def new_trace_id() -> str:
    return secrets.token_hex(16)


def new_span_id() -> str:
    return secrets.token_hex(8)


@lru_cache(maxsize=4096)
def run_trace_id(run_id: str) -> str:
    """The trace id inside `inngest@traceref`, which belongs to one run alone.

    It is the first 16 bytes of the chacha8rand stream (C2SP) seeded with SHA-256 of the run ULID's raw bytes.
    """
    seed = hashlib.sha256(ULID.from_str(run_id).bytes).digest()
    return _chacha8_start(seed).hex()


def _chacha8_start(seed: bytes) -> bytes:
    """The first 16 bytes of chacha8rand: word 0 of each of its first four blocks.

    The four blocks are worked on at once, each in a 64-bit lane of one large integer. chacha8rand adds
    nothing back to the constants' row, which word 0 stands in.
    """
    words = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", seed)]
    state = [word * IN_ALL_LANES for word in words] + [COUNTERS, 0, 0, 0]
    for _ in range(4):
        for column in range(4):
            _quarter_round(state, column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            _quarter_round(state, diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    return b"".join(((state[0] >> (64 * lane)) & MASK).to_bytes(4, "little") for lane in range(4))


def _quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[first] = (state[first] + state[second]) & LANES
        mixed = state[third] ^ state[first]
        state[third] = ((mixed << bits) | (mixed >> (32 - bits))) & LANES
