"""Probes: what a task's runs left behind is read on each side, once both have settled, before they are judged.

Each finding is an effect of kind `state` of the side's run. A pair's probes are read once; what could not be read
makes it not comparable, unless a difference is found all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.expressions import Document, MappingFailed
from shadow.catalogue.model import Side
from shadow.catalogue.resolved import ResolvedProbe
from shadow.effects.evidence import data_of_events
from shadow.effects.record import AttributedBy, SeenBy, SeenEffect, record_effects
from shadow.effects.sql_reading import CannotRead, SqlReader
from shadow.model.ids import derived_id
from shadow.model.json_text import write_json
from shadow.observe import metrics
from shadow.store import codec
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

KIND = "state"
BATCH = 20
"""Pairs whose probes are read at once."""
POLL_SECONDS = 0.5
LEASE = timedelta(minutes=1)
_LONGEST_REASON = 500

_CLAIM = b"""
UPDATE pairs SET probe_lease = now() + %s
WHERE id = ANY(ARRAY(
    SELECT id FROM pairs
    WHERE state = 'probing' AND probed_at IS NULL AND (probe_lease IS NULL OR probe_lease < now())
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED))
RETURNING id, event_id, task, legacy_run, candidate_run, replay IS NOT NULL,
    (SELECT original.probed_at IS NOT NULL AND original.probe_failures IS NULL
     FROM pairs AS original WHERE original.id = pairs.replays)
"""
_OUTPUTS = b"SELECT id, content FROM bodies WHERE id = ANY(%s::uuid[]) AND part = 'output'"
_NAMES = b"SELECT id, platform_run_id FROM runs WHERE id = ANY(%s::uuid[])"
_PROBED = b"""
UPDATE pairs SET probed_at = now(), probe_failures = %s, due_at = now() WHERE id = %s AND probed_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a target answered."""

    status: int
    body: Any
    """Parsed where it is JSON; else text."""


class FetchesTarget(Protocol):
    """Reads at a target, with its credential."""

    async def fetch(self, target: str, method: str, path: str, query: str, within: timedelta) -> Fetched:
        """
        Raises:
            CannotRead: no answer.
        """


@dataclass(frozen=True, slots=True)
class Finding:
    """One effect to be."""

    identity: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class _Pair:
    id: UUID
    event_id: UUID
    task: str
    runs: Mapping[Side, UUID]
    """Those whose side is to be read."""
    unread: str | None = None
    """Why it can't be compared by what probes find, without reading anything."""

    @classmethod
    def of(
        cls, pair: UUID, event: UUID, task: str, legacy: UUID, candidate: UUID, replayed: bool, legacy_read: bool | None
    ) -> _Pair:
        """Of a replay legacy's side stays as it was read when its run had ended: what is there by now is of later runs,
        and the run is another pair's too."""
        if not replayed:
            return cls(pair, event, task, {Side.LEGACY: legacy, Side.CANDIDATE: candidate})
        because = None if legacy_read else "what legacy's run had left behind was not read at that time"
        return cls(pair, event, task, {Side.CANDIDATE: candidate} if legacy_read else {}, because)


def findings(rows: Sequence[Mapping[str, Any]], identity: Sequence[str]) -> list[Finding]:
    """An effect of each row, by its identifying columns; without any, one of all rows.

    Raises:
        CannotRead: a row has no such column.
    """
    if not identity:
        return [Finding(None, {"rows": [dict(row) for row in rows]})]
    found = []
    for row in rows:
        missing = [name for name in identity if name not in row]
        if missing:
            raise CannotRead(f"found no {missing[0]!r}, expected all of {', '.join(identity)}")
        values = [row[name] for name in identity]
        one = values[0] if len(values) == 1 else values
        found.append(Finding(one if isinstance(one, str) else write_json(one).decode(), dict(row)))
    return found


def filled(request: str, parameters: Mapping[str, Any]) -> tuple[str, str, str]:
    """(method, path, query) of a probe's request; a parameter that has no place in it becomes one of the query.

    Raises:
        CannotRead: a place has no parameter.
    """
    method, _, rest = request.partition(" ")
    path, _, query = rest.partition("?")
    unused = dict(parameters)
    for name in list(parameters):
        place = "{" + name + "}"
        if place in path or place in query:
            value = quote(_text(unused.pop(name)), safe="")
            if not value or value in (".", ".."):
                raise CannotRead(f"the parameter {name!r} is empty")
            path, query = path.replace(place, value), query.replace(place, value)
    if "{" in path + query:
        raise CannotRead(f"found a place without its parameter in {request!r}")
    more = urlencode({name: _text(value) for name, value in unused.items() if value is not None})
    return method, path, "&".join(filter(None, (query, more)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


class Prober:
    """Reads the probes of a task."""

    def __init__(self, catalogue: ResolvedCatalogue, targets: FetchesTarget | None) -> None:
        self._catalogue = catalogue
        self._targets = targets
        used = {probe.database for task in catalogue.tasks.values() for probe in task.probes}
        self._databases = {
            (name, side): SqlReader(f"{name}-{side}", settings)
            for name, pair in catalogue.databases.items()
            for side, settings in ((Side.LEGACY, pair.legacy), (Side.CANDIDATE, pair.candidate))
            if name in used
        }

    def close(self) -> None:
        for reader in self._databases.values():
            reader.close()

    async def read(self, probe: ResolvedProbe, side: Side, event: Any, output: Any) -> list[Finding]:
        """What a probe finds on a side.

        Raises:
            CannotRead: it could not be read.
        """
        document = Document({"event": event, "output": output})
        try:
            parameters = {name: expression.evaluate(document) for name, expression in probe.parameters.items()}
        except MappingFailed as error:
            # It says kinds, never values: a probe has no tables, whose missing keys would be named.
            raise CannotRead(str(error)) from None
        if probe.sql is not None:
            assert probe.database is not None
            reader = self._databases[probe.database, side]
            rows = await reader.read(probe.sql, parameters, rows=probe.rows, within=probe.timeout)
            return findings(rows, probe.identity)
        return await self._fetched(probe, parameters)

    async def _fetched(self, probe: ResolvedProbe, parameters: Mapping[str, Any]) -> list[Finding]:
        if self._targets is None or probe.target is None or probe.request is None:
            raise CannotRead("this process reads no targets")
        method, path, query = filled(probe.request, parameters)
        answer = await self._targets.fetch(probe.target, method, path, query, probe.timeout)
        if answer.status >= 500 or answer.status in (401, 403, 429):
            raise CannotRead(f"the target answered {answer.status}")
        if probe.identity and isinstance(answer.body, list) and answer.status < 300:
            if len(answer.body) > probe.rows:
                raise CannotRead(f"it found more than {probe.rows} rows")
            if not all(isinstance(row, dict) for row in answer.body):
                raise CannotRead("the answer lists something else than objects")
            return findings(answer.body, probe.identity)
        return [Finding(None, {"status": answer.status, "body": answer.body})]


class ProbeLoop:
    """Reads the probes of pairs that have settled. Any number share the work, by leases."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        targets: FetchesTarget | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """
        Args:
            targets: reads at targets; without it such probes fail.
        """
        self._database = database
        self._catalogue = catalogue
        self._prober = Prober(catalogue, targets)
        self._poll_seconds = poll_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if any(task.probes for task in self._catalogue.tasks.values()):
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._prober.close()

    async def once(self) -> int:
        """Read the probes of those that wait for them; how many pairs that were."""
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_CLAIM, (LEASE, BATCH))
            pairs = [_Pair.of(*row) for row in await cursor.fetchall()]
            if not pairs:
                return 0
            runs = [run for pair in pairs for run in pair.runs.values()]
            bodies = await data_of_events(conn, {pair.event_id for pair in pairs})
            cursor = await conn.execute(_OUTPUTS, (runs,))
            bodies |= {owner: codec.decode(content) for owner, content in await cursor.fetchall()}
            cursor = await conn.execute(_NAMES, (runs,))
            names = dict(await cursor.fetchall())
        await asyncio.gather(*(self._probe(pair, bodies, names) for pair in pairs))
        return len(pairs)

    async def _probe(self, pair: _Pair, bodies: Mapping[UUID, bytes], names: Mapping[UUID, str | None]) -> None:
        task = self._catalogue.tasks.get(pair.task)
        probes = task.probes if task is not None else ()
        event = _parsed(bodies.get(pair.event_id))
        asked = [
            (probe, side, self._one(probe, side, event, _parsed(bodies.get(run))))
            for probe in probes
            for side, run in pair.runs.items()
        ]
        results = await asyncio.gather(*(reading for _probe, _side, reading in asked))
        failures = [] if pair.unread is None else [pair.unread]
        effects: dict[Side, list[SeenEffect]] = {side: [] for side in Side}
        unread: set[str] = set()
        for (probe, side, _reading), result in zip(asked, results, strict=True):
            metrics.probed(side.value, "failed" if isinstance(result, CannotRead) else "read")
            if isinstance(result, CannotRead):
                failures.append(f"probe {probe.name} failed on {side}: {result}")
                unread.add(probe.name)
        for (probe, side, _reading), result in zip(asked, results, strict=True):
            # What was found on one side alone would be a difference that nobody made.
            if not isinstance(result, CannotRead) and probe.name not in unread:
                run = pair.runs[side]
                effects[side] += [_effect(pair.task, run, names.get(run), probe, *each) for each in enumerate(result)]
        await self._write(pair, effects, "; ".join(failures)[:_LONGEST_REASON] or None)

    async def _one(self, probe: ResolvedProbe, side: Side, event: Any, output: Any) -> list[Finding] | CannotRead:
        try:
            return await self._prober.read(probe, side, event, output)
        except CannotRead as error:
            return error
        except Exception as error:
            log.exception("probes.failed", probe=probe.name, error=type(error).__name__)
            return CannotRead(f"{type(error).__name__} within Shadow")

    async def _write(self, pair: _Pair, effects: Mapping[Side, Sequence[SeenEffect]], failures: str | None) -> None:
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_PROBED, (failures, pair.id))
            if not cursor.rowcount:
                return  # another process was quicker: its findings stand
            for side, seen in effects.items():
                if seen:
                    metrics.effects(side.value, await record_effects(conn, side, seen))
            await conn.execute(b"NOTIFY shadow_pairs")
        if failures is not None:
            log.warning("probes.unread", pair=str(pair.id), task=pair.task)

    async def _run(self) -> None:
        while True:
            try:
                if await self.once() == BATCH:
                    continue
            except psycopg.OperationalError as error:
                log.warning("probes.unreachable", error=type(error).__name__)
            except Exception as error:
                log.exception("probes.round_failed", error=type(error).__name__)
            await asyncio.sleep(self._poll_seconds)


def _effect(task: str, run: UUID, name: str | None, probe: ResolvedProbe, ordinal: int, found: Finding) -> SeenEffect:
    return SeenEffect(
        run=name,
        run_id=run,
        task=task,
        kind=KIND,
        target=probe.database or probe.target or "",
        operation=probe.name,
        identity=found.identity,
        data=write_json(found.data),
        seen_by=SeenBy.PROBE,
        attributed_by=AttributedBy.PARENT,
        id=derived_id(run, "probe", probe.name, str(ordinal)),
    )


def _parsed(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return orjson.loads(content)
    except ValueError:
        return None
