"""Loading what is known of a batch of pairs: when their runs ended, and both ledgers of those to be judged.

The number of queries does not depend on the size of the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from comparators import JSON, Effect, Ledger, Outcome
from comparators.ledger import COMPLETED
from shadow.catalogue.model import Side
from shadow.effects import answered, evidence
from shadow.judge.doubt import Watched, load_doubts
from shadow.judge.known import inherited, known_to_both
from shadow.model.json_text import parse
from shadow.store import codec
from shadow.store.database import Connection

_RUNS = """
SELECT id, side, platform_run_id, state, status, error_name, error_message, attempts, started_at, finished_at,
       event_id, world, cost_cents
FROM runs WHERE id = ANY(%s)
"""
_EXTRA_RUNS = """
SELECT id, side, platform_run_id, state, status, error_name, error_message, attempts, started_at, finished_at,
       event_id, world, cost_cents, pair_id
FROM runs WHERE event_id = ANY(%s) AND pair_id = ANY(%s) AND id <> ALL(%s) AND state = 'finished' ORDER BY id
"""
_OF_RUNS = """
SELECT run.id AS of_run, effects.*
FROM unnest(%(ids)s::uuid[], %(sides)s::text[], %(names)s::text[]) AS run (id, side, name)
JOIN effects ON effects.platform_run_id = run.name AND effects.side = run.side
  -- What was attributed to a run that another has taken over since is found by its name.
  AND (effects.run_id IS NULL OR NOT EXISTS (SELECT FROM runs WHERE runs.id = effects.run_id))
UNION ALL
SELECT effects.run_id, effects.* FROM effects WHERE effects.run_id = ANY(%(ids)s::uuid[])
"""
# What probes read comes after settling, and must not make the pair settle again.
_LAST_EFFECTS = f"""
SELECT of_run, max(received_at) FROM ({_OF_RUNS}) AS effect WHERE seen_by <> 'probe' GROUP BY 1
"""  # noqa: S608  # of constants
_EFFECTS = f"""
SELECT id, of_run, kind, target, operation, identity, idempotency_key, attempt, coalesce(occurred_at, received_at),
       status, seen_by, writes, emitted, data
FROM ({_OF_RUNS}) AS effect
ORDER BY coalesce(occurred_at, received_at), received_at, sequence, id
"""  # noqa: S608  # of constants
_GATEWAY = "gateway"
_EVENT = "event"
_REPORTED = "report"
_PROBE = "probe"
_SEEN_EMITTED = ("door", "platform")
_BODIES = """
SELECT id, part, content FROM bodies
WHERE id = ANY(%(all)s) AND (part IN ('output', 'evidence', 'pending') OR (part = 'data' AND id = ANY(%(effects)s)))
"""

_EffectRow: TypeAlias = tuple[
    UUID, UUID, str, str, str, str | None, str | None, int, datetime, int | None, str, bool | None, str | None
]
"""id, run, kind, target, operation, identity, idempotency key, attempt, when, the answer's status, who saw it, whether
it writes, the platform's id of the event that it emitted."""


@dataclass(frozen=True, slots=True)
class ClaimedPair:
    """A row of `pairs` that the judge has claimed."""

    id: UUID
    event_id: UUID
    task: str
    tenant: str | None
    legacy_run: UUID
    candidate_run: UUID
    deadline_at: datetime
    incomparable: str | None
    probed_at: datetime | None = None
    probe_failures: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """How a run ended, before its output and effects are read."""

    id: UUID
    side: Side
    platform_run_id: str | None
    status: str
    error_name: str | None
    error_message: str | None
    attempts: int | None
    started_at: datetime | None
    finished_at: datetime
    event_id: UUID | None = None
    """What started it; the two runs of a pair of children were started by an event each."""
    world: str | None = None
    """What became of the rows that it needs; see `model/world.py`."""
    cost_cents: float | None = None


@dataclass(frozen=True, slots=True)
class PairFacts:
    """When the runs of a pair ended, and when the last effect came."""

    pair: ClaimedPair
    legacy: FinishedRun | None
    candidate: FinishedRun | None
    last_effect_at: datetime | None
    extra: tuple[FinishedRun, ...] = ()
    """Further runs of the same event for the same task: what they did was done too."""
    doubt: str | None = None
    """Why a ledger may not be complete."""

    @property
    def runs(self) -> list[FinishedRun]:
        """All that are known to have ended."""
        return [run for run in (self.legacy, self.candidate, *self.extra) if run is not None]

    @property
    def events(self) -> set[UUID]:
        """Those that the two runs are of; children of a pair have one each."""
        of_runs = (run.event_id for run in (self.legacy, self.candidate) if run is not None)
        return {self.pair.event_id, *(event for event in of_runs if event is not None)}


@dataclass(frozen=True, slots=True)
class Ledgers:
    """All that the comparators need of one pair. A side without a finished run has no ledger."""

    legacy: Ledger | None
    candidate: Ledger | None
    known: JSON
    """The event's data, or those of both: what stands in them was not born in a run."""
    inherited: Mapping[str, str] = field(default_factory=dict)
    """Of children: legacy's ids that were born in its parent, with the candidate's."""
    unknown_output: Side | None = None
    """A side whose run completed without anybody telling what it returned."""
    unreadable: str | None = None
    """Why what is kept does not tell whether the sides did the same."""


async def load_facts(connection: Connection, pairs: Sequence[ClaimedPair]) -> list[PairFacts]:
    """When the runs of these pairs ended, their last effects came, and what is in doubt: five queries."""
    runs = await _finished_runs(connection, [run for pair in pairs for run in (pair.legacy_run, pair.candidate_run)])
    extra = await _extra_runs(connection, pairs, runs.values())
    told = [*runs.values(), *(run for found in extra.values() for run in found)]
    cursor = await connection.execute(_LAST_EFFECTS, _addresses(told))
    last = dict(await cursor.fetchall())
    doubts = await _doubts(connection, pairs, runs, extra)
    facts = []
    for pair in pairs:
        fact = PairFacts(
            pair,
            runs.get(pair.legacy_run),
            runs.get(pair.candidate_run),
            None,
            tuple(extra.get(pair.id, ())),
        )
        found = [doubts[run.id] for run in fact.runs if run.id in doubts]
        moments = [last.get(run.id) for run in fact.runs]
        last_effect_at = max((moment for moment in moments if moment), default=None)
        facts.append(replace(fact, last_effect_at=last_effect_at, doubt=found[0] if found else None))
    return facts


async def _doubts(
    connection: Connection,
    pairs: Sequence[ClaimedPair],
    runs: Mapping[UUID, FinishedRun],
    extra: Mapping[UUID, Sequence[FinishedRun]],
) -> dict[UUID, str]:
    """By run; only pairs of which both sides have ended are in question."""
    watched = [
        Watched(run.id, run.side.value, pair.task, run.started_at, run.finished_at)
        for pair in pairs
        if pair.legacy_run in runs and pair.candidate_run in runs
        for run in (runs[pair.legacy_run], runs[pair.candidate_run], *extra.get(pair.id, ()))
    ]
    return await load_doubts(connection, watched)


async def load_evidence(connection: Connection, facts: Sequence[PairFacts]) -> Evidence:
    """What the runs of these pairs did and returned: two queries, and more only where something is judged first.

    Then the evidence of an event that nobody has delivered is made, and that of what calls were answered, and what came
    before it was known whose it is is redacted with its tenant's key. Originals are opened for nothing else here.
    """
    runs = [run for fact in facts for run in fact.runs]
    cursor = await connection.execute(_EFFECTS, _addresses(runs))
    effects: dict[UUID, list[_EffectRow]] = {}
    run_of: dict[UUID, UUID] = {}
    inline: dict[tuple[UUID, str], bytes] = {}
    for *row, data in await cursor.fetchall():
        effects.setdefault(row[1], []).append(tuple(row))
        run_of[row[0]] = row[1]
        if data is not None:
            inline[row[0], "data"] = data
    tenants = {event: fact.pair.tenant for fact in facts for event in fact.events}
    tenants |= {run.id: fact.pair.tenant for fact in facts for run in fact.runs}
    tenants |= {effect: tenants[run] for effect, run in run_of.items()}
    wanted = tenants.keys()
    outside = [effect for effect in run_of if (effect, "data") not in inline]
    cursor = await connection.execute(_BODIES, {"all": list(wanted), "effects": outside})
    bodies = inline | {(owner, part): content for owner, part, content in await cursor.fetchall()}
    messages = await _attribute(connection, effects, bodies, tenants)
    events = {event for fact in facts for event in fact.events}
    without = {event: tenants[event] for event in events if (event, "evidence") not in bodies}
    made = await evidence.make_of_events(connection, without)
    bodies |= {(event, "evidence"): stored for event, stored in made.items()}
    answers = await answered.make_of_effects(connection, _unread(effects, bodies, tenants))
    bodies |= {(effect, answered.PART): stored for effect, stored in answers.items()}
    older = [key for key, stored in bodies.items() if codec.evidence_tag(stored) is None]
    if older:  # of a time before evidence was redacted
        names = await evidence.names_of_runs(connection, [run_of.get(owner, owner) for owner, _ in older])
        await evidence.ready(connection, [tenants[owner] for owner, _ in older])
        for owner, part in older:
            if not codec.is_sealed(bodies[owner, part]):
                bodies[owner, part] = evidence.of_stored(
                    connection.vault, tenants[owner], bodies[owner, part], names.get(run_of.get(owner, owner))
                )
    return Evidence(effects, bodies, messages)


def _unread(
    effects: Mapping[UUID, Sequence[_EffectRow]],
    bodies: Mapping[tuple[UUID, str], bytes],
    tenants: Mapping[UUID, str | None],
) -> dict[UUID, str | None]:
    """The calls that were answered and of whose answers there is no evidence yet, with their tenants."""
    return {
        row[0]: tenants[row[0]]
        for rows in effects.values()
        for row in rows
        if row[9] is not None and row[10] == _GATEWAY and (row[0], answered.PART) not in bodies
    }


async def _attribute(
    connection: Connection,
    effects: dict[UUID, list[_EffectRow]],
    bodies: dict[tuple[UUID, str], bytes],
    tenants: Mapping[UUID, str | None],
) -> dict[UUID, str | None]:
    """Redact with their tenant's key what came before it was known whose it is.

    Returns:
        the error messages of such runs.
    """
    pending = {
        owner: (tenants[owner], bodies.pop((owner, part))) for owner, part in list(bodies) if part == evidence.PENDING
    }
    if not pending:
        return {}
    mine = {row[0]: (run, index) for run, rows in effects.items() for index, row in enumerate(rows)}
    of_effects = {owner: told for owner, told in pending.items() if owner in mine}
    for effect, redacted in (await evidence.attribute_effects(connection, of_effects)).items():
        run, index = mine[effect]
        row = effects[run][index]
        effects[run][index] = (*row[:4], redacted.operation, redacted.identity, redacted.idempotency_key, *row[7:])
        bodies[effect, "data"] = redacted.stored
    of_runs = {owner: told for owner, told in pending.items() if owner not in mine}
    ended = await evidence.attribute_runs(connection, of_runs)
    bodies |= {(run, "output"): told.output for run, told in ended.items() if told.output is not None}
    return {run: told.error_message for run, told in ended.items()}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Effects and bodies of a batch of pairs, as stored. Each pair is decoded when it is asked for."""

    effects: Mapping[UUID, Sequence[_EffectRow]]
    """By run, in the order in which they happened."""
    bodies: Mapping[tuple[UUID, str], bytes]
    """By (event, run or effect; part)."""
    messages: Mapping[UUID, str | None]
    """The error messages of runs whose own are out of date."""

    def targets(self, fact: PairFacts) -> set[str]:
        """On what the runs of a pair had effects."""
        return {row[3] for run in fact.runs for row in self.effects.get(run.id, ())}

    def done_by(self, run: UUID) -> set[tuple[str, str, str]]:
        """Kind, target and operation of what a run did; what probes read after it is none of its doing."""
        return {(row[2], row[3], row[4]) for row in self.effects.get(run, ()) if row[10] != _PROBE}

    def event_of(self, fact: PairFacts) -> JSON:
        """The data of the event of a pair, of legacy's where the two runs have one each; None: they are gone.

        Raises:
            ValueError: what is stored is no JSON.
        """
        return self._body(fact.pair.event_id, "evidence")

    def of(self, fact: PairFacts) -> Ledgers:
        """Both ledgers of a pair.

        Raises:
            ValueError: something stored is no JSON.
        """
        return Ledgers(
            legacy=self._ledger(fact.legacy, fact.extra),
            candidate=self._ledger(fact.candidate, fact.extra),
            known=self._known(fact),
            inherited=self._inherited(fact),
            unknown_output=self._unknown_output(fact),
            unreadable=self.unreadable(fact),
        )

    def _known(self, fact: PairFacts) -> JSON:
        events = self._events(fact)
        return self._body(fact.pair.event_id, "evidence") if events is None else known_to_both(*events)

    def _inherited(self, fact: PairFacts) -> Mapping[str, str]:
        events = self._events(fact)
        return {} if events is None else inherited(*events)

    def _events(self, fact: PairFacts) -> tuple[JSON, JSON] | None:
        """The data of the events of two children; None where one event started both runs."""
        legacy = fact.legacy.event_id if fact.legacy else None
        candidate = fact.candidate.event_id if fact.candidate else None
        if legacy is None or candidate is None or legacy == candidate:
            return None
        return self._body(legacy, "evidence"), self._body(candidate, "evidence")

    def _ledger(self, run: FinishedRun | None, extra: Sequence[FinishedRun]) -> Ledger | None:
        if run is None:
            return None
        doubled = [run, *(other for other in extra if other.side is run.side)]
        return Ledger(
            self._outcome(run),
            tuple(self._effect(row, of.started_at) for of in doubled for row in _counted(self.effects.get(of.id, ()))),
        )

    def _outcome(self, run: FinishedRun) -> Outcome:
        started_at = run.started_at
        return Outcome(
            status=run.status,
            output=self._body(run.id, "output"),
            error_name=run.error_name,
            error_message=self.messages.get(run.id, run.error_message),
            attempts=run.attempts or 1,
            duration_ms=(run.finished_at - started_at).total_seconds() * 1000 if started_at else None,
            started_at=started_at.timestamp() if started_at else None,
            finished_at=run.finished_at.timestamp(),
            cost_cents=run.cost_cents,
        )

    def _effect(self, row: _EffectRow, started_at: datetime | None) -> Effect:
        effect_id, _run, kind, target, operation, identity, key, attempt, moment, status, _seen, writes, _emitted = row
        data = self._body(effect_id, "data")
        if status is not None and isinstance(data, dict):
            data = {**data, "status": status}  # what the gateway recorded is complete with its answer
        return Effect(
            kind=kind,
            target=target,
            operation=operation,
            identity=identity,
            data=data,
            attempt=attempt,
            idempotency_key=key,
            reads=writes is False,
            at=(moment - started_at).total_seconds() if started_at else None,
            answer=self._body(effect_id, answered.PART),
        )

    def _unknown_output(self, fact: PairFacts) -> Side | None:
        for run in (fact.legacy, fact.candidate):
            if run is not None and run.status == COMPLETED and (run.id, "output") not in self.bodies:
                return run.side
        return None

    def unreadable(self, fact: PairFacts) -> str | None:
        """Why what is kept of a pair does not tell whether the sides did the same."""
        if any((event, "evidence") not in self.bodies for event in fact.events):
            return "the event's data can't be read any more: its originals were deleted, or its tenant was forgotten"
        owners = [*fact.events, *(run.id for run in fact.runs)]
        owners += [row[0] for run in fact.runs for row in self.effects.get(run.id, ())]
        tags = {
            codec.evidence_tag(stored)
            for owner in owners
            for part in ("evidence", "output", "data")
            if (stored := self.bodies.get((owner, part))) is not None
        }
        if len(tags - {None, codec.UNTAGGED}) > 1:
            return "forgotten: its evidence was hashed with more than one key, so equal values can't be told"
        return None

    def _body(self, owner: UUID, part: str) -> JSON:
        stored = self.bodies.get((owner, part))
        return None if stored is None else parse(codec.decode(stored))


async def _finished_runs(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, FinishedRun]:
    cursor = await connection.execute(_RUNS, (list(ids),))
    return {row[0]: _finished(row) for row in await cursor.fetchall() if row[3] == "finished"}


async def _extra_runs(
    connection: Connection, pairs: Sequence[ClaimedPair], runs: Iterable[FinishedRun]
) -> dict[UUID, list[FinishedRun]]:
    """By pair, the runs of its event and task beyond the two that were expected."""
    cursor = await connection.execute(
        _EXTRA_RUNS,
        (
            [*(pair.event_id for pair in pairs), *(run.event_id for run in runs if run.event_id is not None)],
            [pair.id for pair in pairs],
            [run for pair in pairs for run in (pair.legacy_run, pair.candidate_run)],
        ),
    )
    found: dict[UUID, list[FinishedRun]] = {}
    for row in await cursor.fetchall():
        found.setdefault(row[13], []).append(_finished(row))
    return found


def _finished(row: Sequence[Any]) -> FinishedRun:
    return FinishedRun(
        id=row[0],
        side=Side(row[1]),
        platform_run_id=row[2],
        status=row[4],
        error_name=row[5],
        error_message=row[6],
        attempts=row[7],
        started_at=row[8],
        finished_at=row[9],
        event_id=row[10],
        world=row[11],
        cost_cents=row[12],
    )


def _counted(rows: Sequence[_EffectRow]) -> Iterable[_EffectRow]:
    """The effects of a run without those that are told of twice: the run's own report of an event that Shadow saw it
    emit says nothing new.

    That is a report of the very id that the event has. One that names no id stands for one event of that name which no
    other report stands for; further ones tell of events that nobody saw.
    """
    seen = [row for row in rows if row[2] == _EVENT and row[10] in _SEEN_EMITTED]
    if not seen:
        return rows
    reports = [row for row in rows if row[2] == _EVENT and row[10] == _REPORTED]
    by_id = {row[12]: row[4] for row in seen if row[12] is not None}
    again = {row[0]: row[12] for row in reports if row[12] in by_id}
    left = Counter(row[4] for row in seen)
    left.subtract(by_id[name] for name in set(again.values()))
    told_twice = set(again)
    for row in reports:
        if row[12] is None and left[row[4]] > 0:
            left[row[4]] -= 1
            told_twice.add(row[0])
    return [row for row in rows if row[0] not in told_twice]


def _addresses(runs: Iterable[FinishedRun]) -> dict[str, object]:
    """Under which ids, ours and the platform's, the effects of these runs are kept."""
    listed = list(runs)
    return {
        "ids": [run.id for run in listed],
        "sides": [run.side.value for run in listed],
        "names": [run.platform_run_id for run in listed],
    }
