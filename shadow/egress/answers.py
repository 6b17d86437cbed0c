"""The answers of targets as they are kept for replay, sealed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

RawHeaders = Sequence[tuple[bytes, bytes]]

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
        kept = tuple((name, value) for name, value in self.headers if name.lower() != b"content-encoding")
        return Answer(self.status, kept, zlib.decompress(self.body, zlib.MAX_WBITS | 32) if self.body else b"")


def encoded_headers(headers: RawHeaders) -> bytes:
    return orjson.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers])


def decoded_headers(content: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(content))
