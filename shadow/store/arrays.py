"""Arrays as parameters, in PostgreSQL's binary format.

psycopg escapes lists element by element, which for a batch costs more than the insert itself. Plain lists of ids, of
bytes, moments, numbers or texts are recognised and written in one go instead. A column wrapped in one of the types
below need not be recognised, and says its type also where it is empty. Format: `array_send` in PostgreSQL's
`arrayfuncs.c` (dimensions, null flag, element type, length, lower bound, then length-prefixed elements).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format
from psycopg.types.array import BaseListDumper, ListDumper

_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_UUID_LENGTH = _LENGTH(16)
_INT_WITH_LENGTH = struct.Struct("!ii").pack
_LONG_WITH_LENGTH = struct.Struct("!iq").pack
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEADS = [_LENGTH(length).decode() for length in range(128)]
"""Lengths of short texts, as text."""
_SMALL: dict[int | None, bytes] = {None: _NULL} | {number: _INT_WITH_LENGTH(4, number) for number in range(1024)}
"""Small numbers, as they are sent."""


class Column(tuple[Any, ...]):
    """A column of a batch; None is NULL. Use a subclass."""

    __slots__ = ()
    element_oid: ClassVar[int]
    array_oid: ClassVar[int]

    @classmethod
    def array(cls, values: Sequence[Any]) -> bytes:
        """`values` in PostgreSQL's binary format."""
        if not values:
            return cls.nothing()
        number, first = len(values), values[0]
        if values[-1] == first and values.count(first) == number:  # as many of a batch's columns are
            elements = cls.packed((first,)) * number
        else:
            elements = cls.packed(values)
        return _HEADER.pack(1, 1, cls.element_oid, number, 1) + elements

    @classmethod
    def nothing(cls) -> bytes:
        """An array without elements. Unnested beside longer ones it is NULL in each row."""
        return _HEADER.pack(0, 0, cls.element_oid, 0, 0)[:12]

    @staticmethod
    def packed(values: Sequence[Any]) -> bytes:
        """Each element's length and binary form, in as few steps as Python allows: this is a batch's inner loop."""
        raise NotImplementedError


class Texts(Column):
    """`text[]` of str."""

    element_oid = 25
    array_oid = 1009

    @staticmethod
    def packed(values: Sequence[str | None]) -> bytes:
        try:
            # Of short ASCII texts, as nearly all are, the lengths are characters too: they are encoded all at once.
            joined = "".join([_HEADS[len(value)] + value for value in values])  # type: ignore[arg-type, operator]
            if joined.isascii():
                return joined.encode()
        except (IndexError, TypeError):  # a long one, or NULL
            pass
        return b"".join([_NULL if value is None else _LENGTH(len(text := value.encode())) + text for value in values])


class Byteas(Column):
    """`bytea[]` of bytes."""

    element_oid = 17
    array_oid = 1001

    @staticmethod
    def packed(values: Sequence[bytes | None]) -> bytes:
        return b"".join([_NULL if value is None else _LENGTH(len(value)) + value for value in values])


class Uuids(Column):
    """`uuid[]` of UUID, or of the 16 bytes of one."""

    element_oid = 2950
    array_oid = 2951

    @staticmethod
    def packed(values: Sequence[UUID | bytes | None]) -> bytes:
        try:
            return _UUID_LENGTH + _UUID_LENGTH.join(values)  # type: ignore[arg-type]
        except TypeError:  # not all of them are bytes
            return b"".join(
                [
                    _NULL if value is None else _UUID_LENGTH + (value.bytes if isinstance(value, UUID) else value)
                    for value in values
                ]
            )


class Ints(Column):
    """`int[]` of int (32 bit)."""

    element_oid = 23
    array_oid = 1007

    @staticmethod
    def packed(values: Sequence[int | None]) -> bytes:
        try:
            return b"".join([_SMALL[value] for value in values])
        except KeyError:
            return b"".join([_NULL if value is None else _INT_WITH_LENGTH(4, value) for value in values])


class Moments(Column):
    """`timestamptz[]` of aware datetime."""

    element_oid = 1184
    array_oid = 1185

    @staticmethod
    def packed(values: Sequence[datetime | None]) -> bytes:
        return b"".join(
            [
                _NULL if value is None else _LONG_WITH_LENGTH(8, (value - _POSTGRES_EPOCH) // _MICROSECOND)
                for value in values
            ]
        )


def binary(column: Column) -> bytes:
    """A column in PostgreSQL's binary format."""
    return column.array(column)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return binary(obj)


class _AnyList(ListDumper):
    """psycopg's own dumper of lists, but for those that are all of one kind that is written faster.

    What PostgreSQL is told of a list's type is what psycopg would tell it: of texts nothing, so that it takes them for
    whatever it expects there.
    """

    def get_key(self, obj: list[Any], format: PyFormat) -> Any:
        kind = _kind(obj)
        return (list, kind) if kind in _QUICK else super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        kind = _kind(obj)
        if kind in _QUICK:
            return _QUICK[kind](self.cls, self._tx)
        dumper = super().upgrade(obj, format)
        if kind is int:
            quick = _IntList(self.cls, self._tx)
            quick.oid = dumper.oid
            return quick
        return dumper


class _Quick(BaseListDumper):
    """A list of one dimension, of one kind or None."""

    def get_key(self, obj: list[Any], format: PyFormat) -> Any:
        return self.cls

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        return self


class _UuidList(_Quick):
    format = Format.BINARY
    oid = Uuids.array_oid

    def dump(self, obj: list[UUID | None]) -> bytes:
        packed = [_NULL if item is None else _UUID_LENGTH + item.int.to_bytes(16, "big") for item in obj]
        return _HEADER.pack(1, 1, Uuids.element_oid, len(obj), 1) + b"".join(packed)


class _BytesList(_Quick):
    format = Format.BINARY
    oid = Byteas.array_oid

    def dump(self, obj: list[bytes | None]) -> bytes:
        packed = [_NULL if item is None else _LENGTH(len(item)) + item for item in obj]
        return _HEADER.pack(1, 1, Byteas.element_oid, len(obj), 1) + b"".join(packed)


class _MomentList(_Quick):
    format = Format.BINARY
    oid = Moments.array_oid

    def dump(self, obj: list[datetime | None]) -> bytes:
        return _HEADER.pack(1, 1, Moments.element_oid, len(obj), 1) + Moments.packed(obj)


class _IntList(_Quick):
    def dump(self, obj: list[int | None]) -> bytes:
        return ("{" + ",".join(["NULL" if item is None else str(item) for item in obj]) + "}").encode()


class _TextList(_Quick):
    def dump(self, obj: list[str | None]) -> bytes:
        present = [item for item in obj if item is not None]
        joined = "".join(present)
        if "\0" in joined:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        if '"' in joined or "\\" in joined:
            present = [item.replace("\\", "\\\\").replace('"', '\\"') for item in present]
        if len(present) == len(obj):
            return ('{"' + '","'.join(present) + '"}').encode()
        quoted = iter(present)
        return ("{" + ",".join(["NULL" if item is None else f'"{next(quoted)}"' for item in obj]) + "}").encode()


_QUICK: dict[Any, type[_Quick]] = {UUID: _UuidList, bytes: _BytesList, datetime: _MomentList, str: _TextList}


def _kind(items: list[Any]) -> type | None:
    """The one type of all items but None; None where there are none, or several; of moments, where one has no zone."""
    kinds = set(map(type, items))
    kinds.discard(type(None))
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind is datetime and any(item is not None and item.tzinfo is None for item in items):
        return None
    return kind


def _dumper(column: type[Column]) -> type[_ColumnDumper]:
    return type(f"{column.__name__}Dumper", (_ColumnDumper,), {"oid": column.array_oid})


_DUMPERS: Sequence[tuple[type[Column], type[_ColumnDumper]]] = [
    (column, _dumper(column)) for column in (Texts, Byteas, Uuids, Ints, Moments)
]


class Packed(bytes):
    """A list as it is sent, made beforehand. The statement has to say its type: `%s::text[]`."""

    __slots__ = ()


class _PackedBinary(Packed):
    __slots__ = ()


def packed(values: list[Any]) -> Packed | list[Any]:
    """A list of ids, bytes, moments, numbers or texts (or None) as it is sent; any other as it is.

    One in which there is nothing but None becomes an empty one: unnested beside longer ones it is NULL in each row. To
    make a long list takes its time, in which nobody else has a turn: whoever sends several makes them one by one.
    """
    if values.count(None) == len(values):
        return Packed(b"{}")
    kind = _kind(values)
    if kind is int:
        return Packed(_IntList(list).dump(values))
    if kind not in _QUICK:
        return values
    dumper = _QUICK[kind]
    sent = dumper(list).dump(values)
    assert sent is not None
    return (_PackedBinary if dumper.format is Format.BINARY else Packed)(sent)


class _PackedDumper(Dumper):
    def dump(self, obj: Packed) -> bytes:
        return obj


class _PackedBinaryDumper(_PackedDumper):
    format = Format.BINARY


def register(context: AdaptContext) -> None:
    """Let a connection take these columns, and lists."""
    context.adapters.register_dumper(Packed, _PackedDumper)
    context.adapters.register_dumper(_PackedBinary, _PackedBinaryDumper)
    for column, dumper in _DUMPERS:
        context.adapters.register_dumper(column, dumper)
    context.adapters.register_dumper(list, _AnyList)
