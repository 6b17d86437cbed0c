"""What a client asks the list of runs for, and the cursors of lists that two platforms share. Pure.

Reference 3.5. A cursor says for both lists where the next page begins: Trigger.dev's own can't be made here, so that
its list is asked anew up to the moment of the last run that was shown, and what has been shown is left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from shadow.fanout.issued_list import Wanted
from shadow.intake.trigger_calls import delayed_until

DEFAULT_PERIOD = timedelta(days=7)
DEFAULT_SIZE = 25
MOST = 100
_OURS = frozenset(
    {
        "page[size]",
        "page[after]",
        "page[before]",
        "filter[status]",
        "filter[taskIdentifier]",
        "filter[tag]",
        "filter[batch]",
        "filter[createdAt][from]",
        "filter[createdAt][to]",
        "filter[createdAt][period]",
    }
)
"""Whatever else a list is asked by, no issued run has it: versions, machines, regions, schedules."""
_IS_SIZE = re.compile("[0-9]{1,6}").fullmatch
_LATEST = 4_398_046_511_103
"""Milliseconds: in 2109."""
_DEEPEST = 100
"""Pages that a cursor leads back; those before are read from the start again."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins."""

    until: int | None = None
    """Milliseconds: no run of Trigger.dev is newer."""
    last: str | None = None
    """The last of them that was shown."""
    below: UUID | None = None
    """Issued runs are of older events."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The pages that were gone through; the last is the one to be shown."""

    starts: tuple[Position, ...] = ()
    since: int | None = None
    """Milliseconds: where the list ended when its first page was read, which went back for so long from then."""

    @property
    def position(self) -> Position:
        return self.starts[-1] if self.starts else Position()

    def after(self, position: Position) -> Cursor:
        """To the next page."""
        return replace(self, starts=(*self.starts, position)[-_DEEPEST:])

    def before(self) -> Cursor | None:
        """To the page before; None on the first."""
        return replace(self, starts=self.starts[:-1]) if self.starts else None

    def text(self) -> str:
        starts = [[start.until, start.last, start.below.hex if start.below else None] for start in self.starts]
        body = orjson.dumps({"shadow": starts, "since": self.since})
        return base64.urlsafe_b64encode(body).decode().rstrip("=")

    @classmethod
    def of(cls, text: str) -> Cursor | None:
        """Read one of ours; None for any other."""
        try:
            read = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            starts = tuple(
                Position(_told(until), None if last is None else str(last), UUID(hex=below) if below else None)
                for until, last, below in read["shadow"]
            )
            return cls(starts, _told(read["since"]))
        except (binascii.Error, ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list, understood."""

    size: int
    cursor: Cursor
    wanted: Wanted
    batch: str | None
    passed_on: tuple[tuple[str, str], ...]
    """The query as Trigger.dev gets it, without its page and its times."""


def list_query(given: Sequence[tuple[str, str]], now: datetime) -> ListQuery | None:
    """None for what Trigger.dev alone can answer: a list by what no issued run has, a cursor of its own, a mistake."""
    query = dict(given)
    if not query.keys() <= _OURS:
        return None
    size = query.get("page[size]", str(DEFAULT_SIZE))
    text = query.get("page[after]") or query.get("page[before]")
    cursor = Cursor.of(text) if text else Cursor()
    if not _IS_SIZE(size) or not 1 <= int(size) <= MOST or cursor is None:
        return None
    since, until = _moment(query.get("filter[createdAt][from]")), _moment(query.get("filter[createdAt][to]"))
    if since is None and until is None:
        if cursor.since is None:
            cursor = replace(cursor, since=_milliseconds(now - _period(query.get("filter[createdAt][period]"))))
        since = datetime.fromtimestamp((cursor.since or 0) / 1000, UTC)
    return ListQuery(
        size=int(size),
        cursor=cursor,
        wanted=Wanted(
            tasks=_many(query, "taskIdentifier"),
            statuses=_many(query, "status"),
            tags=_many(query, "tag"),
            since=since,
            until=until,
        ),
        batch=query.get("filter[batch]"),
        passed_on=tuple((name, value) for name, value in given if not name.startswith(("page", "filter[createdAt]"))),
    )


def upstream_query(asked: ListQuery, after: str | None) -> list[tuple[str, str]]:
    """How Trigger.dev is asked for its part.

    Args:
        after: its own cursor, on any page of the part but the first.
    """
    query = [*asked.passed_on, ("page[size]", str(MOST if asked.cursor.starts else min(asked.size + 1, MOST)))]
    if asked.wanted.since is not None:
        query.append(("filter[createdAt][from]", str(_milliseconds(asked.wanted.since))))
    until = [moment for moment in (asked.cursor.position.until, _milliseconds_of(asked.wanted.until)) if moment]
    if until:
        query.append(("filter[createdAt][to]", str(min(until))))
    if after is not None:
        query.append(("page[after]", after))
    return query


def unseen(
    runs: Sequence[Mapping[str, Any]], position: Position, *, found: bool
) -> tuple[list[Mapping[str, Any]], bool]:
    """Those of a page of Trigger.dev's that come after what has been shown, and whether any more come after it.

    Args:
        found: the last that was shown had been met on an earlier page.
    """
    if found or position.last is None:
        return list(runs), True
    for place, run in enumerate(runs):
        if run.get("id") == position.last:
            return list(runs[place + 1 :]), True
        created = created_at(run)
        if position.until is not None and created is not None and created < position.until:
            return list(runs[place:]), True  # it is not listed any more
    return [], False


def created_at(run: Mapping[str, Any]) -> int | None:
    """Milliseconds, of a run as it is shown."""
    try:
        return _milliseconds(datetime.fromisoformat(str(run.get("createdAt"))))
    except ValueError:
        return None


def _many(query: Mapping[str, str], name: str) -> frozenset[str] | None:
    found = frozenset(part for part in query.get(f"filter[{name}]", "").split(",") if part)
    return found or None


def _told(milliseconds: object) -> int | None:
    """Raises ValueError for what no cursor of ours says."""
    if milliseconds is None:
        return None
    if not isinstance(milliseconds, int) or not 0 <= milliseconds <= _LATEST:
        raise ValueError("no moment")
    return milliseconds


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _period(text: str | None) -> timedelta:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    end = delayed_until(text, start) if text else None
    return end - start if end is not None and end > start else DEFAULT_PERIOD


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _milliseconds_of(moment: datetime | None) -> int | None:
    return None if moment is None else _milliseconds(moment)
