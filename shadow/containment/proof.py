"""Proving a task's containment, part after part; each attempt is kept with all that it showed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.containment.canary import AT_MOST, Canary, CanaryFailed, Repeat, fly, judge_canary
from shadow.containment.databases import prove_databases
from shadow.containment.fingerprints import fingerprint_key
from shadow.containment.guard import judge_guard
from shadow.containment.guard_reports import GuardReport, newest_report
from shadow.containment.part import Part, PartName, PartState, failed, unknown
from shadow.containment.real_secrets import real_secrets
from shadow.containment.record import Containment, Leaks, begin_proof, finish_proof, note_progress
from shadow.containment.shapes import LegacyLedger, covering_events, legacy_ledger
from shadow.containment.version import current_version
from shadow.containment.witness import ReadBodies, judge_witnesses, read_witnesses, testimony
from shadow.effects.probes import FetchesTarget
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

WINDOW = timedelta(days=30)
"""How far back legacy's ledger is looked at."""
LONGEST_WAIT = timedelta(minutes=10)
"""How long a canary's runs are waited for, unless their task has less time or the caller says otherwise."""


class Progress(Protocol):
    """Whoever shows how far it is."""

    def working(self, part: PartName, text: str) -> None: ...

    def done(self, part: PartName, result: Part) -> None: ...


class Silent:
    """Nobody watches."""

    def working(self, part: PartName, text: str) -> None:
        pass

    def done(self, part: PartName, result: Part) -> None:
        pass


@dataclass
class Prover:
    """Tries proofs of one installation."""

    database: Database
    catalogue: ResolvedCatalogue
    fetches: FetchesTarget
    """Reads at targets, for those that are witnesses."""
    repeat: Repeat
    bodies: ReadBodies
    progress: Progress = field(default_factory=Silent)
    patience: timedelta | None = None
    """How long a canary's runs are waited for."""

    async def begin(self, task: str, *, actor: str) -> Containment:
        """Put on record that a proof is being tried.

        Raises:
            KeyError: the catalogue has no such task.
        """
        if task not in self.catalogue.tasks:
            raise KeyError(task)
        async with self.database.connection(Work.CONTROL) as connection:
            return await begin_proof(connection, task, actor=actor)

    async def prove(self, task: str, *, actor: str) -> Containment:
        """Try a proof from its beginning to its end."""
        return await self.carry_out(await self.begin(task, actor=actor))

    async def carry_out(self, proof: Containment) -> Containment:
        """Try all parts of a proof that was begun, and keep what they showed.

        A fault in the middle of it is kept as a failed proof, and raised again.
        """
        parts: dict[PartName, Part] = {}
        version: str | None = None
        leaks: Leaks = "unknown"
        try:
            version, leaks = await self._try(proof, parts)
        except BaseException as error:
            lacking = next((name for name in PartName if name not in parts), PartName.WITNESS)
            parts[lacking] = failed(f"it broke off: {type(error).__name__}: {error}"[:500])
            await self._finish(proof, parts, version, leaks)
            raise
        return await self._finish(proof, parts, version, leaks)

    async def _finish(
        self, proof: Containment, parts: dict[PartName, Part], version: str | None, leaks: Leaks
    ) -> Containment:
        proven = all(parts.get(name) is not None and parts[name].state is PartState.PASSED for name in PartName)
        async with self.database.connection(Work.CONTROL) as connection:
            return await finish_proof(
                connection,
                proof,
                version=version,
                proven=proven,
                parts={name.value: part.as_json() for name, part in parts.items()},
                leaks=leaks,
            )

    async def _try(self, proof: Containment, parts: dict[PartName, Part]) -> tuple[str | None, Leaks]:
        version, report, guard = await self._guard(proof.task)
        await self._done(proof, parts, PartName.GUARD, guard)
        self.progress.working(PartName.DATABASES, "asking legacy's databases what the candidate's role may write")
        await self._done(proof, parts, PartName.DATABASES, await prove_databases(self.catalogue))
        if guard.state is not PartState.PASSED:
            # What might reach the world with real secrets is not sent an event to try whether it does.
            held = "not tried: the guard's part comes first"
            await self._done(proof, parts, PartName.CANARY, unknown(held, todo=guard.todo))
            await self._done(proof, parts, PartName.WITNESS, unknown(held))
            return version, "unknown"
        return version, await self._canary(proof, parts, version, report)

    async def _done(self, proof: Containment, parts: dict[PartName, Part], name: PartName, part: Part) -> None:
        parts[name] = part
        self.progress.done(name, part)
        async with self.database.connection(Work.CONTROL) as connection:
            await note_progress(connection, proof.id, {name.value: part.as_json() for name, part in parts.items()})

    async def _guard(self, task: str) -> tuple[str | None, GuardReport | None, Part]:
        self.progress.working(PartName.GUARD, "reading what the guard in the candidate's worker reported")
        async with self.database.connection(Work.CONTROL) as connection:
            version = await current_version(connection, task)
            report = await newest_report(connection, Side.CANDIDATE, task, version)
            if report is None:
                report = await newest_report(connection, Side.CANDIDATE, task)
            key = await fingerprint_key(connection)
        if report is not None and report.version != version:
            return (
                version,
                report,
                failed(
                    f"the candidate runs version {version}, and the newest guard that reported is of {report.version}",
                    todo=["let the worker of the present version report: restart it with the client package"],
                ),
            )
        return version, report, judge_guard(report, self.catalogue, real_secrets(self.catalogue), key)

    async def _canary(
        self, proof: Containment, parts: dict[PartName, Part], version: str | None, report: GuardReport | None
    ) -> Leaks:
        task = self.catalogue.tasks[proof.task]
        self.progress.working(PartName.CANARY, f"reading legacy's ledger of {WINDOW.days} days")
        async with self.database.direct() as connection:  # it may take a while, and nobody shall wait for it
            ledger = await legacy_ledger(connection, task.id, datetime.now(UTC) - WINDOW)
        events = covering_events(ledger.shapes, AT_MOST) or ([ledger.newest_event] if ledger.newest_event else [])
        if not events:
            nothing = failed(
                f"legacy has no run of {task.id} in {WINDOW.days} days that completed: there is no event to repeat",
                todo=["wait for one, or declare the task harmless"],
            )
            await self._done(proof, parts, PartName.CANARY, nothing)
            await self._done(proof, parts, PartName.WITNESS, unknown("not asked: there was no canary"))
            return "unknown"
        self.progress.working(PartName.WITNESS, "reading what providers list before the canary")
        before = await read_witnesses(self.fetches, self.catalogue)
        began_at = await self._now()
        wait = self.patience or min(task.deadline, LONGEST_WAIT)
        self.progress.working(PartName.CANARY, f"repeating {len(events)} events for the candidate alone")
        try:
            canary = await fly(
                self.database,
                task.id,
                events,
                self.repeat,
                began_at=began_at,
                settle=task.settle.total_seconds(),
                patience=wait.total_seconds(),
                progress=lambda text: self.progress.working(PartName.CANARY, text),
            )
        except CanaryFailed as error:
            await self._done(proof, parts, PartName.CANARY, failed(str(error)))
            await self._done(proof, parts, PartName.WITNESS, unknown("not asked: the canary could not be tried"))
            return "unknown"
        await self._done(
            proof, parts, PartName.CANARY, judge_canary(canary, ledger, list(self.catalogue.targets), version)
        )
        self.progress.working(PartName.WITNESS, "reading what they list now")
        after = await read_witnesses(self.fetches, self.catalogue)
        async with self.database.connection(Work.CONTROL) as connection:
            told = await testimony(
                connection,
                task.id,
                before,
                after,
                began_at,
                self.bodies,
                guard=report,
                at_work=canary.guarded,
            )
        part, leaks = judge_witnesses(told, self._written(canary, ledger), version)
        await self._done(proof, parts, PartName.WITNESS, part)
        return "found" if canary.leaked else leaks

    def _written(self, canary: Canary, ledger: LegacyLedger) -> Collection[str]:
        """The targets that are written to."""
        written = {one.shape.target for one in ledger.shapes if one.writes}
        written |= {one.shape.target for one in canary.effects if one.writes is not False}
        return written & self.catalogue.targets.keys()

    async def _now(self) -> datetime:
        """The database's time, which rows are stamped with."""
        async with self.database.connection(Work.CONTROL) as connection:
            row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment
