"""How many pairs show a signature, of which tenants, in how many it is allowed, and which pair represents it.

All of it changes by delta, in the transaction that writes the verdicts. The representative is always a pair that shows
it, and rather one with few differences: it is what a person reads first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from comparators import Difference
from shadow.judge.evidence_text import storable_text
from shadow.judge.tallying import Locked
from shadow.store.database import Connection

_SHOWN = """
SELECT pair_id, signature, bool_and(allowance IS NOT NULL),
       coalesce(array_agg(DISTINCT allowance) FILTER (WHERE allowance IS NOT NULL), '{}')
FROM differences WHERE pair_id = ANY(%s) GROUP BY 1, 2
"""
_LOCK = "SELECT id FROM signatures WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_EXAMPLE = ("example_pair", "example_differences", "path", "sentence", "severity")
_REPLACED = """known.pairs <= 0 OR known.example_pair = ANY(%(judged)s::uuid[])
        OR excluded.example_differences < known.example_differences"""
"""The representative stays unless no pair showed it, it was judged again just now, or a simpler one was found."""
_SHOW = f"""
INSERT INTO signatures AS known (id, task, kind, path, severity, sentence, example_pair, example_differences,
    first_seen, last_seen, pairs, allowed)
SELECT * FROM unnest(%(id)s::text[], %(task)s::text[], %(kind)s::text[], %(path)s::text[], %(severity)s::text[],
            %(sentence)s::text[], %(example_pair)s::uuid[], %(example_differences)s::int[],
            %(first_seen)s::timestamptz[], %(last_seen)s::timestamptz[], %(pairs)s::bigint[], %(allowed)s::bigint[])
    AS shown (id)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    pairs = known.pairs + excluded.pairs,
    allowed = known.allowed + excluded.allowed,
    first_seen = least(known.first_seen, excluded.first_seen),
    last_seen = greatest(known.last_seen, excluded.last_seen),
    {", ".join(f"{name} = CASE WHEN {_REPLACED} THEN excluded.{name} ELSE known.{name} END" for name in _EXAMPLE)}
"""  # noqa: S608  # of constants
_COUNT = """
UPDATE signatures SET pairs = signatures.pairs + delta.pairs, allowed = signatures.allowed + delta.allowed
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS delta (id, pairs, allowed) WHERE signatures.id = delta.id
"""
_OTHER_EXAMPLES = """
UPDATE signatures SET example_pair = other.pair_id, path = other.path, sentence = other.sentence,
    severity = other.severity, example_differences = other.difference_count
FROM unnest(%s::text[], %s::uuid[]) AS gone (signature, pair_id), LATERAL (
    SELECT newest.pair_id, newest.path, newest.sentence, newest.severity, pairs.difference_count
    FROM (SELECT DISTINCT ON (pair_id) pair_id, path, sentence, severity FROM differences
          WHERE differences.signature = gone.signature
            AND NOT EXISTS (SELECT FROM pairs WHERE pairs.id = pair_id AND pairs.replay IS NOT NULL)
          ORDER BY pair_id DESC, ordinal LIMIT 100) AS newest
    JOIN pairs ON pairs.id = newest.pair_id ORDER BY pairs.difference_count, pair_id DESC LIMIT 1
) AS other
WHERE signatures.id = gone.signature AND signatures.example_pair = gone.pair_id
"""
_TENANTS = """
INSERT INTO signature_tenants AS known (signature, tenant, pairs, allowed)
SELECT signature, tenant, pairs, allowed FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
    AS delta (signature, tenant, pairs, allowed)
ORDER BY signature, tenant
ON CONFLICT (signature, tenant) DO UPDATE SET pairs = known.pairs + excluded.pairs,
    allowed = known.allowed + excluded.allowed
"""
_LOCK_ALLOWANCES = "SELECT id FROM allowances WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_ALLOWANCES = """
UPDATE allowances SET pairs = allowances.pairs + delta.pairs
FROM unnest(%s::uuid[], %s::bigint[]) AS delta (id, pairs) WHERE allowances.id = delta.id
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a pair shows a signature."""

    allowed: bool
    """Whether all its differences of that signature are covered."""
    allowances: frozenset[UUID]
    """That cover any of them."""


@dataclass(frozen=True, slots=True)
class Example:
    """A pair that shows a signature, to represent it."""

    pair: Locked
    difference: Difference
    """Its worst of that signature."""
    differences: int
    """How many it has of all signatures."""


Shows = Mapping[UUID, Mapping[str, Shown]]
"""By pair, its signatures."""


async def shown_by(connection: Connection, pairs: Sequence[UUID]) -> dict[UUID, dict[str, Shown]]:
    """Which signatures these pairs show, as stored."""
    found: dict[UUID, dict[str, Shown]] = {}
    if pairs:
        cursor = await connection.execute(_SHOWN, (list(pairs),))
        for pair, signature, allowed, covering in await cursor.fetchall():
            found.setdefault(pair, {})[signature] = Shown(allowed, frozenset(covering))
    return found


def shown(signatures: Sequence[str], covered: Sequence[UUID | None]) -> dict[str, Shown]:
    """Which signatures a pair shows that has differences of these, covered like this."""
    by: dict[str, list[UUID | None]] = {}
    for signature, allowance in zip(signatures, covered, strict=True):
        by.setdefault(signature, []).append(allowance)
    return {
        signature: Shown(None not in allowances, frozenset(one for one in allowances if one is not None))
        for signature, allowances in by.items()
    }


@dataclass
class _Delta:
    pairs: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    tenants: Counter[tuple[str, str]] = field(default_factory=Counter)
    tenants_allowed: Counter[tuple[str, str]] = field(default_factory=Counter)
    allowances: Counter[UUID] = field(default_factory=Counter)
    lost: list[tuple[str, UUID]] = field(default_factory=list)

    def add(self, pair: Locked, before: Mapping[str, Shown], now: Mapping[str, Shown]) -> None:
        for sign, shows in ((-1, before), (1, now)):
            for signature, how in shows.items():
                self.pairs[signature] += sign
                self.allowed[signature] += sign * how.allowed
                self.tenants[signature, pair.tenant] += sign
                self.tenants_allowed[signature, pair.tenant] += sign * how.allowed
                for allowance in how.allowances:
                    self.allowances[allowance] += sign
        self.lost += [(signature, pair.id) for signature in before if signature not in now]


async def count(
    connection: Connection,
    locked: Sequence[Locked],
    before: Shows,
    now: Shows,
    examples: Mapping[str, Example],
) -> None:
    """Bring every count up to date with what these pairs show now.

    Args:
        examples: by signature, the simplest of them that shows it; of those that none shows there is none, and none
            is needed for pairs whose differences are as they were.
    """
    delta = _Delta()
    locked = [pair for pair in locked if not pair.replayed]
    for pair in locked:
        delta.add(pair, before.get(pair.id, {}), now.get(pair.id, {}))
    if delta.pairs:
        await connection.execute(_LOCK, (sorted(delta.pairs),))
    if examples:
        await connection.execute(_SHOW, _examples(locked, now, examples, delta))
    others = [
        (signature, delta.pairs[signature], delta.allowed[signature])
        for signature in sorted(delta.pairs)
        if signature not in examples and (delta.pairs[signature] or delta.allowed[signature])
    ]
    if others:
        await connection.execute(_COUNT, _columns(others))
    if delta.lost:
        await connection.execute(_OTHER_EXAMPLES, _columns(delta.lost))
    tenants = [
        (*key, delta.tenants[key], delta.tenants_allowed[key])
        for key in sorted(delta.tenants)
        if delta.tenants[key] or delta.tenants_allowed[key]
    ]
    if tenants:
        await connection.execute(_TENANTS, _columns(tenants))
    allowances = sorted((allowance, number) for allowance, number in delta.allowances.items() if number)
    if allowances:
        await connection.execute(_LOCK_ALLOWANCES, ([allowance for allowance, _ in allowances],))
        await connection.execute(_ALLOWANCES, _columns(allowances))


def _examples(
    locked: Sequence[Locked], now: Shows, examples: Mapping[str, Example], delta: _Delta
) -> dict[str, list[object]]:
    seen: dict[str, list[datetime]] = {}
    for pair in locked:
        for signature in now.get(pair.id, {}):
            seen.setdefault(signature, []).append(pair.accepted_at)
    ordered = sorted(examples.items())
    return {
        "id": [signature for signature, _ in ordered],
        "task": [example.pair.task for _, example in ordered],
        "kind": [example.difference.kind for _, example in ordered],
        "path": [storable_text(example.difference.path) for _, example in ordered],
        "severity": [str(example.difference.severity) for _, example in ordered],
        "sentence": [storable_text(example.difference.sentence) for _, example in ordered],
        "example_pair": [example.pair.id for _, example in ordered],
        "example_differences": [example.differences for _, example in ordered],
        "first_seen": [min(seen[signature]) for signature, _ in ordered],
        "last_seen": [max(seen[signature]) for signature, _ in ordered],
        "pairs": [delta.pairs[signature] for signature, _ in ordered],
        "allowed": [delta.allowed[signature] for signature, _ in ordered],
        "judged": [pair.id for pair in locked],
    }


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
