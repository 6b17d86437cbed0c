"""Generated values inside text: ids that a worker or a database makes up, and moments in time.

A value that looks generated may differ between the sides when it corresponds (see `correspondence`).
The shapes are chosen so that words, slugs, order numbers and hashes of personal data never look generated:
what is not recognised here is compared as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

HOLE = "\N{REPLACEMENT CHARACTER}"
"""Stands for a generated value that is left out of a text."""

_SHORTEST = 12
"""Characters below which no text holds anything generated."""
_REMEMBERED = 128
"""Characters up to which a text taken apart is remembered, since it is met again at once."""

_EDGE = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_TOKEN = re.compile(
    _EDGE
    + r"(?:(?P<uuid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    + r"|(?P<instant>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)"
    + r"|(?P<ulid>[0-7][0-9A-HJKMNP-TV-Z]{25})"
    + r"|(?P<prefixed>[a-z][a-z0-9]{0,15}(?:_[a-z]{1,12})?_[A-Za-z0-9]{10,64})"
    + r"|(?P<bare>[A-Za-z0-9]{20,36}))"
    + _END
)
_CUID = 25
"""Characters of a cuid: a "c", then small letters and digits."""
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_CLASSES = re.compile(r"[a-z]+|[A-Z]+|[0-9]+")
_RUN_PREFIX = "run"


@dataclass(frozen=True, slots=True)
class Token:
    """One generated-looking value found in a text."""

    text: str
    form: str
    """"uuid", "ulid", "instant", "bare", or "prefixed"."""
    prefix: str = ""
    """Of a prefixed id: what stands before its last underscore."""

    @property
    def is_instant(self) -> bool:
        """Whether this is a moment in time rather than an id."""
        return self.form == "instant"


@dataclass(frozen=True, slots=True)
class Text:
    """A text taken apart: fixed pieces, and between each two of them a generated value."""

    pieces: tuple[str, ...]
    tokens: tuple[Token, ...]

    def filled(self, fill: Callable[[Token], str]) -> str:
        """The text with each generated value replaced."""
        text = self.pieces[0]
        for token, piece in zip(self.tokens, self.pieces[1:], strict=True):
            text += fill(token) + piece
        return text


def take_apart(text: str) -> Text:
    """The fixed pieces of a text and its generated-looking values, in order."""
    if len(text) < _SHORTEST:
        return Text((text,), ())
    # Whole bodies are not worth remembering: the memory they take is not bounded.
    return _take_apart_once(text) if len(text) <= _REMEMBERED else _take_apart(text)


def tokens_in(text: str) -> tuple[Token, ...]:
    """The generated-looking values in a text, in order."""
    return () if len(text) < _SHORTEST else take_apart(text).tokens


def _take_apart(text: str) -> Text:
    pieces: list[str] = []
    tokens: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(text):
        token = _token(match)
        if token is not None:
            pieces.append(text[end : match.start()])
            tokens.append(token)
            end = match.end()
    return Text((*pieces, text[end:]), tuple(tokens))


_take_apart_once = lru_cache(maxsize=8192)(_take_apart)


def may_correspond(legacy: Token, candidate: Token) -> bool:
    """Whether two ids are of kinds that can be the same thing on both sides.

    Different prefixes mean different providers or objects. Only run ids change their whole form with the
    platform: `run_...` on Trigger.dev, a ULID on Inngest.
    """
    if legacy.is_instant or candidate.is_instant:
        return False
    if legacy.prefix == candidate.prefix:
        return True
    return {legacy.prefix, candidate.prefix} == {_RUN_PREFIX, ""}


def _token(match: re.Match[str]) -> Token | None:
    form = match.lastgroup or ""
    text = match.group()
    if form == "prefixed":
        prefix, _, suffix = text.rpartition("_")
        return Token(text, form, prefix) if _is_random(suffix) else None
    if form == "ulid" and text.isdigit():
        return None
    if form == "bare" and not _is_bare_id(text):
        return None
    return Token(text, form)


def _is_random(suffix: str) -> bool:
    """Letters and digits in a mixture no word, campaign or article number has."""
    runs = _CLASSES.findall(suffix)
    if not any(run.isdigit() for run in runs) or suffix.isdigit():
        return False
    return len(runs) >= 3 or (len(suffix) >= 12 and _HEX.fullmatch(suffix) is not None)


def _is_bare_id(text: str) -> bool:
    """A MongoDB-like id (24 hex), a UUID without dashes, or a long random mixture.

    Other hexadecimal is more likely a hash of content (a hashed address, a checksum), which must be equal.
    """
    if _HEX.fullmatch(text):
        if text.isdigit():
            return False
        return len(text) == 24 or (len(text) == 32 and UUID(text).version is not None)
    runs: list[str] = _CLASSES.findall(text)
    if len(text) == _CUID and text[0] == "c" and text.islower():
        # A word with a number has its digits together.
        return sum(run.isdigit() for run in runs) >= 2
    digits = sum(character.isdigit() for character in text)
    return digits >= 2 and len(runs) >= 6
