"""Counting the pairs of epochs, in the order of their start, up to the oldest unresolved one.

Any number of processes count. For each task it is one transaction that holds the epoch's row: the pairs say as what
they were counted, and the epoch how many there are of what, or neither does. So whoever is killed loses nothing and
doubles nothing, and whoever finds the row held goes on to the next task. Rows are locked in the order epoch, pairs (by
id), corrections; those who write verdicts lock pairs and then corrections, and never an epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import numpy as np
import structlog

from comparators import Severity, Verdict
from shadow.catalogue import ResolvedTask
from shadow.causes.authority import Purpose
from shadow.gate.epochs import Epoch, locked_if_free, marked, save
from shadow.gate.order import Frontier, countable
from shadow.gate.report import Counted
from shadow.gate.run_counts import Recounted, count_runs
from shadow.gate.standing import Correction, Test
from shadow.gate.stands import Granted, Pair, Stand, stand_of, was_allowed
from shadow.judge.deciding import Cover
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

Asked: TypeAlias = "Callable[[int], Test]"
"""What is asked of the statistic in the epoch of a task of that number."""

_NEXT = """
SELECT id, verdict IS NOT NULL AND due_at IS NULL FROM pairs
WHERE task = %s AND counted IS NULL AND starts_at >= %s AND starts_at < %s ORDER BY starts_at, id LIMIT %s
"""
_LOCK = """
SELECT pair.id, pair.verdict IS NOT NULL AND pair.due_at IS NULL, pair.counted, pair.counted_in, pair.counted_place,
       pair.starts_at, coalesce(event.accepted_at, pair.starts_at), coalesce(event.purpose, 'live'),
       coalesce(pair.verdict, 'not_comparable'), coalesce(pair.rules, ''), coalesce(pair.tenant, ''),
       legacy.version, candidate.version, pair.replays
FROM pairs AS pair
LEFT JOIN events AS event ON event.id = pair.event_id
LEFT JOIN runs AS legacy ON legacy.id = pair.legacy_run
LEFT JOIN runs AS candidate ON candidate.id = pair.candidate_run
WHERE pair.id = ANY(%s) ORDER BY pair.id FOR UPDATE OF pair
"""
_DIFFERENCES = """
SELECT DISTINCT pair_id, signature, severity FROM differences WHERE pair_id = ANY(%s)
"""
_GRANTED = """
SELECT id, signature, tenant, max_severity, expires_at, made_at, ended_at FROM allowances WHERE signature = ANY(%s)
"""
# The original of a replay, and what else replays it.
_ALREADY = """
SELECT pair.id, pair.id FROM pairs AS pair WHERE pair.id = ANY(%(replayed)s) AND pair.counted_in = %(epoch)s
  AND pair.counted_place IS NOT NULL
UNION
SELECT pair.replays, pair.id FROM pairs AS pair WHERE pair.replays = ANY(%(originals)s) AND pair.counted_in = %(epoch)s
  AND pair.counted_place IS NOT NULL
"""
_COUNT = """
UPDATE pairs SET counted = found.stand, counted_in = %(epoch)s, counted_place = found.place
FROM unnest(%(ids)s::uuid[], %(stands)s::text[], %(places)s::bigint[]) AS found (id, stand, place)
WHERE pairs.id = found.id AND pairs.id = ANY(%(ids)s::uuid[])
"""
_TO_CORRECT = """
SELECT correction.pair_id, pair.task FROM gate_corrections AS correction
LEFT JOIN pairs AS pair ON pair.id = correction.pair_id ORDER BY correction.pair_id LIMIT %s
"""
_CORRECTED = "DELETE FROM gate_corrections WHERE pair_id = ANY(%s)"


class _Locked:
    """Pairs whose rows are locked, as they are now."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.resolved: dict[UUID, bool] = {}
        self.counted: dict[UUID, tuple[Stand | None, UUID | None, int | None]] = {}
        self.allowed: set[UUID] = set()
        """Whose differences were allowed when their events were accepted."""

    @classmethod
    async def of(cls, connection: Connection, ids: Sequence[UUID]) -> _Locked:
        locked = cls()
        cursor = await connection.execute(_LOCK, (list(ids),))
        for pair, resolved, counted, within, place, start, accepted, purpose, verdict, *more in await cursor.fetchall():
            locked.resolved[pair] = resolved
            locked.counted[pair] = (None if counted is None else Stand(counted), within, place)
            locked.pairs.append(Pair(pair, start, accepted, Purpose(purpose), Verdict(verdict), *more))
        locked.pairs.sort(key=lambda pair: (pair.starts_at, pair.id))
        await locked._look_for_allowances(connection)
        return locked

    async def _look_for_allowances(self, connection: Connection) -> None:
        asked = {pair.id: pair for pair in self.pairs if pair.verdict is Verdict.allowed}
        if not asked:
            return
        differences: dict[UUID, list[tuple[str, Severity]]] = {}
        cursor = await connection.execute(_DIFFERENCES, (list(asked),))
        for pair, signature, severity in await cursor.fetchall():
            differences.setdefault(pair, []).append((signature, Severity[severity]))
        signatures = {signature for found in differences.values() for signature, _severity in found}
        cursor = await connection.execute(_GRANTED, (sorted(signatures),))
        granted = [
            Granted(Cover(allowance, signature, tenant, Severity[severity], expires_at), made_at, ended_at)
            for allowance, signature, tenant, severity, expires_at, made_at, ended_at in await cursor.fetchall()
        ]
        self.allowed = {pair for pair in asked if was_allowed(asked[pair], differences.get(pair, ()), granted)}


async def count(connection: Connection, task: ResolvedTask, asked: Asked, frontier: Frontier, *, limit: int) -> int:
    """Count the next pairs of the task's epoch, at most `limit`, and their runs. The caller commits.

    Returns:
        how many pairs were looked at and need no second look; 0 where somebody else holds the epoch, too.
    """
    epoch = await locked_if_free(connection, task.id)
    if epoch is None:
        return 0
    test = asked(epoch.number)
    before, epoch = epoch, reviewed(epoch, test, frontier.now)
    cursor = await connection.execute(_NEXT, (task.id, epoch.started_at, frontier.before, limit))
    rows = await cursor.fetchall()
    due = [row[0] for row in rows[: countable(np.array([row[1] for row in rows], bool))]]
    if not due:
        if before.test not in (None, test):
            await save(connection, epoch)
        return 0
    locked = await _Locked.of(connection, due)
    # One may have been made due again before its row was locked.
    ready = locked.pairs[: countable(np.array([locked.resolved[pair.id] for pair in locked.pairs], bool))]
    already = await _already(connection, epoch, ready)
    stands: list[Stand] = []
    for pair in ready:
        original = pair.replays or pair.id
        stand = stand_of(pair, epoch, allowed=pair.id in locked.allowed, repeated=original in already)
        if stand.counted:
            already.add(original)
        stands.append(stand)
    places = _places(stands, epoch.standing.now.place)
    await connection.execute(
        _COUNT,
        {
            "epoch": epoch.id,
            "ids": [pair.id for pair in ready],
            "stands": [str(one) for one in stands],
            "places": places,
        },
    )
    recounted = [Recounted(pair.id, None, stand.value) for pair, stand in zip(ready, stands, strict=True)]
    await count_runs(connection, epoch.id, task.gate.latency, recounted)
    await save(connection, _counted(epoch, ready, stands, test, frontier.now), ready[-1].starts_at if ready else None)
    return len(ready)


async def to_correct(connection: Connection, limit: int) -> dict[str | None, list[UUID]]:
    """Counted pairs that were judged again, by task; None: of a pair that is gone."""
    found: dict[str | None, list[UUID]] = {}
    for pair, task in await (await connection.execute(_TO_CORRECT, (limit,))).fetchall():
        found.setdefault(task, []).append(pair)
    return found


async def correct(
    connection: Connection, task: ResolvedTask | None, pairs: Sequence[UUID], asked: Asked, now: datetime
) -> int:
    """Count pairs of a task as they were judged again, where that is news of the same evidence under the same rules.

    The caller commits. What other rules say of a pair changes nothing: only pairs accepted after the change count for
    them. A pair that was left out stays so.

    Args:
        task: None where the catalogue names it no more, or the pairs are gone.

    Returns:
        how many count otherwise now.
    """
    epoch = None if task is None else await locked_if_free(connection, task.id)
    if epoch is None and task is not None and await _lasts(connection, task.id):
        return 0  # somebody else has it
    changes: list[_Change] = []
    if epoch is not None:
        locked = await _Locked.of(connection, pairs)
        changes = list(_changes(locked, epoch))
    if epoch is not None and task is not None and changes:
        await connection.execute(
            _COUNT,
            {
                "epoch": epoch.id,
                "ids": [change.pair.id for change in changes],
                "stands": [str(change.after) for change in changes],
                "places": [change.place for change in changes],
            },
        )
        recounted = [Recounted(change.pair.id, change.before.value, change.after.value) for change in changes]
        await count_runs(connection, epoch.id, task.gate.latency, recounted)
        await save(connection, _corrected(epoch, changes, asked(epoch.number), now))
        log.info("gate.corrected", task=task.id, pairs=len(changes))
    await connection.execute(_CORRECTED, (list(pairs),))
    return len(changes)


def reviewed(epoch: Epoch, test: Test, now: datetime) -> Epoch:
    """The epoch held against what is asked now, which may have changed since it was last looked at."""
    if epoch.test in (None, test):
        return replace(epoch, test=test)
    return replace(marked(epoch, epoch.standing.reviewed(test), now), test=test)


class _Change:
    """A counted pair that counts otherwise now."""

    def __init__(self, pair: Pair, place: int, before: Stand, after: Stand) -> None:
        self.pair = pair
        self.place = place
        self.before = before
        self.after = after


def _changes(locked: _Locked, epoch: Epoch) -> Iterable[_Change]:
    for pair in locked.pairs:
        before, within, place = locked.counted[pair.id]
        if before is None or within != epoch.id or place is None or not locked.resolved[pair.id]:
            continue
        after = stand_of(pair, epoch, allowed=pair.id in locked.allowed)
        if after.counted and after is not before:
            yield _Change(pair, place, before, after)


def _counted(epoch: Epoch, pairs: Sequence[Pair], stands: Sequence[Stand], test: Test, now: datetime) -> Epoch:
    counted = [stand for stand in stands if stand.counted]
    standing = epoch.standing.counted(
        [stand.mismatched for stand in counted], [stand.compared for stand in counted], test
    )
    live: Counter[Stand] = Counter()
    replayed: Counter[Stand] = Counter()
    left_out = Counter(epoch.left_out)
    for pair, stand in zip(pairs, stands, strict=True):
        if not stand.counted:
            left_out[stand.value] += 1
        elif pair.replays is None:
            live[stand] += 1
        else:
            replayed[stand] += 1
    found = replace(epoch, live=_added(epoch.live, live), replayed=_added(epoch.replayed, replayed), left_out=left_out)
    return marked(found, standing, now)


def _corrected(epoch: Epoch, changes: Sequence[_Change], test: Test, now: datetime) -> Epoch:
    live: Counter[Stand] = Counter()
    replayed: Counter[Stand] = Counter()
    corrections = []
    for change in changes:
        of = live if change.pair.replays is None else replayed
        of[change.before] -= 1
        of[change.after] += 1
        corrections.append(
            Correction(
                change.place,
                change.after.compared - change.before.compared,
                change.after.mismatched - change.before.mismatched,
            )
        )
    found = replace(epoch, live=_added(epoch.live, live), replayed=_added(epoch.replayed, replayed), test=test)
    return marked(found, epoch.standing.corrected(corrections, test), now)


def _added(counted: Counted, delta: Mapping[Stand, int]) -> Counted:
    return replace(counted, **{stand.value: getattr(counted, stand.value) + more for stand, more in delta.items()})


def _places(stands: Sequence[Stand], last: int) -> list[int | None]:
    places: list[int | None] = []
    for stand in stands:
        last += stand.counted
        places.append(last if stand.counted else None)
    return places


async def _already(connection: Connection, epoch: Epoch, pairs: Sequence[Pair]) -> set[UUID]:
    """Of the originals of these pairs, those of whose event a pair has been counted in this epoch."""
    originals = sorted({pair.replays or pair.id for pair in pairs})
    replayed = sorted({pair.replays for pair in pairs if pair.replays is not None})
    values = {"originals": originals, "replayed": replayed, "epoch": epoch.id}
    cursor = await connection.execute(_ALREADY, values)
    return {row[0] for row in await cursor.fetchall()}


async def _lasts(connection: Connection, task: str) -> bool:
    cursor = await connection.execute("SELECT FROM epochs WHERE task = %s AND ended_at IS NULL", (task,))
    return await cursor.fetchone() is not None
