"""Looking for noise: where pairs of a task differ, and which rules would explain that.

Witnesses are the pairs of legacy with itself (`shadow noise measure`) and what live pairs showed. Each rule is tried
out on recorded pairs before it is proposed: what it would hide there is its evidence, and a rule that makes differences
at other places go away is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from comparators import JSON
from comparators.rules import ValueRule
from shadow.catalogue import ResolvedCatalogue
from shadow.judge.again import Again, Page, judge_again
from shadow.judge.rulebook import Rulebook
from shadow.learning.place import Place, place_of
from shadow.learning.proposals import Finding, Source, store
from shadow.learning.proposing import LEAST_COMPARED, LEAST_DIFFERING, Proposed, Refused, Seen, propose
from shadow.learning.refusal import Refusal
from shadow.model.ids import first_id_at
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

MOST_PLACES = 30
"""Looked at at once, those that differ most first."""
TRIED_ON = 200
"""Recorded pairs, the newest, on which a rule is tried out."""
_MOST_DIFFERENCES = 20_000
_VALUES = 200
"""Of one place, that are looked at."""
_SAMPLES = 5

_DIFFERENCES = b"""
SELECT difference.pair_id, difference.kind, difference.path, difference.legacy, difference.candidate,
       difference.signature, replay.purpose = 'legacy_twice'
FROM pairs AS pair JOIN differences AS difference ON difference.pair_id = pair.id
LEFT JOIN replays AS replay ON replay.id = pair.replay
WHERE pair.task = %(task)s AND pair.id >= %(since)s AND (replay.id IS NULL OR replay.purpose = 'legacy_twice')
ORDER BY pair.id DESC LIMIT %(limit)s
"""
_COMPARED = b"""
SELECT count(*) FILTER (WHERE replay.id IS NULL), count(*) FILTER (WHERE replay.purpose = 'legacy_twice')
FROM pairs AS pair LEFT JOIN replays AS replay ON replay.id = pair.replay
WHERE pair.task = %(task)s AND pair.id >= %(since)s AND pair.verdict IN ('match', 'mismatch', 'allowed')
"""
_REPLAYED = b"SELECT id FROM pairs WHERE task = %(task)s AND id >= %(since)s AND replay IS NOT NULL"


@dataclass
class _At:
    """What was seen at a place by one kind of witness."""

    pairs: set[UUID] = field(default_factory=set)
    values: list[tuple[JSON, JSON, str]] = field(default_factory=list)

    def add(self, pair: UUID, legacy: JSON, candidate: JSON, how: str) -> None:
        self.pairs.add(pair)
        if len(self.values) < _VALUES:
            self.values.append((legacy, candidate, how))


@dataclass
class _Noticed:
    """All that was seen of a task."""

    live: dict[Place, _At] = field(default_factory=dict)
    twice: dict[Place, _At] = field(default_factory=dict)
    signatures: dict[Place, set[str]] = field(default_factory=dict)
    compared_live: int = 0
    compared_twice: int = 0

    def places(self) -> list[Place]:
        """The places of any difference, those that differ in most pairs first; what legacy does to itself before."""

        def weight(place: Place) -> tuple[int, int]:
            return _pairs(self.twice, place), _pairs(self.live, place)

        return sorted(sorted(self.live.keys() | self.twice.keys()), key=weight, reverse=True)


def _pairs(witnesses: Mapping[Place, _At], place: Place) -> int:
    return len(witnesses[place].pairs) if place in witnesses else 0


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a rule would have hidden in recorded pairs."""

    tried_on: int
    pairs: int
    """In which a difference would be gone."""
    to_match: int
    """Mismatches that would be matches."""
    signatures: Mapping[str, int]


async def look(database: Database, catalogue: ResolvedCatalogue, task: str, since: datetime) -> list[UUID]:
    """Look at what was recorded of a task since then, and keep a proposal, or its refusal, for each place that differs.

    What people decided before stands; an accepted rule that has expired is proposed again.

    Returns:
        the proposals that were looked at, in the order of how much differs there.

    Raises:
        LookupError: the catalogue has no such task.
    """
    if task not in catalogue.tasks:
        raise LookupError(task)
    async with database.connection(Work.CONTROL) as connection:
        noticed = await _noticed(connection, task, since)
    trial = _Trial(database, catalogue, task, since, noticed)
    findings = []
    for place in noticed.places()[:MOST_PLACES]:
        findings.append(await _finding(place, noticed, trial))
    async with database.connection(Work.CONTROL) as connection:
        kept = await store(connection, task, findings)
    counts = Counter("refused" if found.refusal else "proposed" for found in findings)
    log.info("noise.looked", task=task, **counts)
    return kept


async def _noticed(connection: Connection, task: str, since: datetime) -> _Noticed:
    noticed = _Noticed()
    values = {"task": task, "since": first_id_at(since), "limit": _MOST_DIFFERENCES}
    cursor = await connection.execute(_COMPARED, values)
    row = await cursor.fetchone()
    assert row is not None
    noticed.compared_live, noticed.compared_twice = row
    cursor = await connection.execute(_DIFFERENCES, values)
    for pair, kind, path, legacy, candidate, signature, twice in await cursor.fetchall():
        place = place_of(kind, path)
        if place is None:
            continue
        witnesses = noticed.twice if twice else noticed.live
        witnesses.setdefault(place, _At()).add(pair, legacy, candidate, kind.partition(".")[2])
        noticed.signatures.setdefault(place, set()).add(signature)
    return noticed


async def _finding(place: Place, noticed: _Noticed, trial: _Trial) -> Finding:
    live, twice = noticed.live.get(place), noticed.twice.get(place)
    told: dict[str, Any] = {
        "live": _share(live, noticed.compared_live),
        "legacy_twice": _share(twice, noticed.compared_twice),
        "samples": [
            {"legacy": legacy, "candidate": other} for legacy, other, _how in (twice or live or _At()).values[:_SAMPLES]
        ],
    }
    # What two runs of legacy over one event do differently is noise for sure; of live pairs it may be.
    source = Source.LEGACY_TWICE if twice is not None and len(twice.pairs) >= LEAST_DIFFERING else Source.HISTORY
    if source is Source.HISTORY and noticed.compared_twice >= LEAST_COMPARED and twice is None:
        because = f"legacy against itself never differed there, in {noticed.compared_twice} pairs"
        return Finding(place, source, told, None, Refusal.STEADY, because)
    at, compared = (live, noticed.compared_live) if source is Source.HISTORY else (twice, noticed.compared_twice)
    at = at or _At()
    of_legacy_alone = source is Source.LEGACY_TWICE
    seen = Seen(
        place,
        compared,
        len(at.pairs),
        at.values,
        of_legacy_alone,
        live.values if of_legacy_alone and live is not None else (),
    )
    found = propose(seen)
    if isinstance(found, Refused):
        return Finding(place, source, told, None, found.refusal, found.because)
    return await _tried(place, source, told, found, trial)


async def _tried(place: Place, source: Source, told: dict[str, Any], found: Proposed, trial: _Trial) -> Finding:
    hidden = await trial.of(found.rule)
    told["hides"] = {
        "tried_on": hidden.tried_on,
        "pairs": hidden.pairs,
        "to_match": hidden.to_match,
        "signatures": dict(hidden.signatures),
    }
    elsewhere = hidden.signatures.keys() - trial.noticed.signatures.get(place, set())
    if elsewhere:
        because = f"in recorded pairs it would also hide {', '.join(sorted(elsewhere))}"
        return Finding(place, source, told, None, Refusal.HIDES_MORE, because)
    return Finding(place, source, told, found, None, None)


def _share(at: _At | None, compared: int) -> dict[str, int]:
    return {"compared": compared, "differed": len(at.pairs) if at is not None else 0}


@dataclass
class _Trial:
    """Recorded live pairs judged again with one rule more, and nothing written."""

    database: Database
    catalogue: ResolvedCatalogue
    task: str
    since: datetime
    noticed: _Noticed
    _without: dict[UUID, tuple[str, frozenset[str], frozenset[str]]] | None = None
    """Pair -> (verdict, signatures gone, signatures come) by the rules that hold now, where that is news."""

    async def of(self, rule: ValueRule) -> Hidden:
        if self._without is None:
            page = await self._judged(Rulebook(self.catalogue))
            self._without = {one.pair: (one.after, frozenset(one.removed), frozenset(one.added)) for one in page.judged}
        page = await self._judged(Rulebook(self.catalogue, {self.task: [rule]}))
        signatures: Counter[str] = Counter()
        pairs = to_match = 0
        for one in page.judged:
            before, gone, come = self._without.get(one.pair, (one.before, frozenset(), frozenset()))
            hidden = (set(one.removed) - gone) | (come - set(one.added))
            signatures.update(hidden)
            pairs += bool(hidden)
            to_match += before != "match" and one.after == "match"
        return Hidden(len(page.judged), pairs, to_match, signatures)

    async def _judged(self, rulebook: Rulebook) -> Page:
        wanted = Again(self.task, self.since, everything=True, replays=False)
        return await judge_again(self.database, rulebook, wanted, limit=TRIED_ON, write=False, work=Work.CONTROL)
