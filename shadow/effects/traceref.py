"""Inngest's own trace of a run, which outgoing calls carry where the app is instrumented with OpenTelemetry.

The trace id inside `tracestate`'s `inngest@traceref` is one-to-one with the run (the one of `traceparent` is not: runs
of one tree share it), and Inngest computes it from the run's id: the first 16 bytes of Go's ChaCha8 generator, seeded
with the SHA-256 of the id. That is undocumented, so pairs that were learned from a call that carried both come first.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from functools import lru_cache
from urllib.parse import unquote

from ulid import ULID

_CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
_ROUNDS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
_MASK = 0xFFFFFFFF
_BLOCKS = 16
_TOGETHER = 4
"""Blocks whose words are interleaved in the output."""
_KEY_BYTES = 32
_TRACE_BYTES = 16
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")


def chacha8rand(seed: bytes, count: int) -> bytes:
    """The first `count` bytes that the generator gives (C2SP chacha8rand, Go's `rand.NewChaCha8`).

    Raises:
        ValueError: the seed has not 32 bytes.
    """
    if len(seed) != _KEY_BYTES:
        raise ValueError(f"the seed has {len(seed)} bytes, expected {_KEY_BYTES}")
    output = b""
    while len(output) < count:
        # The last bytes of each turn are never given: they are the key of the next.
        needed = count - len(output)
        stream = b"".join(_four_blocks(seed, first) for first in range(0, _blocks_for(needed), _TOGETHER))
        output += stream[: _BLOCKS * 64 - _KEY_BYTES]
        seed = stream[-_KEY_BYTES:]
    return output[:count]


def _blocks_for(count: int) -> int:
    return _BLOCKS if count > (_BLOCKS - _TOGETHER) * 64 else -(-count // (_TOGETHER * 64)) * _TOGETHER


def _four_blocks(key: bytes, first: int) -> bytes:
    words = struct.unpack("<8I", key)
    blocks = [_block(words, first + index) for index in range(_TOGETHER)]
    return struct.pack("<64I", *(block[place] for place in range(16) for block in blocks))


def _block(key: tuple[int, ...], counter: int) -> list[int]:
    """A block of the cipher, to which only the key is added: constants and counter are left out."""
    state = [*_CONSTANTS, *key, counter, 0, 0, 0]
    for _ in range(4):
        for a, b, c, d in _ROUNDS:
            state[a] = (state[a] + state[b]) & _MASK
            state[d] = _turned(state[d] ^ state[a], 16)
            state[c] = (state[c] + state[d]) & _MASK
            state[b] = _turned(state[b] ^ state[c], 12)
            state[a] = (state[a] + state[b]) & _MASK
            state[d] = _turned(state[d] ^ state[a], 8)
            state[c] = (state[c] + state[d]) & _MASK
            state[b] = _turned(state[b] ^ state[c], 7)
    for index, word in enumerate(key, start=4):
        state[index] = (state[index] + word) & _MASK
    return state


def _turned(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK


@lru_cache(maxsize=100_000)
def trace_of_run(run: str) -> str | None:
    """The trace id that Inngest gives a run; None when its id is no ULID."""
    try:
        identifier = ULID.from_str(run)
    except ValueError:
        return None
    return chacha8rand(hashlib.sha256(identifier.bytes).digest(), _TRACE_BYTES).hex()


def trace_in(tracestate: str) -> str | None:
    """The trace id in the entry `inngest@traceref` of a `tracestate` header; None when it has none."""
    for entry in tracestate.split(","):
        name, _, value = entry.strip().partition("=")
        if name != "inngest@traceref":
            continue
        try:
            told = json.loads(unquote(value))
        except ValueError:
            return None
        parent = told.get("tp") if isinstance(told, dict) else None
        match = _TRACEPARENT.match(parent) if isinstance(parent, str) else None
        return match.group(1) if match else None
    return None
