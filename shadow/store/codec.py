"""How bodies are kept: a marker byte, then the content, zstd-compressed where that pays.

Originals are sealed around that (shadow/sealing). Evidence carries before it which key its hashes were made with.
"""

from __future__ import annotations

import zstandard

_PLAIN = b"\x00"
_ZSTD = b"\x01"
SEALED = b"\x02"
_EVIDENCE = b"\x03"
_TAG = 8
HEAD = 1 + _TAG
"""Bytes at the beginning of evidence that say what it is, and with which key its hashes were made."""
UNTAGGED = bytes(_TAG)
"""The tag of evidence in which nothing had to be hashed."""
_WORTH_COMPRESSING = 512
"""Bytes from which compressing saves more than it costs."""

_compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
_decompressor = zstandard.ZstdDecompressor()


class BodyIsSealed(ValueError):
    """A body that only a vault can open."""

    def __init__(self) -> None:
        super().__init__("the body is a sealed original")


def encode(content: bytes) -> bytes:
    """The stored form of `content`, before it is sealed."""
    if len(content) < _WORTH_COMPRESSING:
        return _PLAIN + content
    return _ZSTD + _compressor.compress(content)


def encode_evidence(content: bytes, tag: bytes = UNTAGGED) -> bytes:
    """The stored form of redacted content.

    Args:
        tag: of the key with which something in it was hashed.
    """
    return _EVIDENCE + tag + encode(content)


def decode(stored: bytes | memoryview) -> bytes:
    """The content of a stored form.

    Raises:
        BodyIsSealed: it is sealed.
        ValueError: the marker is unknown.
    """
    view = stored if isinstance(stored, bytes) else bytes(stored)
    start = 0
    while (marker := view[start : start + 1]) == _EVIDENCE:
        start += HEAD
    if marker == _PLAIN:
        return view[start + 1 :]
    if marker == _ZSTD:
        return _decompressor.decompress(view[start + 1 :])
    if marker == SEALED:
        raise BodyIsSealed
    raise ValueError(f"a stored body starts with {marker!r}, expected one of {_PLAIN!r} to {_EVIDENCE!r}")


def is_sealed(stored: bytes | memoryview) -> bool:
    """Whether a stored form is a sealed original."""
    return bytes(stored[:1]) == SEALED


def is_evidence(stored: bytes) -> bool:
    """Whether a stored form is evidence; else it is an original, or of a time before evidence was redacted."""
    return stored[:1] == _EVIDENCE


def evidence_tag(stored: bytes | memoryview) -> bytes | None:
    """The tag of evidence; None of what is none: an original, or of a time before evidence was redacted."""
    return bytes(stored[1 : 1 + _TAG]) if bytes(stored[:1]) == _EVIDENCE else None
