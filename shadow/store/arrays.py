"""Arrays as parameters, in PostgreSQL's binary format.

psycopg escapes lists element by element, which for a batch costs more than the insert itself. A column
wrapped in one of these types is packed directly and needs no escaping. Format: `array_send` in PostgreSQL's
`arrayfuncs.c` (dimensions, null flag, element type, length, lower bound, then length-prefixed elements).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_UUID_LENGTH = _LENGTH(16)
_INT_WITH_LENGTH = struct.Struct("!ii").pack
_LONG_WITH_LENGTH = struct.Struct("!iq").pack
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Column(tuple[Any, ...]):
    """A column of a batch; None is NULL. Use a subclass."""

    __slots__ = ()
    element_oid: ClassVar[int]
    array_oid: ClassVar[int]

    def packed(self) -> list[bytes]:
        """Each element's length and binary form, in as few steps as Python allows: this is a batch's inner loop."""
        raise NotImplementedError


class Texts(Column):
    """`text[]` of str."""

    element_oid = 25
    array_oid = 1009

    def packed(self) -> list[bytes]:
        return [_NULL if value is None else _LENGTH(len(text := value.encode())) + text for value in self]


class Byteas(Column):
    """`bytea[]` of bytes."""

    element_oid = 17
    array_oid = 1001

    def packed(self) -> list[bytes]:
        return [_NULL if value is None else _LENGTH(len(value)) + value for value in self]


class Uuids(Column):
    """`uuid[]` of UUID, or of the 16 bytes of one."""

    element_oid = 2950
    array_oid = 2951

    def packed(self) -> list[bytes]:
        return [
            _NULL if value is None else _UUID_LENGTH + (value.bytes if isinstance(value, UUID) else value)
            for value in self
        ]


class Ints(Column):
    """`int[]` of int (32 bit)."""

    element_oid = 23
    array_oid = 1007

    def packed(self) -> list[bytes]:
        return [_NULL if value is None else _INT_WITH_LENGTH(4, value) for value in self]


class Moments(Column):
    """`timestamptz[]` of aware datetime."""

    element_oid = 1184
    array_oid = 1185

    def packed(self) -> list[bytes]:
        return [
            _NULL if value is None else _LONG_WITH_LENGTH(8, (value - _POSTGRES_EPOCH) // _MICROSECOND)
            for value in self
        ]


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        if not obj:
            return _HEADER.pack(0, 0, obj.element_oid, 0, 0)[:12]
        return _HEADER.pack(1, 1, obj.element_oid, len(obj), 1) + b"".join(obj.packed())


def _dumper(column: type[Column]) -> type[_ColumnDumper]:
    return type(f"{column.__name__}Dumper", (_ColumnDumper,), {"oid": column.array_oid})


_DUMPERS: Sequence[tuple[type[Column], type[_ColumnDumper]]] = [
    (column, _dumper(column)) for column in (Texts, Byteas, Uuids, Ints, Moments)
]


def register(context: AdaptContext) -> None:
    """Let a connection take these columns."""
    for column, dumper in _DUMPERS:
        context.adapters.register_dumper(column, dumper)
