"""Loading both ledgers of the pairs that are to be judged.

The number of queries does not depend on the size of the batch. What both runs did or returned in so many words is read
once: both ledgers have the very same value then, which comparators need not look into.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from comparators import JSON, Effect, Ledger, Outcome, Rules
from comparators.attempts import collapse
from comparators.correspondence import Known
from comparators.ledger import COMPLETED
from comparators.normalise import entries
from shadow.catalogue.model import Side
from shadow.effects import answered, evidence
from shadow.judge.absence import Absence, Missed, missed
from shadow.judge.facts import FinishedRun, PairFacts
from shadow.judge.gateways import load_absences, under_way
from shadow.judge.known import inherited, known_to_both
from shadow.judge.unanswered import REFUSED, unanswered
from shadow.model.json_text import parse
from shadow.store import codec
from shadow.store.database import Connection

_EFFECTS = """
SELECT place, id, kind, target, operation, identity, idempotency_key, attempt, coalesce(occurred_at, received_at),
       received_at, status, seen_by, writes, disposition, emitted, data,
       -- What has traits was attributed afterwards. No EXISTS, for which the planner may read all of the bodies.
       CASE WHEN disposition IS DISTINCT FROM 'refuse' THEN false WHEN run_id IS NULL THEN true
            ELSE coalesce((SELECT true FROM bodies WHERE bodies.id = effect.id AND bodies.part = 'traits'), false) END
FROM (
    SELECT run.place, effects.*
    FROM unnest(%(ids)s::uuid[], %(sides)s::text[], %(names)s::text[]) WITH ORDINALITY AS run (id, side, name, place)
    JOIN effects ON effects.platform_run_id = run.name AND effects.side = run.side
      -- What was attributed to a run that another has taken over since is found by its name.
      AND (effects.run_id IS NULL OR NOT EXISTS (SELECT FROM runs WHERE runs.id = effects.run_id))
    UNION ALL
    SELECT run.place, effects.* FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS run (id, place)
    JOIN effects ON effects.run_id = run.id
) AS effect
ORDER BY coalesce(occurred_at, received_at), received_at, sequence, id
"""
_GATEWAY = "gateway"
_EVENT = "event"
_REPORTED = "report"
_PROBE = "probe"
_SEEN_EMITTED = ("door", "platform")
_BODIES = """
SELECT id, part, content FROM bodies
WHERE id = ANY(%(all)s) AND (part IN ('output', 'evidence', 'pending') OR (part = 'data' AND id = ANY(%(effects)s)))
"""


class EffectRow(NamedTuple):
    """An effect as stored."""

    place: int
    """Of its run among those asked for, from 1."""
    id: UUID
    kind: str
    target: str
    operation: str
    identity: str | None
    idempotency_key: str | None
    attempt: int
    at: datetime
    received_at: datetime
    status: int | None
    """Of the answer."""
    seen_by: str
    writes: bool | None
    disposition: str | None
    """What the gateway made of it."""
    emitted: str | None
    """The platform's id of the event that it emitted."""
    data: bytes | None
    was_nobodys: bool
    """Whether it was refused while nobody could say yet whose it is: it is found by the platform's name, or was
    attributed afterwards."""


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


async def load_evidence(connection: Connection, facts: Sequence[PairFacts], *, heard: bool = True) -> Evidence:
    """What the runs of these pairs did and returned, and whether a gateway was there for them: three queries, and more
    only where something is judged first.

    Then the evidence of an event that nobody has delivered is made, and that of what calls were answered, and what came
    before it was known whose it is is redacted with its tenant's key. Originals are opened for nothing else here.

    Args:
        heard: whether a gateway that is there could have said so of late.
    """
    tenants = {run.id: fact.pair.tenant for fact in facts for run in fact.runs}
    runs = list({run.id: run for fact in facts for run in fact.runs}.values())
    effects: list[list[EffectRow]] = [[] for _ in runs]
    cursor = await connection.execute(_EFFECTS, _addresses(runs), binary=True)
    for row in map(EffectRow._make, await cursor.fetchall()):
        effects[row.place - 1].append(row)
    found = Evidence({run.id: rows for run, rows in zip(runs, effects, strict=True)}, {}, {})
    events = {event: fact.pair.tenant for fact in facts for event in fact.events}
    asked = {
        "all": [*events, *tenants, *(row.id for row in found.rows())],
        "effects": [row.id for row in found.rows() if row.data is None],
    }
    cursor = await connection.execute(_BODIES, asked, binary=True)
    bodies = {(owner, part): content for owner, part, content in await cursor.fetchall()}
    if asked["effects"]:
        found.change(lambda row: row._replace(data=bodies.pop((row.id, "data"), None)) if row.data is None else row)
    messages = await _attribute(connection, found, bodies, tenants)
    without = {event: tenant for event, tenant in events.items() if (event, "evidence") not in bodies}
    made = await evidence.make_of_events(connection, without)
    bodies |= {(event, "evidence"): stored for event, stored in made.items()}
    answers = await answered.make_of_effects(connection, _unread(found, bodies, tenants))
    bodies |= {(effect, answered.PART): stored for effect, stored in answers.items()}
    absences = await load_absences(connection, facts, heard=heard)
    found = Evidence(found.effects, bodies, messages, absences)
    await _redact_older(connection, found, {**events, **tenants})
    return found


def _unread(
    found: Evidence, bodies: Mapping[tuple[UUID, str], bytes], tenants: Mapping[UUID, str | None]
) -> dict[UUID, str | None]:
    """The calls that were answered and of whose answers there is no evidence yet, with their tenants."""
    return {
        row.id: tenants[run]
        for run, rows in found.effects.items()
        for row in rows
        if row.status is not None and row.seen_by == _GATEWAY and (row.id, answered.PART) not in bodies
    }


async def _attribute(
    connection: Connection,
    found: Evidence,
    bodies: dict[tuple[UUID, str], bytes],
    tenants: Mapping[UUID, str | None],
) -> dict[UUID, str | None]:
    """Redact with their tenant's key what came before it was known whose it is.

    Returns:
        the error messages of such runs.
    """
    pending = {owner: bodies.pop((owner, part)) for owner, part in list(bodies) if part == evidence.PENDING}
    if not pending:
        return {}
    run_of = {row.id: run for run, rows in found.effects.items() for row in rows}
    of_effects = {owner: (tenants[run_of[owner]], told) for owner, told in pending.items() if owner in run_of}
    redacted = await evidence.attribute_effects(connection, of_effects)
    found.change(
        lambda row: (
            row._replace(
                operation=(made := redacted[row.id]).operation,
                identity=made.identity,
                idempotency_key=made.idempotency_key,
                data=made.stored,
            )
            if row.id in redacted
            else row
        )
    )
    of_runs = {owner: (tenants[owner], told) for owner, told in pending.items() if owner in tenants}
    ended = await evidence.attribute_runs(connection, of_runs)
    bodies |= {(run, "output"): told.output for run, told in ended.items() if told.output is not None}
    return {run: told.error_message for run, told in ended.items()}


async def _redact_older(connection: Connection, found: Evidence, tenants: Mapping[UUID, str | None]) -> None:
    """Redact what was stored before evidence was."""
    bodies = {key: stored for key, stored in found.bodies.items() if not codec.is_evidence(stored)}
    rows = {row.id: run for run, rows in found.effects.items() for row in rows}
    data = [row for row in found.rows() if row.data is not None and not codec.is_evidence(row.data)]
    if not bodies and not data:
        return
    owners = [rows.get(owner, owner) for owner in (*(owner for owner, _part in bodies), *(row.id for row in data))]
    names = await evidence.names_of_runs(connection, owners)
    await evidence.ready(connection, [tenants[owner] for owner in owners])

    def redacted(owner: UUID, stored: bytes) -> bytes:
        run = rows.get(owner, owner)
        if codec.is_sealed(stored):
            return stored
        return evidence.of_stored(connection.vault, tenants[run], stored, names.get(run))

    found.bodies.update({key: redacted(key[0], stored) for key, stored in bodies.items()})
    made = {row.id: redacted(row.id, row.data) for row in data if row.data is not None}
    found.change(lambda row: row._replace(data=made[row.id]) if row.id in made else row)


class _Reader:
    """Reads what is stored of one pair, the same bytes once."""

    def __init__(self) -> None:
        self._read: dict[bytes | tuple[bytes, int], JSON] = {}

    def value(self, stored: bytes | None) -> JSON:
        """
        Raises:
            ValueError: it is no JSON.
        """
        if stored is None:
            return None
        try:
            return self._read[stored]
        except KeyError:
            read = self._read[stored] = parse(codec.decode(stored))
            return read

    def answered(self, stored: bytes | None, status: int | None) -> JSON:
        """The data of a call that was answered with that status: what the gateway recorded is complete with it."""
        data = self.value(stored)
        if stored is None or status is None or not isinstance(data, dict):
            return data
        return self._read.setdefault((stored, status), {**data, "status": status})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Effects and bodies of a batch of pairs, as stored. Each pair is decoded when it is asked for."""

    effects: dict[UUID, list[EffectRow]]
    """By run, in the order in which they happened."""
    bodies: dict[tuple[UUID, str], bytes]
    """By (event, run or effect; part)."""
    messages: Mapping[UUID, str | None]
    """The error messages of runs whose own are out of date."""
    absences: Sequence[Absence] = ()
    """Of gateways, about the time in which the runs were under way."""
    read: dict[UUID, JSON] = field(default_factory=dict)
    """By event, its data as far as it was asked for: once to judge, and once for its shape."""

    def rows(self) -> Iterator[EffectRow]:
        """All effects."""
        return chain.from_iterable(self.effects.values())

    def change(self, changed: Callable[[EffectRow], EffectRow]) -> None:
        """Replace each effect by what that makes of it."""
        for run, rows in self.effects.items():
            self.effects[run] = list(map(changed, rows))

    def last_effect_at(self, fact: PairFacts) -> datetime | None:
        """When the last effect of any run of a pair was received. What probes read comes after settling, and must not
        make the pair settle again."""
        return max(
            (row.received_at for run in fact.runs for row in self.effects.get(run.id, ()) if row.seen_by != _PROBE),
            default=None,
        )

    def targets(self, fact: PairFacts) -> set[str]:
        """On what the runs of a pair had effects."""
        return {row.target for run in fact.runs for row in self.effects.get(run.id, ())}

    def done_by(self, run: UUID) -> tuple[tuple[str, str, str], ...]:
        """Kind, target and operation of all that a run did; what probes read after it is none of its doing."""
        return tuple(
            (row.kind, row.target, row.operation) for row in self.effects.get(run, ()) if row.seen_by != _PROBE
        )

    def event_of(self, fact: PairFacts) -> JSON:
        """The data of the event of a pair, of legacy's where the two runs have one each; None: they are gone.

        Raises:
            ValueError: what is stored is no JSON.
        """
        event = fact.pair.event_id
        if event not in self.read:
            self.read[event] = _Reader().value(self.bodies.get((event, "evidence")))
        return self.read[event]

    def of(self, fact: PairFacts) -> Ledgers:
        """Both ledgers of a pair.

        Raises:
            ValueError: something stored is no JSON.
        """
        reader = _Reader()
        events = self._events(fact, reader)
        known = self.event_of(fact)
        return Ledgers(
            legacy=self._ledger(fact.legacy, fact.extra, reader),
            candidate=self._ledger(fact.candidate, fact.extra, reader),
            known=known if events is None else known_to_both(*events),
            inherited={} if events is None else inherited(*events),
            unknown_output=self._unknown_output(fact),
            unreadable=self.unreadable(fact),
        )

    def _events(self, fact: PairFacts, reader: _Reader) -> tuple[JSON, JSON] | None:
        """The data of the events of two children; None where one event started both runs."""
        legacy = fact.legacy.event_id if fact.legacy else None
        candidate = fact.candidate.event_id if fact.candidate else None
        if legacy is None or candidate is None or legacy == candidate:
            return None
        return (
            reader.value(self.bodies.get((legacy, "evidence"))),
            reader.value(self.bodies.get((candidate, "evidence"))),
        )

    def _ledger(self, run: FinishedRun | None, extra: Sequence[FinishedRun], reader: _Reader) -> Ledger | None:
        if run is None:
            return None
        doubled = [run, *(other for other in extra if other.side is run.side)]
        return Ledger(
            self._outcome(run, reader),
            tuple(
                self._effect(row, of.started_at, reader)
                for of in doubled
                for row in _counted(self.effects.get(of.id, ()))
            ),
        )

    def _outcome(self, run: FinishedRun, reader: _Reader) -> Outcome:
        started_at = run.started_at
        return Outcome(
            status=run.status,
            output=reader.value(self.bodies.get((run.id, "output"))),
            error_name=run.error_name,
            error_message=self.messages.get(run.id, run.error_message),
            attempts=run.attempts or 1,
            duration_ms=(run.finished_at - started_at).total_seconds() * 1000 if started_at else None,
            started_at=started_at.timestamp() if started_at else None,
            finished_at=run.finished_at.timestamp(),
            cost_cents=run.cost_cents,
        )

    def _effect(self, row: EffectRow, started_at: datetime | None, reader: _Reader) -> Effect:
        return Effect(
            row.kind,
            row.target,
            row.operation,
            row.identity,
            reader.answered(row.data, row.status),
            row.attempt,
            row.idempotency_key,
            row.writes is False,
            (row.at - started_at).total_seconds() if started_at else None,
            # Of others there is no evidence of an answer.
            reader.value(self.bodies.get((row.id, answered.PART))) if row.seen_by == _GATEWAY else None,
            row.disposition == REFUSED,
        )

    def unanswered(self, fact: PairFacts, rules: Rules, known: JSON) -> str | None:
        """Why nothing follows from what the sides did differently; see `judge/unanswered.py`.

        Args:
            known: what was not born in the runs.
        """
        legacy, candidate = fact.legacy, fact.candidate
        if legacy is None or candidate is None:
            return None
        texts = Known.of(known).texts
        for run, twin in ((candidate, legacy), (legacy, candidate)):
            calls = self._without_repeated(self.effects.get(run.id, ()), rules, texts)
            why = unanswered(run, calls, self.effects.get(twin.id, ()), self.bodies)
            if why is not None:
                return why
        return None

    def missed(self, fact: PairFacts) -> Missed | None:
        """Whether a gateway was not there while a run was under way, or may not have been; see `judge/absence.py`."""
        return missed(self.absences, under_way(fact))

    def gateway_away(self, fact: PairFacts) -> str | None:
        """Why nothing follows from what the sides did differently, where a gateway was surely not there for one."""
        found = self.missed(fact)
        return found.why if found is not None and found.absence.is_sure else None

    def _without_repeated(self, rows: Sequence[EffectRow], rules: Rules, known: Collection[str]) -> Sequence[EffectRow]:
        """What a run did without the calls that were refused and that it made again, with an answer."""
        if not any(row.disposition == REFUSED for row in rows):
            return rows
        reader = _Reader()
        made = entries(tuple(self._effect(row, None, reader) for row in rows), rules, known)
        again = {one.entry.position for one in collapse(made, known).dropped if one.entry.effect.refused}
        return [row for position, row in enumerate(rows) if position not in again]

    def _unknown_output(self, fact: PairFacts) -> Side | None:
        for run in (fact.legacy, fact.candidate):
            if run is not None and run.status == COMPLETED and (run.id, "output") not in self.bodies:
                return run.side
        return None

    def unreadable(self, fact: PairFacts) -> str | None:
        """Why what is kept of a pair does not tell whether the sides did the same."""
        events = fact.events
        if any((event, "evidence") not in self.bodies for event in events):
            return "the event's data can't be read any more: its originals were deleted, or its tenant was forgotten"
        heads = {self.bodies[event, "evidence"][: codec.HEAD] for event in events}
        for run in fact.runs:
            if (output := self.bodies.get((run.id, "output"))) is not None:
                heads.add(output[: codec.HEAD])
            rows = self.effects.get(run.id, ())
            heads |= {row.data[: codec.HEAD] for row in rows if row.data is not None}
            answers = [self.bodies.get((row.id, answered.PART)) for row in rows if row.seen_by == _GATEWAY]
            heads |= {answer[: codec.HEAD] for answer in answers if answer is not None}
        if len({codec.evidence_tag(head) for head in heads} - {None, codec.UNTAGGED}) > 1:
            return "forgotten: its evidence was hashed with more than one key, so equal values can't be told"
        return None


def _counted(rows: Sequence[EffectRow]) -> Iterable[EffectRow]:
    """The effects of a run without those that are told of twice: the run's own report of an event that Shadow saw it
    emit says nothing new.

    That is a report of the very id that the event has. One that names no id stands for one event of that name which no
    other report stands for; further ones tell of events that nobody saw.
    """
    seen = [row for row in rows if row.kind == _EVENT and row.seen_by in _SEEN_EMITTED]
    if not seen:
        return rows
    reports = [row for row in rows if row.kind == _EVENT and row.seen_by == _REPORTED]
    by_id = {row.emitted: row.operation for row in seen if row.emitted is not None}
    reported = {row.id: row.emitted for row in reports if row.emitted in by_id}
    left = Counter(row.operation for row in seen)
    left.subtract(by_id[name] for name in set(reported.values()))
    told_twice = set(reported)
    for row in reports:
        if row.emitted is None and left[row.operation] > 0:
            left[row.operation] -= 1
            told_twice.add(row.id)
    return [row for row in rows if row.id not in told_twice]


def _addresses(runs: Iterable[FinishedRun]) -> dict[str, object]:
    """Under which ids, ours and the platform's, the effects of these runs are kept."""
    listed = list(runs)
    return {
        "ids": [run.id for run in listed],
        "sides": [run.side.value for run in listed],
        "names": [run.platform_run_id for run in listed],
    }
