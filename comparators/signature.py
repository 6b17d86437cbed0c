"""Signatures: the fingerprint that groups the same difference over many pairs.

It depends on the task, the kind of difference and the place, and not on values: array indexes, business
identities, and whatever in member names or operations tells one case from another (ids, addresses, days, hashes,
long numbers) is left out. Short numbers stay: `line1` is another place than `line2`, and who allows a difference in
the one has not looked at the other.

The text that is hashed is part of the contract: a change to it splits every group, so it would need a new version in
front.
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol

from comparators.canonical import JSON, canonical
from comparators.generated import take_apart
from comparators.path import Parts, parse

VERSION = "s1"
_ANY = "[*]"
_ID = "{id}"
_NUMBERED = re.compile(r"(?<=/)[0-9]+(?=$|[/.?])")
"""A number as a segment of a URL path."""
_ASKED = re.compile(r"(?<==)[^&=\s]+")
"""A value in the query of an operation."""
_ONE_CASE = re.compile(
    r"~[a-z_]+:[^\s'\"/]+"  # what redaction made of somebody's
    r"|[^\s@/<>~]{1,200}+@[^\s@/<>]+\.[A-Za-z]+"  # with an end, or a long text takes the square of its length
    r"|(?<![0-9A-Za-z])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])(?=[a-f]*[0-9])[0-9a-f]{16,}(?![0-9A-Za-z])"
)
"""A redacted value, an address, a day, a hash."""
_LONG_NUMBER = re.compile(r"[0-9]{3,}")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")
_OPERATION = 3
"""Index, in the path of an effect, of its operation."""
_IDENTITY = 4
"""Index, in the path of an effect, of its business identity."""


class Located(Protocol):
    """The part of a difference that its signature is made of."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def legacy(self) -> JSON: ...
    @property
    def candidate(self) -> JSON: ...


def signature_of(task: str, difference: Located) -> str:
    """The signature of a difference in a pair of the given task, such as `s1-5b8c...`."""
    described: list[JSON] = [task, difference.kind, generalised(parse(difference.path))]
    if difference.kind == "outcome.status":
        # Statuses are a handful of words, and completed -> failed is another fault than failed -> completed.
        described += [difference.legacy, difference.candidate]
    digest = hashlib.blake2b(canonical(described), digest_size=12).hexdigest()
    return f"{VERSION}-{digest}"


def generalised(parts: Parts) -> str:
    """A path with `[*]` for indexes, for an effect's identity, and for members named by an id or number."""
    in_effect = parts[:1] == ("effects",)
    return "$" + "".join(
        _ANY if in_effect and position == _IDENTITY else _segment(part, in_effect and position == _OPERATION)
        for position, part in enumerate(parts)
    )


def _segment(part: str | int, is_operation: bool) -> str:
    if isinstance(part, int) or _NUMBER.fullmatch(part):
        return _ANY
    text = _ONE_CASE.sub(_ID, part)
    text = _NUMBERED.sub(_ID, take_apart(text).filled(lambda _: _ID))
    # What an operation is called, API versions included, was chosen by a person; names within data often were not.
    text = _ASKED.sub(_ID, text) if is_operation else _LONG_NUMBER.sub(_ID, text)
    return _ANY if text == _ID else canonical([text]).decode()
