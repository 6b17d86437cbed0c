"""Keeping evidence packs: made when a route is retired, and never deleted, so that retention does not take them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import structlog

from shadow.archive.composing import compose
from shadow.archive.rendering import Files, files
from shadow.catalogue import ResolvedCatalogue
from shadow.model.ids import derived_id
from shadow.store import codec
from shadow.store.database import Database, Work
from shadow.store.recurring import Recurring

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
_AFTER_AN_ERROR_SECONDS = 60.0

_MISSING = """
SELECT move.id, move.route, named.task FROM moves AS move CROSS JOIN LATERAL unnest(move.tasks) AS named (task)
WHERE move.to_phase = 'retired' AND move.effective_at <= now()
  AND NOT EXISTS (SELECT FROM evidence_packs AS kept WHERE kept.move = move.id AND kept.task = named.task)
ORDER BY move.decided_at, named.task
"""
_KEEP = """
INSERT INTO evidence_packs (id, task, route, move, made_at, json, html, digest)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (move, task) DO NOTHING
"""
_NEWEST = """
SELECT json, html, digest FROM evidence_packs WHERE task = %s ORDER BY made_at DESC, id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Missing:
    move: UUID
    route: str
    task: str


async def kept(database: Database, task: str) -> Files | None:
    """The newest pack that was kept of a task; None while it was never retired."""
    async with database.connection(Work.CONTROL) as connection:
        row = await (await connection.execute(_NEWEST, (task,))).fetchone()
    return None if row is None else Files(codec.decode(row[0]), codec.decode(row[1]), row[2])


async def composed(database: Database, catalogue: ResolvedCatalogue, task: str) -> Files:
    """A pack of a task of the catalogue as it stands now."""
    return files(await compose(database, catalogue, task, datetime.now(UTC)))


class ArchiveLoop(Recurring):
    """Makes the packs of routes that were retired; any number of processes may run it."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue, *, every: float = EVERY_SECONDS) -> None:
        super().__init__("archive", "archive.not_kept", rest_after_failure=_AFTER_AN_ERROR_SECONDS)
        self._database = database
        self._catalogue = catalogue
        self._every = every

    async def once(self) -> list[str]:
        """The tasks of which a pack was made.

        Raises:
            ExceptionGroup: some could not be made; all others were.
        """
        async with self._database.connection(Work.CONTROL) as connection:
            rows = await (await connection.execute(_MISSING)).fetchall()
        made: list[str] = []
        failed: list[Exception] = []
        for missing in (_Missing(*row) for row in rows):
            if missing.task not in self._catalogue.tasks:
                continue  # of another version of the catalogue, whose processes make it
            try:
                await self._make(missing)
            except psycopg.OperationalError:
                raise
            except Exception as error:
                error.add_note(f"task {missing.task}")
                failed.append(error)  # the others are kept all the same
            else:
                made.append(missing.task)
        if failed:
            raise ExceptionGroup("packs that could not be made", failed)
        return made

    async def _make(self, missing: _Missing) -> None:
        now = datetime.now(UTC)
        pack = files(await compose(self._database, self._catalogue, missing.task, now, made_for=missing.move))
        async with self._database.connection(Work.CONTROL) as connection:
            await connection.execute(
                _KEEP,
                (
                    derived_id(missing.move, missing.task),
                    missing.task,
                    missing.route,
                    missing.move,
                    now,
                    codec.encode(pack.json),
                    codec.encode(pack.html),
                    pack.digest,
                ),
            )
        log.info("archive.kept", task=missing.task, move=str(missing.move), sha256=pack.digest)

    async def turn(self) -> float:
        await self.once()
        return self._every
