"""Rows as intake, fan-out and outcomes would leave them, so that judge and reports can be tested alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from ulid import ULID

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.model.ids import derived_id, new_id
from shadow.model.json_text import write_json
from shadow.store import codec
from shadow.store.database import Connection, Database, Work

CATALOGUE = """
version: 1
platforms:
  trigger:
    kind: trigger.dev
    side: legacy
    secret_key: tr_dev_secret
  inngest:
    kind: inngest
    side: candidate
    event_key: key
    app: shop
sources:
  app:
    kind: inngest
    keys: [producer]
defaults:
  deadline: 15m
  settle: 5s
tasks:
  order-sync:
    category: orders
    description: Keeps orders in step
    event: order/created
    sources: [app]
    legacy: {platform: trigger}
    candidate: {platform: inngest}
    rules:
      identities:
        - {target: stripe, paths: [$.requestId]}
      ignore:
        - {scope: output, path: $.tookMs, reason: how long it took}
  digest:
    event: digest/due
    sources: [app]
    legacy: {platform: trigger}
    candidate: {platform: inngest, flow: [debounce]}
"""
SETTLE = timedelta(seconds=5)
DEADLINE = timedelta(minutes=15)


def catalogue() -> ResolvedCatalogue:
    return parse(CATALOGUE, "test.yaml", {})


@dataclass(frozen=True)
class Told:
    """One event with its pair, to be told more about."""

    world: World
    event: UUID
    task: str
    accepted_at: datetime

    @property
    def pair(self) -> UUID:
        return derived_id(self.event, self.task)

    def run(self, side: Side) -> UUID:
        return derived_id(self.event, self.task, side)

    def platform_run(self, side: Side) -> str:
        return f"run-{self.run(side)}"

    async def finished(
        self,
        side: Side,
        *,
        after: float = 1,
        output: Any = None,
        status: str = "completed",
        error: str | None = None,
        raw_output: bytes | None = None,
        output_known: bool = True,
    ) -> None:
        """The run of that side ended `after` seconds after acceptance."""
        at = self.accepted_at + timedelta(seconds=after)
        async with self.world.connection() as connection:
            await connection.execute(
                "UPDATE runs SET state = 'finished', status = %s, error_name = %s, error_message = %s,"
                " attempts = 1, started_at = %s, finished_at = %s, learned_by = 'report' WHERE id = %s",
                (status, error, error and "it broke", self.accepted_at, at, self.run(side)),
            )
            if output_known:
                content = write_json(output) if raw_output is None else raw_output
                await self.world.body(connection, self.run(side), "output", content)
            await self.disturb(connection)

    async def doubled(self, side: Side, *, after: float = 1) -> str:
        """The platform ran the task once more for the event; returns what it calls that run."""
        at = self.accepted_at + timedelta(seconds=after)
        identifier = new_id()
        async with self.world.connection() as connection:
            await connection.execute(
                "INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority, state,"
                " status, started_at, finished_at) VALUES (%s, %s, %s, %s, %s, 'inngest', %s, 'none', 'finished',"
                " 'completed', %s, %s)",
                (identifier, self.event, self.pair, self.task, side, f"run-{identifier}", self.accepted_at, at),
            )
            await self.disturb(connection)
        return f"run-{identifier}"

    async def effect(
        self,
        side: Side,
        data: Any,
        *,
        after: float = 1,
        kind: str = "http",
        target: str = "stripe",
        operation: str = "POST /v1/transfers",
        identity: str | None = None,
        run: str | None = None,
    ) -> None:
        """A run of that side, the expected one or the one named, did something `after` seconds after acceptance."""
        identifier = new_id()
        at = self.accepted_at + timedelta(seconds=after)
        async with self.world.connection() as connection:
            await connection.execute(
                "INSERT INTO effects (id, side, platform_run_id, sequence, kind, target, operation, identity,"
                " occurred_at, received_at) VALUES (%s, %s, %s, 0, %s, %s, %s, %s, %s, %s)",
                (identifier, side, run or self.platform_run(side), kind, target, operation, identity, at, at),
            )
            await self.world.body(connection, identifier, "data", orjson.dumps(data))
            await self.disturb(connection)

    async def found(self, world: str, side: Side = Side.CANDIDATE) -> None:
        """What became of the rows that the run of that side needed."""
        async with self.world.connection() as connection:
            await connection.execute("UPDATE runs SET world = %s WHERE id = %s", (world, self.run(side)))

    async def incomparable(self, reason: str) -> None:
        async with self.world.connection() as connection:
            await connection.execute("UPDATE pairs SET incomparable = %s WHERE id = %s", (reason, self.pair))
            await self.disturb(connection)

    async def disturb(self, connection: Connection) -> None:
        """Have the judge look at it."""
        await connection.execute("UPDATE pairs SET due_at = now() WHERE id = %s", (self.pair,))
        await connection.execute("NOTIFY shadow_pairs")

    async def both(self, output: Any = None, *, candidate: Any = ..., after: float = 1) -> None:
        """Both runs ended, with the same output unless told otherwise."""
        await self.finished(Side.LEGACY, output=output, after=after)
        await self.finished(Side.CANDIDATE, output=output if candidate is ... else candidate, after=after)


class World:
    """A database into which the other stages have written."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.catalogue = catalogue()

    def connection(self) -> Any:
        return self.database.connection(Work.CONTROL)

    async def body(self, connection: Connection, owner: UUID, part: str, content: bytes) -> None:
        await connection.execute(
            "INSERT INTO bodies (id, part, content) VALUES (%s, %s, %s) ON CONFLICT (id, part) DO UPDATE"
            " SET content = excluded.content",
            (owner, part, codec.encode(content)),
        )

    async def original(self, connection: Connection, event: UUID, tenant: str | None, content: bytes) -> None:
        """An event's data, sealed."""
        await connection.vault.ready([tenant])
        sealed = connection.vault.seal(tenant, event.bytes, "data", content)
        await connection.execute("INSERT INTO bodies (id, part, content) VALUES (%s, 'data', %s)", (event, sealed))

    async def event(
        self,
        task: str = "order-sync",
        data: Any = None,
        *,
        tenant: str | None = "acme",
        accepted_at: datetime | None = None,
        opened: bool = True,
        external_id: str | None = None,
        phase: str = "shadow",
        authority: Side = Side.LEGACY,
    ) -> Told:
        """An event that both sides shall run, with its pair unless `opened` is False."""
        identifier = new_id()
        accepted = accepted_at or datetime.now(UTC)
        resolved = self.catalogue.tasks[task]
        async with self.connection() as connection:
            await connection.execute(
                "INSERT INTO events (id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id,"
                " accepted_at, route, phase, authority)"
                " VALUES (%s, 'app', 'inngest', 'producer', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    identifier,
                    resolved.event,
                    tenant,
                    external_id,
                    external_id or f"delivery-{identifier}",
                    str(ULID.from_datetime(accepted)),
                    accepted,
                    resolved.route,
                    phase,
                    authority,
                ),
            )
            content = orjson.dumps(data or {"order": 1})
            await self.original(connection, identifier, tenant, content)
            await evidence.keep_of_events(connection, {identifier: (tenant, content)})
            told = Told(self, identifier, task, accepted)
            if not opened:
                await self.dispatch(told, connection=connection)
                return told
            for side, platform in ((Side.LEGACY, "trigger"), (Side.CANDIDATE, "inngest")):
                await connection.execute(
                    "INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority,"
                    " state) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'sent')",
                    (
                        told.run(side),
                        identifier,
                        told.pair,
                        task,
                        side,
                        platform,
                        told.platform_run(side),
                        "real" if side is authority else "none",
                    ),
                )
            await connection.execute(
                "INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at,"
                " due_at, starts_at) VALUES (%s, %s, %s, %s, %s, %s, 'open', %s, %s, %s)",
                (
                    told.pair,
                    identifier,
                    task,
                    tenant,
                    told.run(Side.LEGACY),
                    told.run(Side.CANDIDATE),
                    accepted + DEADLINE,
                    accepted + DEADLINE,
                    accepted,
                ),
            )
            await connection.execute(
                "INSERT INTO tallies (task, day, tenant, opened) VALUES (%s, %s, %s, 1)"
                " ON CONFLICT (task, day, tenant) DO UPDATE SET opened = tallies.opened + 1",
                (task, accepted.astimezone(UTC).date(), tenant or ""),
            )
        return told

    async def dispatch(
        self, told: Told, *, state: str = "due", side: Side = Side.CANDIDATE, connection: Connection | None = None
    ) -> UUID:
        """A dispatch of that event in the queue."""
        identifier = new_id()
        statement = (
            "INSERT INTO dispatches (id, event_id, side, platform, task, tenant, state, error)"
            " VALUES (%s, %s, %s, 'inngest', %s, 'acme', %s, %s)"
        )
        values = (identifier, told.event, side, told.task, state, "404: no such task" if state == "dead" else None)
        if connection is not None:
            await connection.execute(statement, values)
        else:
            async with self.connection() as own:
                await own.execute(statement, values)
        return identifier

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.connection() as connection:
            cursor = await connection.execute(statement, values)
            return list(await cursor.fetchall())

    async def verdicts(self) -> dict[str, int]:
        """All tallies together, counts of 0 left out."""
        rows = await self.rows(
            "SELECT sum(match)::int, sum(mismatch)::int, sum(missing_candidate)::int, sum(missing_legacy)::int,"
            " sum(not_comparable)::int, sum(allowed)::int FROM tallies"
        )
        names = ("match", "mismatch", "missing_candidate", "missing_legacy", "not_comparable", "allowed")
        return {name: count for name, count in zip(names, rows[0], strict=True) if count}

    async def signature_counts(self) -> list[tuple[int, int]]:
        """(pairs of the signature, pairs of all its tenants), worst first."""
        return [
            (pairs, tenants)
            for pairs, tenants in await self.rows(
                "SELECT pairs, (SELECT coalesce(sum(pairs), 0)::int FROM signature_tenants WHERE signature = id)"
                " FROM signatures ORDER BY pairs DESC, id"
            )
        ]
