"""PostgreSQL's `pgoutput` messages, protocol version 1: bytes to what they say. Pure.

The format is in PostgreSQL's documentation, "Logical Replication Message Formats". A relation is described before its
first row, in every reading anew, so a `Reader` belongs to one reading of a slot.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Unreadable(ValueError):
    """A message is not what the protocol says it is."""


class Unchanged:
    """A large value that the update left as it was, and that is therefore not told."""

    _instance: Unchanged | None = None

    def __new__(cls) -> Unchanged:
        cls._instance = cls._instance or super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = Unchanged()

Value: TypeAlias = "str | Unchanged | None"
"""A column's value in PostgreSQL's text form."""


class Change(StrEnum):
    """What was done to a row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


@dataclass(frozen=True, slots=True)
class Begin:
    final_lsn: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    lsn: int
    end_lsn: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type_oid: int
    key: bool
    """Part of the replica identity."""


@dataclass(frozen=True, slots=True)
class Relation:
    oid: int
    namespace: str
    name: str
    identity: str
    """`d` default, `n` nothing, `f` full, `i` index."""
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class RowChange:
    change: Change
    relation: Relation
    new: Mapping[str, Value] | None = None
    """After it: of an insert and an update."""
    old: Mapping[str, Value] | None = None
    """Before it, as far as the replica identity tells."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """What `pg_logical_emit_message` wrote."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """A message that says nothing of rows: an origin or a type."""

    kind: str


Message: TypeAlias = Begin | Commit | Relation | RowChange | Emitted | Other


@dataclass(slots=True)
class Reader:
    """Reads the messages of one reading of a slot, in their order."""

    relations: dict[int, Relation] = field(default_factory=dict)

    def read(self, data: bytes) -> list[Message]:
        """What one message says: one thing, but a truncation, which is of several tables.

        Raises:
            Unreadable: it is cut short, too long, of an unknown kind or of an unknown relation.
        """
        body = _Bytes(data)
        kind = body.character()
        try:
            found = self._message(kind, body)
        except UnicodeDecodeError as error:
            raise Unreadable(f"message {kind!r} holds text that is not UTF-8") from error
        if body.left:
            raise Unreadable(f"message {kind!r} has {body.left} bytes too many")
        return found

    def _message(self, kind: str, body: _Bytes) -> list[Message]:
        match kind:
            case "B":
                return [Begin(body.int64(), body.moment(), body.uint32())]
            case "C":
                body.int8()
                return [Commit(body.int64(), body.int64(), body.moment())]
            case "R":
                relation = _relation(body)
                self.relations[relation.oid] = relation
                return [relation]
            case "I":
                relation = self._known(body.uint32())
                self._expect(body.character(), "N")
                return [RowChange(Change.INSERT, relation, new=_row(body, relation))]
            case "U":
                return [self._update(body)]
            case "D":
                relation = self._known(body.uint32())
                self._expect(body.character(), "KO")
                return [RowChange(Change.DELETE, relation, old=_told(body, relation))]
            case "T":
                count, _options = body.uint32(), body.int8()
                if count * 4 != body.left:
                    raise Unreadable(f"a truncation of {count} tables has {body.left} bytes of them")
                return [RowChange(Change.TRUNCATE, self._known(body.uint32())) for _ in range(count)]
            case "M":
                return [Emitted(body.int8() == 1, body.int64(), body.text(), body.bytes(body.uint32()))]
            case "O":
                body.int64()
                return [Other(f"origin {body.text()}")]
            case "Y":
                body.uint32()
                return [Other(f"type {body.text()}.{body.text()}")]
            case _:
                raise Unreadable(f"found a message of kind {kind!r}, expected one of protocol version 1")

    def _update(self, body: _Bytes) -> RowChange:
        relation = self._known(body.uint32())
        old: dict[str, Value] | None = None
        marker = body.character()
        if marker in "KO":
            old = _told(body, relation)
            marker = body.character()
        self._expect(marker, "N")
        new = _row(body, relation)
        if old is not None and relation.identity == "f":
            new = {name: old.get(name) if value is UNCHANGED else value for name, value in new.items()}
        return RowChange(Change.UPDATE, relation, new=new, old=old)

    def _known(self, oid: int) -> Relation:
        try:
            return self.relations[oid]
        except KeyError:
            raise Unreadable(f"a row of relation {oid}, which was not described") from None

    @staticmethod
    def _expect(found: str, expected: str) -> None:
        if found not in expected:
            raise Unreadable(f"found a row marked {found!r}, expected one of {', '.join(expected)}")


def _relation(body: _Bytes) -> Relation:
    oid, namespace, name, identity = body.uint32(), body.text(), body.text(), body.character()
    columns = []
    for _ in range(body.uint16()):
        flags = body.int8()
        columns.append(Column(body.text(), body.uint32(), bool(flags & 1)))
        body.uint32()  # the type's modifier
    return Relation(oid, namespace or "pg_catalog", name, identity, tuple(columns))


def _told(body: _Bytes, relation: Relation) -> dict[str, Value]:
    """A row as it was: columns beyond the replica identity are sent as nulls, which they need not have been."""
    row = _row(body, relation)
    return {column.name: row[column.name] for column in relation.columns if column.key}


def _row(body: _Bytes, relation: Relation) -> dict[str, Value]:
    count = body.uint16()
    if count != len(relation.columns):
        raise Unreadable(f"a row of {relation.name} has {count} columns, expected {len(relation.columns)}")
    row: dict[str, Value] = {}
    for column in relation.columns:
        match body.character():
            case "n":
                row[column.name] = None
            case "u":
                row[column.name] = UNCHANGED
            case "t":
                row[column.name] = body.bytes(body.uint32()).decode()
            case other:
                raise Unreadable(f"found a value marked {other!r}, expected n, u or t")
    return row


class _Bytes:
    """A message that is read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def bytes(self, count: int) -> bytes:
        if count > self.left:
            raise Unreadable(f"a message of {len(self._data)} bytes is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def character(self) -> str:
        return self.bytes(1).decode("latin-1")

    def int8(self) -> int:
        return self.bytes(1)[0]

    def uint16(self) -> int:
        return self._unpacked("!H", 2)

    def uint32(self) -> int:
        return self._unpacked("!I", 4)

    def int64(self) -> int:
        return self._unpacked("!Q", 8)

    def moment(self) -> datetime:
        microseconds = self._unpacked("!q", 8)
        try:
            return _POSTGRES_EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            raise Unreadable(f"a moment {microseconds} microseconds from 2000") from None

    def text(self) -> str:
        end = self._data.find(b"\x00", self._at)
        if end < 0:
            raise Unreadable("a text without its end")
        return (self.bytes(end + 1 - self._at))[:-1].decode()

    def _unpacked(self, form: str, size: int) -> int:
        value: int = struct.unpack(form, self.bytes(size))[0]
        return value


def lsn_text(lsn: int) -> str:
    """As PostgreSQL writes a place in its log."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
