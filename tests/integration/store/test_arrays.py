"""Columns packed in binary arrive as what they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from shadow.store.arrays import Byteas, Column, Ints, Moments, Texts, Uuids
from shadow.store.database import Database, Work


@pytest.mark.parametrize(
    "column",
    [
        Texts(),  # no rows
        Texts(["plain", "", None, 'quotes " and \\ and {braces}, commas', "ünïcödé 🎉", "NULL"]),
        Byteas([b"", b"\x00\xff", None, bytes(range(256))]),
        Uuids([UUID(int=0), None, UUID(int=(1 << 128) - 1)]),
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
