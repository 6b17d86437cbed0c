"""From the messages of logical decoding to what transactions did to rows. Pure.

What the world saw of a transaction is its end: of the changes of one row only the last state counts. An insert and
an update are both an `upsert`: whether the row was there before says more of the database than of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import orjson

from shadow.effects.pgoutput import (
    UNCHANGED,
    Begin,
    Change,
    Commit,
    Emitted,
    Reader,
    Relation,
    RowChange,
    Unreadable,
    Value,
    lsn_text,
)
from shadow.model.ids import derived_id, first_id_at

PREFIX = "shadow"
"""Of the messages with which the client packages say whose a transaction is."""

_BOOLEAN, _FLOATS, _JSON = 16, frozenset({700, 701}), frozenset({114, 3802})
_INTEGERS = frozenset({20, 21, 23, 26})
_NUMERIC = 1700
_TIMESTAMPTZ, _TIMESTAMP = 1184, 1114


@dataclass(frozen=True, slots=True)
class Teller:
    """What a wrapper wrote into its transaction."""

    run: str | None = None
    task: str | None = None
    event: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RowEffect:
    """What a transaction left of one row."""

    operation: str
    identity: str | None
    data: Mapping[str, Any]
    teller: Teller | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One committed transaction, as far as it concerns declared tables."""

    xid: int
    end_lsn: int
    committed_at: datetime
    effects: tuple[RowEffect, ...]

    def effect_id(self, slot: str, ordinal: int) -> UUID:
        """The same whenever the transaction is read."""
        return derived_id(first_id_at(self.committed_at), "rows", slot, lsn_text(self.end_lsn), str(ordinal))


@dataclass(slots=True)
class _Open:
    begin: Begin
    changes: list[tuple[RowChange, Teller | None]] = field(default_factory=list)
    teller: Teller | None = None
    first: Teller | None = None


def transactions(messages: Iterable[bytes], tables: Mapping[str, Sequence[str]]) -> list[Transaction]:
    """The transactions that a reading of a slot gave, whole, in the order of their commits.

    Args:
        tables: the tables that count, with the columns that identify a row.

    Raises:
        Unreadable: the messages are not what the protocol says.
    """
    reader = Reader()
    found: list[Transaction] = []
    current: _Open | None = None
    for data in messages:
        for message in reader.read(data):
            match message:
                case Begin():
                    current = _Open(message)
                case Emitted(transactional=True, prefix="shadow") if current is not None:
                    current.teller = _teller(message.content) or current.teller
                    current.first = current.first or current.teller
                case RowChange():
                    if current is None:
                        raise Unreadable("a row outside of any transaction")
                    current.changes.append((message, current.teller))
                case Commit():
                    if current is None:
                        raise Unreadable("the end of a transaction that did not begin")
                    found.append(_closed(current, message, tables))
                    current = None
                case _:
                    continue
    return found


def _closed(current: _Open, commit: Commit, tables: Mapping[str, Sequence[str]]) -> Transaction:
    last: dict[tuple[str, str | None], RowEffect] = {}
    born: set[tuple[str, str | None]] = set()
    for change, teller in current.changes:
        table = _declared(change.relation, tables)
        if table is None:
            continue
        for effect, is_birth in _effects(table, change, tables[table], teller or current.first):
            place = (table, effect.identity)
            if is_birth and place not in last:
                born.add(place)
            # The last state, in the place where it was reached.
            last.pop(place, None)
            if effect.operation == f"delete {table}" and place in born:
                continue  # nobody outside ever saw that row
            last[place] = effect
    return Transaction(current.begin.xid, commit.end_lsn, commit.committed_at, tuple(last.values()))


def _effects(
    table: str, change: RowChange, key: Sequence[str], teller: Teller | None
) -> Iterable[tuple[RowEffect, bool]]:
    """(effect, whether the row was made by it)."""
    types = {column.name: column.type_oid for column in change.relation.columns}
    if change.change is Change.TRUNCATE:
        yield RowEffect(f"truncate {table}", None, {}, teller), False
        return
    old = _values(change.old, types) if change.old is not None else None
    if change.change is Change.DELETE:
        assert old is not None
        yield RowEffect(f"delete {table}", _identity(old, key), _known(old, key), teller), False
        return
    assert change.new is not None
    new = _values(change.new, types)
    if old is not None and all(name in old for name in key) and _identity(old, key) != _identity(new, key):
        yield RowEffect(f"delete {table}", _identity(old, key), _known(old, key), teller), False
    yield RowEffect(f"upsert {table}", _identity(new, key), new, teller), change.change is Change.INSERT


def _known(row: Mapping[str, Any], key: Sequence[str]) -> dict[str, Any]:
    """Of a row that is gone, what both sides can tell: its identity."""
    return {name: row[name] for name in key if name in row}


def _identity(row: Mapping[str, Any], key: Sequence[str]) -> str | None:
    values = [row.get(name) for name in key]
    if not values:
        return None
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return orjson.dumps(values[0] if len(values) == 1 else values).decode()


def _declared(relation: Relation, tables: Mapping[str, Sequence[str]]) -> str | None:
    qualified = f"{relation.namespace}.{relation.name}"
    return qualified if qualified in tables else relation.name if relation.name in tables else None


def _values(row: Mapping[str, Value], types: Mapping[str, int]) -> dict[str, Any]:
    """As JSON; what an update left as it was, and did not tell, is left out."""
    return {name: _value(value, types[name]) for name, value in row.items() if value is not UNCHANGED}


def _value(value: Value, type_oid: int) -> Any:
    if not isinstance(value, str):
        return None
    if type_oid == _BOOLEAN:
        return value == "t"
    try:
        if type_oid in _INTEGERS:
            return int(value)
        if type_oid in _FLOATS:
            number = float(value)
            return number if number - number == 0 else value  # NaN and infinities are no JSON
        if type_oid in _JSON:
            return orjson.loads(value)
        if type_oid == _NUMERIC:
            return exact(Decimal(value))
        if type_oid == _TIMESTAMPTZ:
            return datetime.fromisoformat(value).isoformat()
        if type_oid == _TIMESTAMP:
            return datetime.fromisoformat(value).isoformat()
    except (ValueError, InvalidOperation):
        return value
    return value


def exact(number: Decimal) -> str:
    """An exact number as text, without the zeros at its end: 12.50 is 12.5. That it is exact stays to be seen: to the
    comparators a text is not a number."""
    if not number.is_finite():
        return str(number)
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _teller(content: bytes) -> Teller | None:
    """JSON with `run`, `task`, `event`, `attempt`; or just the run's id."""
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        text = content.decode(errors="replace").strip()
        return Teller(run=text) if text else None
    if not isinstance(told, dict):
        return Teller(run=str(told)) if isinstance(told, str | int) else None
    attempt = told.get("attempt")
    texts = {name: str(told[name]) for name in ("run", "task", "event") if told.get(name) not in (None, "")}
    return Teller(**texts, attempt=attempt if isinstance(attempt, int) and attempt > 0 else 1) if texts else None
