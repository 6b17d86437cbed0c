"""Rows that workers report: `pg` on Node and psycopg in Python say the same of the same statements."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.types.json import Jsonb

from shadow.capture import Capture
from tests.acceptance.sdks import drive
from tests.acceptance.test_capture_node import environment
from tests.integration.capture.conftest import Front
from tests.integration.fanout.serving import served

TABLES = """
DROP TABLE IF EXISTS orders, lines, payments;
CREATE TABLE orders (id text PRIMARY KEY, total bigint, price numeric, at timestamptz, day date, hour time,
                     took interval, raw jsonb, tags text[], ok boolean, secret bytea, share float8,
                     made date DEFAULT '2026-11-26');
CREATE TABLE lines (id serial PRIMARY KEY, order_id text, sku text);
CREATE TABLE payments (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), request text UNIQUE, amount numeric);
"""
UPSERT = "INSERT INTO orders (id, total) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET total = excluded.total"
STATEMENTS: list[tuple[str, list[Any]]] = [
    # rows that are known from what was sent
    (UPSERT, ["o-1", 1200]),
    ("INSERT INTO orders (id, raw, ok, price) VALUES ('it''s', $1, true, -1.50), ($2, NULL, false, 2)",
     [{"a": [1]}, "o-2"]),
    ('INSERT INTO "orders" AS o ("id", total) VALUES ($1::text, 3)', ["o-3"]),
    ("INSERT INTO payments (request, amount) VALUES ($1, $2)", ["w-1", "12.30"]),
    # rows that only the server knows
    ("UPDATE orders SET total = total + 1, at = '2026-11-26 10:00:00.5+02', day = '2026-11-26' WHERE id = $1",
     ["o-1"]),
    ("UPDATE orders SET hour = '10:00', took = '1 day 02:00:01.5', tags = '{a,b}', secret = '\\x00ff', share = 0.25,"
     " price = 1.10, raw = '{\"b\": 2}', ok = false WHERE total < 5", []),
    ("INSERT INTO orders (id, total) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", ["o-1", 5]),
    ("INSERT INTO lines (order_id, sku) SELECT id, 'sku' FROM orders WHERE id = $1", ["o-1"]),
    ("UPDATE payments SET amount = 13 WHERE request = 'w-1'", []),
    ("UPDATE orders SET total = 7 WHERE id = 'nobody'", []),
    ("DELETE FROM lines WHERE sku = 'sku'", []),
    # with a RETURNING of their own
    ("INSERT INTO lines (order_id, sku) VALUES ($1, 'x') RETURNING id", ["o-1"]),
    ("UPDATE orders SET total = 9007199254740991 WHERE id = 'o-3' RETURNING id, total", []),
    # that are not understood, or of no row in particular
    ("WITH gone AS (DELETE FROM lines RETURNING *) SELECT count(*) FROM gone", []),
    ("TRUNCATE lines", []),
    # reads, and what is no write of rows
    ("SELECT * FROM orders WHERE id = $1", ["o-1"]),
    ("SELECT set_config('a.b', 'c', false)", []),
    # transactions: what is undone was never written
    ("BEGIN", []),
    (UPSERT, ["o-4", 1]),
    ("SAVEPOINT s", []),
    (UPSERT, ["o-5", 1]),
    ("ROLLBACK TO SAVEPOINT s", []),
    ("DELETE FROM orders WHERE id = 'o-2'", []),
    ("COMMIT", []),
    ("BEGIN", []),
    (UPSERT, ["o-6", 1]),
    ("ROLLBACK", []),
    ("BEGIN", []),
    (UPSERT, ["o-7", 1]),
    ("INSERT INTO orders (id, total) VALUES ('o-1', 1)", []),  # which fails
    ("COMMIT", []),
    ("INSERT INTO orders (id, total) VALUES ('o-1', 1)", []),
]  # fmt: skip
FAILING = 2


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLES)
        yield postgres_url
        connection.execute("DROP TABLE orders, lines, payments")


def told(effects: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["kind"], each["target"], each["operation"], each.get("identity"), each["data"]) for each in effects]


def by_psycopg(front: Front, database: str) -> int:
    """Execute all of them in Python; how many failed."""
    capture = Capture(front.url, "shk_1", report_key="rk")
    failed = 0
    with psycopg.connect(database, autocommit=True) as plain:
        captured = capture.connection(plain, report_rows=True, database="shop", keys={"payments": ("request",)})
        with capture.run("run_1", "pay", attempt=2, event="evt-1"):
            for text, values in STATEMENTS:
                sent = [Jsonb(value) if isinstance(value, dict) else value for value in values]
                try:
                    captured.execute(re.sub(r"\$\d+", "%s", text).encode() if sent else text.encode(), sent or None)
                except psycopg.Error:
                    failed += 1
    capture.close()
    return failed


@pytest.mark.parametrize("messages", ["yes", "no"])
async def test_both_packages_report_the_same_rows(front: Front, database: str, messages: str) -> None:
    assert await asyncio.to_thread(by_psycopg, front, database) == FAILING
    python = told(front.effects())
    front.calls.clear()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
    more = {"DATABASE": database, "STATEMENTS": orjson.dumps(STATEMENTS).decode(), "MESSAGES": messages}
    got = await drive("capture_rows.mjs", "capture", environment(front, **more))
    *results, of_nobody, called = got["results"]
    assert sum("error" in result for result in results) == FAILING
    assert (of_nobody, called, got["lost"]) == (0, 1, 0)
    node = told(front.effects())
    assert node[:-1] == python
    assert node[-1] == ("sql", "shop", "update orders", "o-1", {"id": "o-1", "total": 0})
    # whoever asked for no rows gets none
    assert results[4] == {"rows": [], "rowCount": 1, "fields": 0}
    assert results[11]["rows"] == [{"id": 2}]
    # and each was told of its run
    reports = [body for path, _, body in front.calls if path == "POST /shadow/effects"]
    assert {report["run"] for report in reports} == {"run_1", "run_2"}
    assert all((report["task"], report["attempt"]) == ("pay", 2) for report in reports)


async def test_what_they_say_is_what_happened(front: Front, database: str) -> None:
    """The comparison above would not notice if both said nothing."""
    await asyncio.to_thread(by_psycopg, front, database)
    said = told(front.effects())
    assert said[0] == ("sql", "shop", "upsert orders", "o-1", {"id": "o-1", "total": 1200})
    assert ("sql", "shop", "insert payments", "w-1", {"request": "w-1", "amount": "12.30"}) in said
    operations = [operation for _, _, operation, _, _ in said]
    assert operations.count("delete orders") == 1
    assert not [identity for _, _, _, identity, _ in said if identity in ("o-5", "o-6", "o-7", "nobody")]
