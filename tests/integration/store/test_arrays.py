"""Columns and lists arrive as what they were, and lists as psycopg itself would have sent them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.abc import Transformer as AdaptTransformer
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types.array import ListDumper

from shadow.store.arrays import Byteas, Column, Ints, Moments, Texts, Uuids, register
from shadow.store.database import Database, Work


@pytest.mark.parametrize(
    "column",
    [
        Texts(),  # no rows
        Texts(["plain", "", None, 'quotes " and \\ and {braces}, commas', "ünïcödé 🎉", "NULL"]),
        Texts(["short and plain", "", "NULL"]),
        Texts(["ünïcödé", "short"]),
        Texts(["longer than most: " + "x" * 200, "short"]),
        Texts(["acme"] * 3),
        Texts([None] * 3),
        Texts(["acme", "other", "acme"]),
        Byteas([b"", b"\x00\xff", None, bytes(range(256))]),
        Uuids([UUID(int=0), None, UUID(int=(1 << 128) - 1)]),
        Uuids([UUID(int=5)] * 2),
        Ints([0, 1023, None]),
        Ints([1024, 7]),
        Ints([0, -1, None, 2**31 - 1, -(2**31)]),
        Moments(
            [
                datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),  # before PostgreSQL's epoch
                None,
                datetime(2026, 11, 24, 2, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            ]
        ),
    ],
    ids=lambda column: f"{type(column).__name__}-{len(column)}",
)
async def test_a_column_comes_back_as_it_went(database: Database, column: Column) -> None:
    async with database.connection(Work.ACCEPT) as connection:
        cursor = await connection.execute("SELECT * FROM unnest(%s)", (column,))
        assert tuple(row[0] for row in await cursor.fetchall()) == tuple(column)


MOMENT = datetime(2026, 11, 24, 2, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
LISTS = {
    "uuids": ("uuid", [UUID(int=0), UUID(int=(1 << 128) - 1)]),
    "uuids and null": ("uuid", [UUID(int=7), None]),
    "bytes": ("bytea", [b"", b"\x00\xff", None, bytes(range(256))]),
    "moments": ("timestamptz", [MOMENT, None, datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]),
    "moments without a zone": ("timestamp", [datetime(2026, 1, 1)]),
    "texts": ("text", ["plain", "", None, 'quotes " and \\ and {braces}, commas', "ünïcödé 🎉", "NULL", " "]),
    "texts for moments": ("timestamptz", ["2026-01-01 00:00:00+00", None]),
    "texts for intervals": ("interval", ["1 day"]),
    "texts for JSON": ("jsonb", ['{"a": ["b\\"c"]}', None]),
    "small numbers": ("int", [0, -1, None]),
    "large numbers": ("bigint", [2**40, -(2**31)]),
    "booleans": ("boolean", [True, None, False]),
    "fractions": ("float8", [0.1, None, 2.0]),
    "intervals": ("interval", [timedelta(seconds=2), None]),
    "nothing but null": ("text", [None, None]),
    "nothing": ("uuid", []),
}


class _Context:
    """Where adapters are registered that nobody else has."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)


def _ours() -> AdaptTransformer:
    context = _Context()
    register(context)
    return Transformer(context)


@pytest.mark.parametrize(("kind", "items"), LISTS.values(), ids=list(LISTS))
async def test_a_list_means_what_psycopg_would_have_sent(database: Database, kind: str, items: list[Any]) -> None:
    query = f"SELECT %(items)s::{kind}[], pg_typeof(%(items)s::{kind}[])::text"
    async with await psycopg.AsyncConnection.connect(database.url) as plain:
        await plain.execute("SET TIME ZONE 'UTC'")
        expected = await (await plain.execute(query.encode(), {"items": items})).fetchone()
    async with database.connection(Work.ACCEPT) as connection:
        assert await (await connection.execute(query.encode(), {"items": items})).fetchone() == expected


@pytest.mark.parametrize(("_kind", "items"), LISTS.values(), ids=list(LISTS))
def test_a_list_has_the_type_that_psycopg_would_have_said(_kind: str, items: list[Any]) -> None:
    ours = Transformer()
    register(ours)
    assert (
        ours.get_dumper(items, PyFormat.AUTO).oid == ListDumper(list, Transformer()).upgrade(items, PyFormat.AUTO).oid
    )


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_any_text_comes_back_as_it_went(texts: list[str | None]) -> None:
    dumped = _ours().get_dumper(texts, PyFormat.AUTO).dump(texts)
    assert dumped is not None
    assert Transformer().get_loader(Texts.array_oid, Format.TEXT).load(dumped) == texts


async def test_a_text_with_nul_is_refused(database: Database) -> None:
    async with database.connection(Work.ACCEPT) as connection:
        with pytest.raises(psycopg.DataError):
            await connection.execute("SELECT %s::text[]", (["a", "b\0c"],))
