"""Tallies: how many pairs of a task, day and tenant have which verdict. They change by delta, so no report scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from comparators import Verdict
from shadow.store.database import Connection

_NAMES = [verdict.value for verdict in Verdict]
_TALLIES = f"""
INSERT INTO tallies AS known (task, day, tenant, {", ".join(_NAMES)})
SELECT * FROM unnest(%s::text[], %s::date[], %s::text[]{", %s::bigint[]" * len(_NAMES)}) AS delta (task, day, tenant)
ORDER BY task, day, tenant
ON CONFLICT (task, day, tenant) DO UPDATE SET {", ".join(f"{name} = known.{name} + excluded.{name}" for name in _NAMES)}
"""  # noqa: S608  # of constants


@dataclass(frozen=True, slots=True)
class Locked:
    """A pair whose row is locked, to have its verdict written."""

    id: UUID
    task: str
    tenant: str
    """Empty when the event has none."""
    accepted_at: datetime
    """When its event was: its pair was counted as opened on that day."""
    verdict: str | None
    """The one that the new one replaces."""
    replayed: bool = False
    """Whether it is of a replay: then it is counted with that alone, see `reports/replays.py`."""

    @property
    def day(self) -> date:
        return self.accepted_at.astimezone(UTC).date()


async def tally(connection: Connection, locked: Iterable[Locked], verdicts: Mapping[UUID, Verdict]) -> None:
    """Move each pair from the count of its old verdict to that of its new one."""
    change: dict[tuple[str, date, str], Counter[str]] = {}
    for pair in locked:
        if pair.replayed:
            continue
        counts = change.setdefault((pair.task, pair.day, pair.tenant), Counter())
        if pair.verdict is not None:
            counts[pair.verdict] -= 1
        counts[verdicts[pair.id].value] += 1
    rows = [
        (*key, *(counts[name] for name in _NAMES)) for key, counts in sorted(change.items()) if any(counts.values())
    ]
    if rows:
        await connection.execute(_TALLIES, [list(column) for column in zip(*rows, strict=True)])
