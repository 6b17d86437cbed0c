"""An HTTP call as evidence: what was asked of a target, parsed by content type, in one JSON document.

Whoever redacts evidence wraps `evidence`; nothing else makes the document that the judge reads.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from comparators.canonical import canonical
from comparators.kinds import form, multipart
from comparators.kinds.headers import content_type as normal_type
from comparators.kinds.url import collected
from comparators.nesting import read
from shadow.effects.notation import in_normal_form
from shadow.model.json_text import has_long_number, parse, write_json

JSON = Any

_JSON_TYPES = ("application/json", "text/json", "application/graphql-response+json")
_FORM = "application/x-www-form-urlencoded"
_TEXT = ("text/", "application/xml", "application/javascript", "application/graphql")


class Unparsable(ValueError):
    """A body that isn't what its content type says."""


@dataclass(frozen=True, slots=True)
class SeenBody:
    """What is known of a body."""

    size: int
    sha256: str
    content: bytes | None
    """None when it was longer than what is kept."""


class BodyRecorder:
    """Takes a body as it passes, keeps so much of it, and its digest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hash = hashlib.sha256()
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._size += len(chunk)
        if self._size <= self._most:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    @property
    def size(self) -> int:
        return self._size

    def seen(self) -> SeenBody:
        content = b"".join(self._chunks) if self._size <= self._most else None
        return SeenBody(self._size, self._hash.hexdigest(), content)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is kept of a call."""

    document: Mapping[str, JSON]
    """`{"method", "path", "params", "query", "body"}`, with a body its `content_type`, and `headers` where some tell
    something: as it was said."""
    normal: Mapping[str, JSON]
    """The same in its normal form, as it is kept."""
    digest: bytes
    """Of the normal form: calls that say the same have the same."""

    def encoded(self) -> bytes:
        return write_json(self.normal)


def evidence(
    method: str,
    path: str,
    params: Mapping[str, str],
    query: JSON,
    body: JSON,
    content_type: str = "",
    headers: Mapping[str, str] | None = None,
) -> Evidence:
    """The evidence of one call.

    Args:
        query: of `parsed_query`.
        body: of `parsed_body`; None for a call without one.
        content_type: as the call says it.
        headers: those that tell something, of `telling`.
    """
    document = {"method": method, "path": path, "params": dict(params), "query": query, "body": body}
    if body is not None and content_type:
        document["content_type"] = normal_type(content_type)
    if headers:
        document["headers"] = dict(headers)
    normal = in_normal_form("http", document)
    return Evidence(document, normal, hashlib.sha256(canonical(normal)).digest())


def parsed_query(raw: bytes, without: str | None = None) -> dict[str, JSON]:
    """A query string's parameters; a list for one that is repeated.

    Args:
        without: the parameter that carries the credential, which is no evidence.
    """
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=form.MOST_FIELDS)
    except ValueError as error:
        raise Unparsable(f"no form fields: {error}") from None
    return collected((name, value) for name, value in pairs if name != without)


def parsed_body(body: SeenBody, content_type: str, content_encoding: str = "", *, most: int) -> JSON:
    """A body as JSON: parsed where its type is known, its digest where it isn't or is too long.

    Args:
        most: bytes that it may have once decompressed; a longer one is told by its digest.

    Raises:
        Unparsable: it isn't what its content type says.
    """
    if body.size == 0:
        return None
    content = body.content
    if content is None:
        return told(body)
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity"):
        content = _unzipped(content, most) if encoding in ("gzip", "x-gzip", "deflate") else None
        if content is None:
            return told(body)
    header = Message()
    header["content-type"] = content_type or "application/octet-stream"
    kind = header.get_content_type()
    if kind in _JSON_TYPES or kind.endswith("+json"):
        return _json(content)
    if kind == _FORM:
        return _form(content)
    if kind.startswith("multipart/"):
        return _multipart(content, content_type)
    if kind.startswith(_TEXT):
        return _text(content, header.get_content_charset() or "utf-8")
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def told(body: SeenBody) -> dict[str, JSON]:
    """What stands for a body that is not shown."""
    return {"bytes": body.size, "sha256": body.sha256}


def _json(content: bytes) -> JSON:
    try:
        value = read(content)
        return parse(content) if has_long_number(content) else value
    except ValueError as error:
        raise Unparsable(f"the body is no JSON: {error}") from None


def _text(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset)
    except (LookupError, ValueError):
        raise Unparsable(f"the body is no text in {charset!r}") from None


def _form(content: bytes) -> dict[str, JSON]:
    try:
        return form.fields(content.decode())
    except ValueError as error:
        raise Unparsable(f"no form fields: {error}") from None


def _unzipped(content: bytes, most: int) -> bytes | None:
    """None when it holds more than `most` bytes."""
    try:
        reader = zlib.decompressobj(zlib.MAX_WBITS | 32)
        plain = reader.decompress(content, most + 1)
    except zlib.error as error:
        raise Unparsable(f"the body can't be decompressed: {error}") from None
    if len(plain) > most:
        return None
    if not reader.eof:
        raise Unparsable("the compressed body breaks off")
    return plain


def _multipart(content: bytes, content_type: str) -> dict[str, JSON]:
    """By name each part's file name, type and content; of what is no text its digest. The boundary is no evidence."""
    try:
        return multipart.parts(content, content_type)
    except ValueError as error:
        raise Unparsable(str(error)) from None
