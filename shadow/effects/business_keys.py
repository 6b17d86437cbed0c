"""Business keys: the values of an event (order id, request id) by which a call that names no run is known.

What is kept of them, and compared, are digests, in the index keyed with a secret of the vault: who has the database
alone can't try out which order a run was about.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from shadow.catalogue.model import Side
from shadow.catalogue.paths import MISSING, Walk, walk
from shadow.store.database import Connection

SHORTEST = 4
"""Characters of a value that can be a business key: shorter ones stand in too many calls by chance."""
SHORTEST_WORD = 6
"""Characters from which a key is also looked for as a word within a longer text."""
MOST = 5_000
"""Texts of one call that are looked at."""

_BREAKS = re.compile(r"[\s,;:!?&=<>\"'()\[\]{}|/]+")
_EDGES = ".-_#*"

_NOTE = b"""
INSERT INTO run_keys (run_id, side, digest)
SELECT run_id, side, digest FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS known (run_id, side, digest)
ORDER BY run_id, digest
ON CONFLICT (run_id, digest) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class KeyedRun:
    """A run whose event's business keys are to be known."""

    id: UUID
    side: Side
    paths: Sequence[str]
    """The task's `business_keys`."""
    data: bytes
    """Of its event, JSON."""


def digest(text: str) -> int:
    """What stands for a text in this process. Never stored as it is: `indexed`."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big", signed=True)


def indexed(key: bytes, digests: Iterable[int]) -> list[int]:
    """What stands for these digests in the index.

    Args:
        key: the vault's for business keys.
    """
    made = (hashlib.blake2b(one.to_bytes(8, "big", signed=True), key=key, digest_size=8).digest() for one in digests)
    return [int.from_bytes(one, "big", signed=True) for one in made]


def keys_of(paths: Sequence[str], data: Any) -> frozenset[int]:
    """The digests of an event's business keys; what is missing, no text and no number, or too short, is left out."""
    found = (_walk(path)(data) for path in paths)
    texts = (_text(value) for value in found if value is not MISSING)
    return frozenset(digest(text) for text in texts if text is not None and len(text) >= SHORTEST)


def named_in(texts: Iterable[str]) -> frozenset[int]:
    """The digests of all that a call names: its values as a whole, and the longer words in them."""
    named: set[int] = set()
    for count, text in enumerate(texts):
        if count >= MOST:
            break
        if len(text) >= SHORTEST:
            named.add(digest(text))
        if len(text) > SHORTEST_WORD:
            named.update(digest(word) for word in _words(text))
    return frozenset(named)


def texts_in(*documents: Any) -> Iterator[str]:
    """Every text and number in JSON values, as text; a text that is itself JSON is looked into."""
    waiting = list(documents)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif (text := _text(value)) is not None:
            yield text
            if text[:1] in "{[" and text != "":
                try:
                    waiting.append(orjson.loads(text))
                except orjson.JSONDecodeError:
                    continue


async def note_keys(conn: Connection, runs: Iterable[KeyedRun]) -> None:
    """Keep by which business keys these runs can be known. Harmless to repeat."""
    rows: list[tuple[UUID, str, int]] = []
    index = await conn.vault.business_keys()
    for run in runs:
        try:
            data = orjson.loads(run.data)
        except orjson.JSONDecodeError:
            continue
        rows += [(run.id, run.side.value, key) for key in indexed(index, keys_of(run.paths, data))]
    if rows:
        await conn.execute(_NOTE, [list(column) for column in zip(*rows, strict=True)])


def _words(text: str) -> Iterator[str]:
    for word in _BREAKS.split(text):
        trimmed = word.strip(_EDGES)
        for form in {word, trimmed}:
            if len(form) >= SHORTEST_WORD:
                yield form


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None


@lru_cache(maxsize=10_000)
def _walk(path: str) -> Walk:
    return walk(path)
