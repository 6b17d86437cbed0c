"""The answers of targets as they are kept for replay, sealed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

RawHeaders = Sequence[tuple[bytes, bytes]]

MOST_UNZIPPED = 32 * 1024 * 1024
"""Bytes that a recorded answer may have for a client that takes no gzip."""
_ZIPPED = frozenset({b"gzip", b"x-gzip"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answered."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def for_client(self, accept_encoding: str) -> Answer:
        """The same answer for a client that may not take its content's encoding."""
        encoding = next((value.lower() for name, value in self.headers if name.lower() == b"content-encoding"), b"")
        if encoding not in _ZIPPED or "gzip" in accept_encoding or "*" in accept_encoding:
            return self
        plain = _unzipped(self.body)
        if plain is None:
            return self
        kept = tuple((name, value) for name, value in self.headers if name.lower() != b"content-encoding")
        return Answer(self.status, kept, plain)


def _unzipped(body: bytes) -> bytes | None:
    """None for what is no gzip, and for a small body that would become a huge one."""
    if not body:
        return b""
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = reader.decompress(body, MOST_UNZIPPED + 1)
    except zlib.error:
        return None
    return plain if reader.eof and len(plain) <= MOST_UNZIPPED else None


def encoded_headers(headers: RawHeaders) -> bytes:
    return orjson.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers])


def decoded_headers(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(content))
