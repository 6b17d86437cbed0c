"""Epochs: the evidence of a task that counts together. One candidate version, one legacy version, one set of rules.

An epoch begins when the task first has pairs, and another one follows it when either side is deployed, when the rules
change, or when a person says so. Pairs of events accepted from then on count in it; nothing counts in two. An epoch
that has ended is not changed any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from shadow.catalogue.model import Side
from shadow.gate.report import Counted
from shadow.gate.standing import Mark, Standing, Test
from shadow.model.ids import new_id
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

LONGEST_REASON = 2000
_NOTHING = Counted()
_AT_FIRST = Standing()

_NAMES = (
    "id",
    "task",
    "number",
    "legacy_version",
    "candidate_version",
    "rules",
    "because",
    "started_at",
    "ended_at",
    "counts",
    "log_e",
    "opened_at",
    "regressed_at",
    "counted_until",
)
_COLUMNS = ", ".join(_NAMES)
_CURRENT = f"SELECT {_COLUMNS} FROM epochs WHERE task = ANY(%s) AND ended_at IS NULL"  # noqa: S608  # of constants
_ASKED = "SELECT task, number, log_e FROM epochs WHERE task = ANY(%s) AND ended_at IS NULL"
_LASTING = "SELECT task FROM epochs WHERE task = ANY(%s) AND ended_at IS NULL"
_OF_TASK = f"SELECT {_COLUMNS} FROM epochs WHERE task = %s ORDER BY number DESC LIMIT %s"  # noqa: S608
_LOCK = f"SELECT {_COLUMNS} FROM epochs WHERE task = %s AND ended_at IS NULL FOR UPDATE"  # noqa: S608
_END = "UPDATE epochs SET ended_at = %s WHERE id = %s"
_HOLD = "SELECT pg_advisory_xact_lock(hashtext('shadow_epoch'), hashtext(%s))"
_CLOCK = "SELECT clock_timestamp()"
_BEGIN = f"""
INSERT INTO epochs (id, task, number, legacy_version, candidate_version, rules, because, started_at, counts, log_e)
SELECT %(id)s, %(task)s, coalesce(max(number), 0) + 1, %(legacy)s, %(candidate)s, %(rules)s, %(because)s,
       %(started_at)s, '{{}}', '{{}}'
FROM epochs WHERE task = %(task)s
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}
"""  # noqa: S608
_ADOPT = """
UPDATE epochs SET legacy_version = coalesce(legacy_version, %s), candidate_version = coalesce(candidate_version, %s)
WHERE id = %s AND ended_at IS NULL AND coalesce((counts->'standing'->'now'->>'place')::bigint, 0) = 0
"""
_SAVE = """
UPDATE epochs SET counts = %s, log_e = %s, opened_at = %s, opened_after = %s, regressed_at = %s,
    counted_until = greatest(counted_until, %s)
WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch and what was counted in it."""

    id: UUID
    task: str
    number: int
    """1, 2, ... of the task."""
    legacy_version: str | None
    """None while nobody has told one."""
    candidate_version: str | None
    rules: str
    """Fingerprint of the task's rules."""
    because: str
    """What began it, in words."""
    started_at: datetime
    """Pairs of events accepted (or scheduled to start) from then on count."""
    ended_at: datetime | None = None
    live: Counted = _NOTHING
    replayed: Counted = _NOTHING
    left_out: Mapping[str, int] | None = None
    """Why pairs were not counted -> how many."""
    standing: Standing = _AT_FIRST
    """Of live and replayed pairs together."""
    test: Test | None = None
    """What was asked of the statistic when it was last looked at."""
    opened_at: datetime | None = None
    regressed_at: datetime | None = None
    counted_until: datetime | None = None
    """Pairs that started before are all counted, but for those that were opened late."""

    @property
    def pairs(self) -> int:
        """n: compared pairs, live and replayed."""
        return self.live.compared + self.replayed.compared

    @property
    def mismatches(self) -> int:
        """k of them."""
        return self.live.mismatches + self.replayed.mismatches

    @property
    def opened_after(self) -> int | None:
        """How many pairs had been compared when the statistic opened."""
        return self.standing.opened.pairs if self.standing.opened else None

    def version(self, side: Side) -> str | None:
        return self.legacy_version if side is Side.LEGACY else self.candidate_version


async def current(connection: Connection, tasks: Collection[str]) -> dict[str, Epoch]:
    """The epochs that last, by task; tasks that never had pairs have none."""
    cursor = await connection.execute(_CURRENT, (sorted(tasks),))
    return {epoch.task: epoch for epoch in map(_epoch, await cursor.fetchall())}


async def lasting(connection: Connection, tasks: Collection[str]) -> set[str]:
    """Of these tasks, those that have an epoch."""
    cursor = await connection.execute(_LASTING, (sorted(tasks),))
    return {row[0] for row in await cursor.fetchall()}


async def readable(connection: Connection, tasks: Collection[str]) -> dict[str, Epoch]:
    """The same, without those that can't be read: that is said, and keeps no other task from its own."""
    found: dict[str, Epoch] = {}
    for row in await (await connection.execute(_CURRENT, (sorted(tasks),))).fetchall():
        try:
            epoch = _epoch(row)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            log.error("gate.epoch_unreadable", task=row[1], error=type(error).__name__)
            continue
        found[epoch.task] = epoch
    return found


async def asked_before(connection: Connection, tasks: Collection[str]) -> dict[str, tuple[int, Test | None]]:
    """Of the tasks that have an epoch, its number, and what was asked of its statistic when it was last looked at; None
    where it never was, or where that can't be told."""
    cursor = await connection.execute(_ASKED, (sorted(tasks),))
    return {task: (number, _test_or_none(logs)) for task, number, logs in await cursor.fetchall()}


async def of_task(connection: Connection, task: str, limit: int) -> list[Epoch]:
    """The newest epochs of a task."""
    cursor = await connection.execute(_OF_TASK, (task, limit))
    return [_epoch(row) for row in await cursor.fetchall()]


async def locked(connection: Connection, task: str) -> Epoch | None:
    """The epoch that lasts, its row locked until the end of this transaction; waits for whoever holds it."""
    row = await (await connection.execute(_LOCK, (task,))).fetchone()
    return None if row is None else _epoch(row)


async def locked_if_free(connection: Connection, task: str) -> Epoch | None:
    """The same, or None when somebody holds it."""
    row = await (await connection.execute(f"{_LOCK} SKIP LOCKED", (task,))).fetchone()
    return None if row is None else _epoch(row)


async def begin_first(
    connection: Connection, task: str, *, rules: str, versions: Mapping[Side, str | None], started_at: datetime
) -> Epoch | None:
    """Begin the epoch of a task that has none; None when somebody else just did. The caller commits."""
    await connection.execute(_HOLD, (task,))
    return await _insert(
        connection, task, rules=rules, versions=versions, because="the first pairs of the task", started_at=started_at
    )


async def begin(
    connection: Connection,
    task: str,
    because: str,
    *,
    rules: str | None = None,
    versions: Mapping[Side, str] | None = None,
    after: UUID | None = None,
    if_another: bool = False,
) -> Epoch | None:
    """End the epoch of a task and begin the next one. The caller commits.

    Args:
        rules: the new fingerprint; None: as they were.
        versions: of the sides that have another one now.
        after: the epoch that is meant; when another one has begun since, nothing is done.
        if_another: do nothing where neither rules nor versions are other than the epoch's.

    Returns:
        the new epoch; None when nothing was done, as where the task has no epoch at all.
    """
    await connection.execute(_HOLD, (task,))
    ended = await locked(connection, task)
    if ended is None or after not in (None, ended.id):
        return None
    kept = {side: (versions or {}).get(side, ended.version(side)) for side in Side}
    if if_another and rules in (None, ended.rules) and all(kept[side] == ended.version(side) for side in Side):
        return None
    # Read with the lock held: whoever counts pairs of this moment sees one epoch or the other.
    row = await (await connection.execute(_CLOCK)).fetchone()
    assert row is not None
    await connection.execute(_END, (row[0], ended.id))
    return await _insert(
        connection, task, rules=rules or ended.rules, versions=kept, because=because, started_at=row[0]
    )


async def adopt(connection: Connection, epoch: Epoch, versions: Mapping[Side, str]) -> None:
    """Versions that were told for the first time, before anything was counted, are the epoch's own."""
    await connection.execute(_ADOPT, (versions.get(Side.LEGACY), versions.get(Side.CANDIDATE), epoch.id))


async def save(connection: Connection, epoch: Epoch, counted_until: datetime | None = None) -> None:
    """Write what was counted. The caller holds the epoch's row and commits."""
    test = epoch.test
    assert test is not None, "who counts knows what is asked"
    standing = epoch.standing
    logs = {
        "below": standing.log_e(test),
        "below_highest": standing.highest,
        "above": standing.log_e_above(test),
        "above_highest": standing.highest_above,
        **asdict(test),
    }
    counts = {
        "live": asdict(epoch.live),
        "replay": asdict(epoch.replayed),
        "left_out": dict(epoch.left_out or {}),
        "standing": {
            name: None if mark is None else asdict(mark)
            for name, mark in (("now", standing.now), ("opened", standing.opened), ("regressed", standing.regressed))
        },
    }
    values = (Jsonb(counts), Jsonb(logs), epoch.opened_at, epoch.opened_after, epoch.regressed_at, counted_until)
    await connection.execute(_SAVE, (*values, epoch.id))


def marked(epoch: Epoch, standing: Standing, now: datetime) -> Epoch:
    """The epoch with another standing: when it opened or regressed is noted, or forgotten where it did not."""
    opened_at, regressed_at = epoch.opened_at, epoch.regressed_at
    if standing.opened is None:
        opened_at = None
    elif opened_at is None or epoch.standing.opened is None:
        opened_at = now
    if standing.regressed is None:
        regressed_at = None
    elif regressed_at is None:
        regressed_at = now
    return replace(epoch, standing=standing, opened_at=opened_at, regressed_at=regressed_at)


async def _insert(
    connection: Connection,
    task: str,
    *,
    rules: str,
    versions: Mapping[Side, str | None],
    because: str,
    started_at: datetime,
) -> Epoch | None:
    values = {
        "id": new_id(),
        "task": task,
        "legacy": versions.get(Side.LEGACY),
        "candidate": versions.get(Side.CANDIDATE),
        "rules": rules,
        "because": because,
        "started_at": started_at,
    }
    row = await (await connection.execute(_BEGIN, values)).fetchone()
    if row is None:
        return None
    begun = _epoch(row)
    log.info("gate.epoch_begun", task=task, number=begun.number, because=because)
    return begun


def _epoch(row: Sequence[Any]) -> Epoch:
    columns = dict(zip(_NAMES, row, strict=True))
    counts, logs = columns.pop("counts"), columns.pop("log_e")
    standing = counts.get("standing", {})
    return Epoch(
        **columns,
        live=Counted(**counts.get("live", {})),
        replayed=Counted(**counts.get("replay", {})),
        left_out=counts.get("left_out", {}),
        standing=Standing(
            _mark(standing.get("now")) or Mark(),
            _mark(standing.get("opened")),
            _mark(standing.get("regressed")),
            logs.get("below_highest", 0.0),
            logs.get("above_highest", 0.0),
        ),
        test=_test(logs),
    )


def _test(logs: Mapping[str, float]) -> Test | None:
    return Test(logs["budget"], logs["alpha"], logs["regress_alpha"]) if "budget" in logs else None


def _test_or_none(logs: Mapping[str, float]) -> Test | None:
    try:
        return _test(logs)
    except (KeyError, TypeError):  # whoever counts the task says so
        return None


def _mark(stored: Mapping[str, int] | None) -> Mark | None:
    return None if stored is None else Mark(**stored)
