"""A task with a history on legacy's side, a guard that reported, a provider, and a candidate that takes canaries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from sandbox.serving import Served
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.containment.fingerprints import fingerprint, fingerprint_key
from shadow.containment.guard_reports import Covers, GuardReport, store_report
from shadow.containment.proof import Prover
from shadow.containment.version import Sighting, saw_versions
from shadow.egress.reading import TargetReads
from shadow.model.ids import new_id
from shadow.store.database import Database, Work

TASK = "pay"
GATEWAY = "gateway.test:8484"
BANK_KEY = "sk_live_1234567890"
TRANSFER = ("http", "bank", "POST /v1/transfers")
WIRE = ("http", "wire", "POST /payouts")
LOOKUP = ("http", "bank", "GET /v1/accounts/{id}")

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: tr_prod_legacy}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "http://inngest.test", api_url: "http://inngest.test",
     event_key: inngest-own-key, app: shop}}
sources:
  app: {{kind: inngest, keys: [producer-key]}}
  candidate-workers: {{kind: inngest, keys: [candidate-event-key], origin: candidate}}
report_keys: {{legacy: [report-legacy], candidate: [report-candidate]}}
defaults: {{deadline: 30s, settle: 0.01s}}
targets:
  bank:
    url: "{bank}"
    private: true
    credential: {{header: authorization, secret: "Bearer {key}"}}
    {witness}
  wire: {{url: "https://wire.test", stub: {{status: 200}}}}
{databases}
tasks:
  pay:
    event: payout/approved
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""
WITNESS = 'witness: {request: "GET /v1/transfers?limit=100", items: "$.data"}'


def catalogue(bank: str = "https://bank.test", *, witness: str = "", databases: str = "") -> ResolvedCatalogue:
    text = CATALOGUE.format(bank=bank, key=BANK_KEY, witness=witness, databases=databases)
    return parse(text, "stage.yaml", {})


@dataclass
class Bank:
    """A provider's own list of transfers, with the credential it was asked with."""

    transfers: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "tr_0001"}])
    status: int = 200
    asked_with: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked_with.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        body = orjson.dumps({"data": self.transfers})
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Did:
    """One thing that a canary's run does."""

    shape: tuple[str, str, str]
    disposition: str | None = "stub"
    writes: bool | None = True
    seen_by: str = "gateway"
    attributed_by: str = "headers"


@dataclass
class Candidate:
    """What becomes of a repeated event: a run, and what it does."""

    database: Database
    does: Sequence[Did] = (Did(TRANSFER), Did(WIRE), Did(LOOKUP, "replay", writes=False))
    status: str = "completed"
    finishes: bool = True
    version: str | None = None
    authority: str = "none"
    purpose: str = "canary"
    event_authority: str | None = None
    gone: Collection[UUID] = ()
    also: Any = None
    """Something else that happens meanwhile."""
    repeated: list[UUID] = field(default_factory=list)

    async def __call__(self, event: UUID, /) -> UUID:
        if event in self.gone:
            raise LookupError(event)
        self.repeated.append(event)
        again, run = new_id(), new_id()
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(
                """INSERT INTO events (id, source, door, origin, name, delivery_id, authority, purpose)
                   VALUES (%s, 'app', 'inngest', 'producer', 'payout/approved', %s, %s, %s)""",
                (again, str(again), self.event_authority, self.purpose),
            )
            await connection.execute(
                """INSERT INTO runs (id, event_id, task, side, platform, platform_run_id, authority, state, status,
                       error_message, version)
                   VALUES (%s, %s, %s, 'candidate', 'inngest', %s, %s, %s, %s, 'no such account', %s)""",
                (
                    run,
                    again,
                    TASK,
                    f"run-{run}",
                    self.authority,
                    "finished" if self.finishes else "sent",
                    self.status if self.finishes else None,
                    self.version,
                ),
            )
        for one in self.does:
            await effect(self.database, Side.CANDIDATE, one, run_id=run)
        if self.also is not None:
            await self.also()
        return again


async def effect(
    database: Database, side: Side, did: Did, *, run_id: UUID | None = None, platform_run_id: str | None = None
) -> UUID:
    identifier = new_id()
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(
            """INSERT INTO effects (id, side, run_id, platform_run_id, task, sequence, kind, target, operation, seen_by,
                   attributed_by, disposition, writes)
               VALUES (%s, %s, %s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s)""",
            (
                identifier,
                side.value,
                run_id,
                platform_run_id,
                TASK,
                *did.shape,
                did.seen_by,
                did.attributed_by,
                did.disposition,
                did.writes,
            ),
        )
    return identifier


@dataclass
class Stage:
    """All of it."""

    database: Database
    catalogue: ResolvedCatalogue
    bank: Bank
    candidate: Candidate
    prover: Prover
    answers: dict[UUID, bytes]
    """What the gateway recorded of forwarded calls: effect -> answer."""

    async def legacy_run(self, *shapes: tuple[str, str, str], by_name: bool = False, days_ago: int = 0) -> UUID:
        """A run of legacy's that completed, with these effects; its event."""
        event, run = new_id(), new_id()
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(
                """INSERT INTO runs (id, event_id, task, side, platform, platform_run_id, authority, state, status)
                   VALUES (%s, %s, %s, 'legacy', 'trigger', %s, 'real', 'finished', 'completed')""",
                (run, event, TASK, f"run_{run}"),
            )
        for shape in shapes:
            did = Did(shape, "forward", writes=not shape[2].startswith("GET"))
            address = {"platform_run_id": f"run_{run}"} if by_name else {"run_id": run}
            await effect(self.database, Side.LEGACY, did, **address)
        if days_ago:
            async with self.database.connection(Work.CONTROL) as connection:
                await connection.execute(
                    "UPDATE effects SET received_at = received_at - %s * interval '1 day'", (days_ago,)
                )
        return event

    async def forwarded(self, answer: Any, shape: tuple[str, str, str] = TRANSFER) -> None:
        """Legacy itself makes a call meanwhile, which its run has authority for."""
        run = new_id()
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(
                """INSERT INTO runs (id, task, side, platform, authority, state)
                   VALUES (%s, 'other', 'legacy', 'trigger', 'real', 'sent')""",
                (run,),
            )
        identifier = await effect(self.database, Side.LEGACY, Did(shape, "forward"), run_id=run)
        self.answers[identifier] = orjson.dumps(answer)

    async def guard(
        self,
        *held: str,
        version: str | None = "v1",
        denies: bool = True,
        allowed: Sequence[str] = (),
        covers: Covers = "clients",
    ) -> None:
        """A worker starts: its guard reports, with the fingerprints of what it holds."""
        async with self.database.connection(Work.CONTROL) as connection:
            key = await fingerprint_key(connection)
            prints = frozenset(fingerprint(key, secret) for secret in ("/usr/bin", *held))
            report = GuardReport(Side.CANDIDATE, version, GATEWAY, denies, tuple(allowed), prints, covers=covers)
            await store_report(connection, report)
            if version is not None:
                await saw_versions(connection, [Sighting(TASK, Side.CANDIDATE, version)])


@asynccontextmanager
async def stage_of(database: Database, *, witness: str = WITNESS, databases: str = "") -> AsyncIterator[Stage]:
    """With a provider that is served as long as the block lasts."""
    bank = Bank()
    answers: dict[UUID, bytes] = {}

    async def bodies(effects: Collection[Any], /) -> Sequence[bytes]:
        return [answers[effect] for effect in effects if effect in answers]

    async with Served(bank) as served:
        known = catalogue(served.url, witness=witness, databases=databases)
        candidate = Candidate(database)
        reads = TargetReads(known)
        prover = Prover(database, known, reads, candidate, bodies)
        yield Stage(database, known, bank, candidate, prover, answers)
        await reads.close()
