"""What begins epochs by itself: the first pairs of a task, versions that are seen, rules that have changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.gate import epochs
from shadow.gate.epochs import Epoch
from shadow.gate.versions import Change, Seen, change_of, present_version, versions_seen
from shadow.judge.rulebook import Rulebook
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_FIRST = """
SELECT asked.task, least(oldest.starts_at, clock_timestamp())
FROM unnest(%s::text[]) AS asked (task), LATERAL (
    SELECT starts_at FROM pairs WHERE pairs.task = asked.task AND counted IS NULL AND starts_at IS NOT NULL
    ORDER BY starts_at LIMIT 1) AS oldest
"""
NEW_RULES = "the task's rules changed"


@dataclass
class Beginnings:
    """Looks whether an epoch is to begin, for every task of the catalogue.

    Raises:
        ValueError: (when made) the catalogue holds rules that the comparators refuse.
    """

    database: Database
    catalogue: ResolvedCatalogue
    rules_seconds: float = 0.0
    """How old may be what is known of rules that were accepted."""
    _read_at: float | None = None
    _known: dict[str, str] = field(default_factory=dict)
    """Task -> the fingerprint of its rules when this process last looked."""

    def __post_init__(self) -> None:
        self._rulebook = Rulebook(self.catalogue)

    async def look(self) -> int:
        """Begin what is to begin; returns how many epochs that were."""
        tasks = sorted(self.catalogue.tasks)
        async with self.database.connection(Work.GATE) as connection:
            if self._read_at is None or time.monotonic() - self._read_at >= self.rules_seconds:
                await self._rulebook.look(connection)
                self._read_at = time.monotonic()
            known = await epochs.readable(connection, tasks)
            seen = await versions_seen(connection, tasks)
            first = await _first_pairs(connection, [task for task in tasks if task not in known])
        begun = 0
        for task, starts_at in first.items():
            with others_go_on(task):
                begun += await self._begin_first(task, starts_at, seen)
        for task, epoch in known.items():
            with others_go_on(task):
                begun += await self._follow(epoch, _changed(epoch, seen))
        self._known = {task: self._rulebook.fingerprint(task) for task in tasks}
        return begun

    async def _begin_first(
        self, task: str, starts_at: datetime, seen: Mapping[tuple[str, Side], Sequence[Seen]]
    ) -> int:
        versions = {side: present_version(seen.get((task, side), ())) for side in Side}
        async with self.database.connection(Work.GATE) as connection:
            epoch = await epochs.begin_first(
                connection, task, rules=self._rulebook.fingerprint(task), versions=versions, started_at=starts_at
            )
        return epoch is not None

    async def _follow(self, epoch: Epoch, changed: Mapping[Side, Change]) -> int:
        """Begin the next epoch of a task if its rules or a version are other ones."""
        told = {side: change for side, change in changed.items() if epoch.version(side) is None}
        if told and epoch.standing.now.place == 0:
            # Of what was not counted yet it is known in time.
            versions = {side: change.version for side, change in told.items()}
            async with self.database.connection(Work.GATE) as connection:
                await epochs.adopt(connection, epoch, versions)
            changed = {side: change for side, change in changed.items() if side not in told}
        rules = self._rulebook.fingerprint(epoch.task)
        because = [f"{side} {change.says}" for side, change in sorted(changed.items())]
        if self._rules_changed(epoch, rules):
            because.append(NEW_RULES)
        else:
            rules = epoch.rules
        if not because:
            return 0
        async with self.database.connection(Work.GATE) as connection:
            begun = await epochs.begin(
                connection,
                epoch.task,
                "; ".join(because),
                rules=rules,
                versions={side: change.version for side, change in changed.items()},
                after=epoch.id,
                if_another=True,
            )
        return begun is not None

    def _rules_changed(self, epoch: Epoch, rules: str) -> bool:
        """Whether they are other ones than the epoch's, and that is news.

        While processes with two catalogues run side by side, the epoch is that of whoever came last: none of them may
        begin another one again and again because of what it has known all the time.
        """
        return rules != epoch.rules and rules != self._known.get(epoch.task)


def _changed(epoch: Epoch, seen: Mapping[tuple[str, Side], Sequence[Seen]]) -> dict[Side, Change]:
    """The sides that have another version than the epoch."""
    found = {side: change_of(epoch.version(side), epoch.started_at, seen.get((epoch.task, side), ())) for side in Side}
    return {side: change for side, change in found.items() if change is not None}


@contextmanager
def others_go_on(task: str | None) -> Iterator[None]:
    """What one task's evidence comes to grief over keeps no other gate shut. A database that is away is everybody's."""
    try:
        yield
    except psycopg.OperationalError:
        raise
    except Exception:
        log.exception("gate.counting_failed", task=task)


async def _first_pairs(connection: Connection, tasks: Sequence[str]) -> dict[str, datetime]:
    """Of these tasks, those that have pairs, and the start of the first."""
    if not tasks:
        return {}
    cursor = await connection.execute(_FIRST, (list(tasks),))
    return dict(await cursor.fetchall())
