"""How bodies are kept: one marker byte, then the content, zstd-compressed where that pays."""

from __future__ import annotations

import zstandard

_PLAIN = b"\x00"
_ZSTD = b"\x01"
_WORTH_COMPRESSING = 512
"""Bytes from which compressing saves more than it costs."""

_compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)
_decompressor = zstandard.ZstdDecompressor()


def encode(content: bytes) -> bytes:
    """The stored form of `content`."""
    if len(content) < _WORTH_COMPRESSING:
        return _PLAIN + content
    return _ZSTD + _compressor.compress(content)


def decode(stored: bytes | memoryview) -> bytes:
    """The content of a stored form.

    Raises:
        ValueError: when the marker is unknown.
    """
    view = bytes(stored)
    marker, rest = view[:1], view[1:]
    if marker == _PLAIN:
        return rest
    if marker == _ZSTD:
        return _decompressor.decompress(rest)
    raise ValueError(f"a stored body starts with {marker!r}, expected {_PLAIN!r} or {_ZSTD!r}")
