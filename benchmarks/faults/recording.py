"""Recording: from what a run did to what Shadow would have kept of it, by the very code that keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from benchmarks.faults.hand import Hand
from benchmarks.faults.performance import Performance, Performed
from benchmarks.faults.script import Call, Emission, Row
from benchmarks.faults.spelling import Speller
from sandbox.commerce.database import BUSINESS_KEYS, NAME
from shadow.capture.row_effects import RowEffects
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.causes.emissions import iso
from shadow.effects import call as calls
from shadow.effects.record import AttributedBy, SeenBy, SeenEffect
from shadow.egress.address import address
from shadow.egress.calls import Call as WrittenCall
from shadow.egress.disposition import Disposition
from shadow.egress.operation import Operations
from shadow.model.ids import new_id
from shadow.outcomes.reported import effects_of


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a deed is to be found in the ledger."""

    kind: str
    target: str
    operation: str
    identity: str | None


@dataclass
class Recorded:
    """What is kept of one run, ready to be written."""

    calls: list[WrittenCall] = field(default_factory=list)
    effects: list[SeenEffect] = field(default_factory=list)
    places: dict[int, list[Kept]] = field(default_factory=dict)
    """By the number of the deed."""
    output: bytes | None = None


class Recorder:
    """Records runs as the gateway, the reports of the client packages and the doors do."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._operations = {name: Operations.of(name, target) for name, target in catalogue.targets.items()}
        self._largest = {name: target.recorded_bytes for name, target in catalogue.targets.items()}

    def run(
        self,
        performance: Performance,
        hand: Hand,
        speller: Speller,
        *,
        side: Side,
        task: str,
        tenant: str | None,
        run_id: UUID,
        platform_run: str,
    ) -> Recorded:
        """What is kept of a run."""
        recorded = Recorded()
        reported: dict[int, list[dict[str, Any]]] = {}
        rows = RowEffects(NAME, BUSINESS_KEYS)
        for number, performed in enumerate(performance.done):
            deed, at = performed.deed, performed.at
            if isinstance(deed, Call):
                made = self._call(performed, number, hand, speller, side, task, tenant, run_id, platform_run)
                recorded.calls.append(made)
                kept = Kept(made.kind, made.target, made.operation, made.identity)
            elif isinstance(deed, Row):
                values = speller.jittered(hand.value(deed.values, at)) if speller.noise else hand.value(deed.values, at)
                key = BUSINESS_KEYS.get(deed.table, ("id",))
                identity = ":".join(str(values[name]) for name in key) if all(n in values for n in key) else None
                effect = rows.effect(f"{deed.verb} {deed.table}", identity, values)
                effect["occurred_at"] = at.isoformat()
                reported.setdefault(performed.attempt, []).append(effect)
                kept = Kept("sql", NAME, effect["operation"], identity)
            else:
                assert isinstance(deed, Emission)
                recorded.effects.append(self._emission(deed, at, hand, run_id, performed.attempt))
                order = deed.data.get("orderId")
                kept = Kept("event", "events", deed.name, None if order is None else str(hand.value(order, at)))
            recorded.places.setdefault(deed.number, []).append(kept)
        for attempt, effects in reported.items():
            body = {"run": platform_run, "task": task, "attempt": attempt, "effects": effects}
            recorded.effects += effects_of(speller.json(body))
        return recorded

    def _call(
        self,
        performed: Performed,
        number: int,
        hand: Hand,
        speller: Speller,
        side: Side,
        task: str,
        tenant: str | None,
        run_id: UUID,
        platform_run: str,
    ) -> WrittenCall:
        call, at = performed.deed, performed.at
        assert isinstance(call, Call)
        body = hand.value(call.body, at)
        if body is None:
            content, content_type = b"", ""
        elif call.form:
            content, content_type = speller.form(body), "application/x-www-form-urlencoded"
        else:
            content, content_type = speller.json(body), "application/json"
        headers, content = speller.headers(content, content_type)
        if call.key is not None:
            headers["idempotency-key"] = str(hand.value(call.key, at))
        where = address(quote(str(hand.value(call.path, at)), safe="/:@!$&'()*+,;=-._~#").encode())
        operation = self._operations[call.target].match(call.method, where, headers)
        if operation is None:
            raise ValueError(f"the catalogue lets nobody call {call.method} {call.path} at {call.target}")
        recorder = calls.BodyRecorder(self._largest[call.target])
        recorder.feed(content)
        said = calls.parsed_body(
            recorder.seen(),
            headers["content-type"],
            headers.get("content-encoding", ""),
            most=self._largest[call.target],
        )
        query = calls.parsed_query(speller.query(hand.value(call.query, at)))
        # What did not take it says nothing of it.
        answer = hand.value(call.answer, at) if call.status < 500 and call.status != 429 else {"error": "try again"}
        told = {name: str(hand.value(value, at)) for name, value in call.told.items()}
        evidence = calls.evidence(call.method, where.path, operation.params, query, said)
        return WrittenCall(
            id=new_id(),
            side=side,
            run_id=run_id,
            platform_run_id=platform_run,
            task=task,
            sequence=number,
            attempt=performed.attempt,
            kind=operation.kind,
            target=call.target,
            operation=operation.template,
            identity=operation.identity(evidence.document),
            idempotency_key=operation.idempotency_key(headers, evidence.document),
            occurred_at=at,
            attributed_by=AttributedBy.HEADERS,
            disposition=Disposition.FORWARD if side is Side.LEGACY else Disposition.REPLAY,
            writes=operation.writes,
            digest=evidence.digest,
            document=evidence.encoded(),
            status=call.status,
            answered_at=at,
            answer=b"" if answer is None else speller.json(answer),
            answer_headers=orjson.dumps([["content-type", "application/json"], *map(list, told.items())]),
            tenant=tenant,
            of_tenant=True,
        )

    def _emission(self, emission: Emission, at: datetime, hand: Hand, run_id: UUID, attempt: int) -> SeenEffect:
        data = hand.value(emission.data, at)
        if emission.due is not None and (due := hand.moment(emission.due, at)) > at:
            data = {**data, "scheduledFor": iso(due)}
        return SeenEffect(
            run=None,
            run_id=run_id,
            kind="event",
            target="events",
            operation=emission.name,
            data=orjson.dumps(data),
            attempt=attempt,
            occurred_at=at,
            seen_by=SeenBy.DOOR,
            attributed_by=AttributedBy.HEADERS,
            emitted=str(new_id()),
        )
