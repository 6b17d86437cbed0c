"""Judging again: verdicts derived anew from stored evidence, after rules have changed.

Nothing is leased and nothing is remembered between two pages. A pair is judged as it was read, and its verdict is
written only if it still is as it was then; whatever is written says with which rules. So a run may be killed anywhere,
several may go on at once, and whoever begins again finds what is left: the pairs that were judged with other rules.

A pair that can't be judged any more, because its evidence is gone, keeps its verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import structlog

from comparators import Judgement, Verdict
from shadow.judge import allowances
from shadow.judge.committing import committed
from shadow.judge.deciding import decided
from shadow.judge.facts import ClaimedPair, PairFacts, load_facts
from shadow.judge.judging import judgement_of
from shadow.judge.ledger import Evidence, load_evidence
from shadow.judge.rulebook import Rulebook
from shadow.judge.writing import Untouched, write_judgements
from shadow.model.giving_way import Turns
from shadow.model.ids import first_id_at
from shadow.observe import metrics
from shadow.store.acts import Act, ActKind, record
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

CHUNK = 50
"""Pairs whose ledgers are in memory at once, and whose verdicts are written together."""

_PAGE = """
SELECT id, event_id, task, tenant, legacy_run, candidate_run, deadline_at, incomparable, probed_at, probe_failures,
       verdict, revision, coalesce(rules, ''), due_at IS NOT NULL
FROM pairs WHERE task = %(task)s AND id >= %(since)s AND id < %(until)s AND id < %(before)s
  AND (%(replays)s OR replay IS NULL)
ORDER BY id DESC LIMIT %(limit)s
"""
_COUNT = (
    "SELECT count(*) FROM pairs WHERE task = %(task)s AND id >= %(since)s AND id < %(until)s"
    " AND (%(replays)s OR replay IS NULL)"
)
_SHOWN = """
SELECT DISTINCT ON (pair_id, signature) pair_id, signature, severity, sentence FROM differences
WHERE pair_id = ANY(%s) ORDER BY pair_id, signature, ordinal
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""No id is of a time before."""
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Again:
    """Which pairs are to be judged again."""

    task: str
    since: datetime
    """Of events accepted from then on."""
    until: datetime | None = None
    """Of events accepted before."""
    everything: bool = False
    """Also those that were judged with the very rules that hold now: after an upgrade of Shadow, say."""
    replays: bool = True
    """Also the pairs of replays."""

    def bounds(self) -> dict[str, object]:
        until = _LAST if self.until is None else first_id_at(max(self.until, _EPOCH))
        return {
            "task": self.task,
            "since": first_id_at(max(self.since, _EPOCH)),
            "until": until,
            "replays": self.replays,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """How a signature shows in a pair."""

    severity: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What became of a pair."""

    pair: UUID
    before: str
    after: str
    added: Mapping[str, Difference]
    """Signatures that it shows now and did not."""
    removed: Mapping[str, Difference]

    @property
    def changed(self) -> bool:
        return self.before != self.after or bool(self.added) or bool(self.removed)


@dataclass
class Page:
    """What one page of pairs, newest first, came to."""

    rules: str = ""
    """Fingerprint of the rules that hold now, what was learned included."""
    examined: int = 0
    current: int = 0
    """Judged with the very rules that hold now: left alone."""
    waiting: int = 0
    """To be judged by the loop anyway: without a verdict yet, reopened, or changed while they were looked at."""
    judged: list[Rejudged] = field(default_factory=list)
    unreadable: dict[UUID, str] = field(default_factory=dict)
    """Why a pair can't be judged any more; it keeps its verdict."""
    last: UUID | None = None
    """Where the next page begins; None when there is none."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pair that had its verdict, as it was read."""

    pair: ClaimedPair
    verdict: str
    revision: int


async def number_of(database: Database, wanted: Again, *, work: Work = Work.JUDGE) -> int:
    """How many pairs there are to be looked at."""
    async with database.connection(work) as connection:
        row = await (await connection.execute(_COUNT, wanted.bounds())).fetchone()
    assert row is not None
    return int(row[0])


async def on_record(database: Database, wanted: Again, *, actor: str, work: Work = Work.JUDGE) -> None:
    """Write down that somebody has pairs judged again, before any is."""
    until = "" if wanted.until is None else f" to {wanted.until.astimezone(UTC):%Y-%m-%d %H:%M}"
    says = f"had pairs of events from {wanted.since.astimezone(UTC):%Y-%m-%d %H:%M}{until} UTC judged again"
    async with database.connection(work) as connection:
        await record(connection, [Act(actor, ActKind.JUDGEMENT, says, [wanted.task])])


async def judge_again(
    database: Database,
    rulebook: Rulebook,
    wanted: Again,
    *,
    limit: int,
    before: UUID | None = None,
    write: bool,
    work: Work = Work.JUDGE,
) -> Page:
    """Judge a page of pairs again, newest first.

    Args:
        before: `last` of the page before.
        write: whether the verdicts are written; else it only says what they would be.
    """
    async with database.connection(work) as connection:
        await rulebook.look(connection)
        # Others look too while this goes on.
        rulebook = rulebook.as_now()
        cursor = await connection.execute(_PAGE, {**wanted.bounds(), "before": before or _LAST, "limit": limit})
        rows = await cursor.fetchall()
    page = Page(rulebook.fingerprint(wanted.task), len(rows), last=rows[-1][0] if len(rows) == limit else None)
    asked: list[_Asked] = []
    for row in rows:
        *_, verdict, revision, rules, due = row
        if verdict is None or due:
            page.waiting += 1
        elif rules == page.rules and not wanted.everything:
            page.current += 1
        else:
            asked.append(_Asked(ClaimedPair(*row[:10]), verdict, revision))
    for start in range(0, len(asked), CHUNK):
        await _Chunk(database, rulebook, asked[start : start + CHUNK], page, work).judge(write=write)
    return page


@dataclass
class _Chunk:
    database: Database
    rulebook: Rulebook
    asked: Sequence[_Asked]
    page: Page
    work: Work

    async def judge(self, *, write: bool) -> None:
        async with self.database.connection(self.work) as connection, connection.transaction(force_rollback=not write):
            # Reading may make the evidence of an event that nobody delivered: that stays only where verdicts do.
            facts = await load_facts(connection, [one.pair for one in self.asked])
            evidence = await load_evidence(connection, facts)
            shown = await _shown(connection, [one.pair.id for one in self.asked])
        judgements = await self._judgements(facts, evidence)
        verdicts = await (self._write(judgements) if write else self._foretell(judgements))
        for one in self.asked:
            if one.pair.id in verdicts:
                judgement = judgements[one.pair.id]
                self.page.judged.append(_rejudged(one, judgement, verdicts[one.pair.id], shown.get(one.pair.id, {})))
            elif one.pair.id not in self.page.unreadable:
                self.page.waiting += 1

    async def _judgements(self, facts: Sequence[PairFacts], evidence: Evidence) -> dict[UUID, Judgement]:
        """What is to be said of those that can still be judged; the others are noted."""
        verdicts = {one.pair.id: one.verdict for one in self.asked}
        judgements: dict[UUID, Judgement] = {}
        turns = Turns()
        for fact in facts:
            await turns.give_way()
            gone = _gone(fact, evidence, verdicts[fact.pair.id])
            if gone is not None:
                self.page.unreadable[fact.pair.id] = gone
            else:
                judgements[fact.pair.id] = judgement_of(fact, evidence, self.rulebook)
        return judgements

    async def _foretell(self, judgements: Mapping[UUID, Judgement]) -> dict[UUID, Verdict]:
        """The verdicts that would be written."""
        tenants = {one.pair.id: one.pair.tenant or "" for one in self.asked}
        signatures = {found.signature for judgement in judgements.values() for found in judgement.differences}
        async with self.database.connection(self.work) as connection:
            standing = await allowances.standing(connection, signatures)
        return {
            pair: decided(
                judgement.verdict,
                judgement.reason,
                [standing.covering(one.signature, one.severity, tenants[pair]) for one in judgement.differences],
            )
            for pair, judgement in judgements.items()
        }

    async def _write(self, judgements: Mapping[UUID, Judgement]) -> dict[UUID, Verdict]:
        """Write them together; where the database refuses what one of them holds, each alone."""
        try:
            written = await self._written(judgements)
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            log.warning("judge.batch_refused", pairs=len(judgements), error=type(error).__name__)
            written = {}
            for pair, judgement in judgements.items():
                try:
                    written |= await self._written({pair: judgement})
                except (psycopg.DataError, psycopg.ProgrammingError) as refused:
                    log.error("judge.refused", pair=str(pair), error=type(refused).__name__)
                    self.page.unreadable[pair] = f"what it shows can't be stored: {type(refused).__name__}"
        for verdict in written.values():
            metrics.judged(verdict.value)
        return written

    async def _written(self, judgements: Mapping[UUID, Judgement]) -> dict[UUID, Verdict]:
        still = Untouched({one.pair.id: one.revision for one in self.asked})
        return await committed(
            self.database,
            lambda connection: write_judgements(connection, judgements, still, self.rulebook),
            work=self.work,
        )


def _gone(fact: PairFacts, evidence: Evidence, verdict: str) -> str | None:
    """Why a pair that had this verdict can't be judged any more."""
    unreadable = evidence.unreadable(fact)
    if unreadable is not None:
        return unreadable
    missing = {Verdict.missing_legacy: (fact.candidate,), Verdict.missing_candidate: (fact.legacy,)}
    if verdict != Verdict.not_comparable and None in missing.get(Verdict(verdict), (fact.legacy, fact.candidate)):
        return "what is known of its runs was deleted"
    return None


async def _shown(connection: Connection, pairs: Sequence[UUID]) -> dict[UUID, dict[str, Difference]]:
    found: dict[UUID, dict[str, Difference]] = {}
    cursor = await connection.execute(_SHOWN, (list(pairs),))
    row: Sequence[Any]
    for row in await cursor.fetchall():
        found.setdefault(row[0], {})[row[1]] = Difference(row[2], row[3])
    return found


def _rejudged(one: _Asked, judgement: Judgement, verdict: Verdict, before: Mapping[str, Difference]) -> Rejudged:
    now: dict[str, Difference] = {}
    for found in judgement.differences:
        now.setdefault(found.signature, Difference(str(found.severity), found.sentence))
    return Rejudged(
        pair=one.pair.id,
        before=one.verdict,
        after=verdict.value,
        added={signature: how for signature, how in now.items() if signature not in before},
        removed={signature: how for signature, how in before.items() if signature not in now},
    )
