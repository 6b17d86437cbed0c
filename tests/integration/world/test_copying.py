"""Rows reach the other side's database as they are, or not at all and with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from shadow.catalogue import ResolvedTask, parse
from shadow.catalogue.model import Side
from shadow.world.copying import Worlds

SCHEMA = """
CREATE TABLE tenants (id text PRIMARY KEY, name text, settings json, updated_at timestamptz);
CREATE TABLE orders (id bigint PRIMARY KEY, tenant text NOT NULL REFERENCES tenants, total numeric(12, 2),
    placed timestamptz, tags text[], photo bytea, gross numeric GENERATED ALWAYS AS (total * 1.2) STORED);
CREATE TABLE items (orders bigint, title text, price money);
CREATE TABLE counters (number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
"""
EVENT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DATA = {"orderId": 7, "tenantId": "acme"}

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, secret_key: tr_dev_secret}}
  inngest: {{kind: inngest, side: candidate, event_key: key, app: shop}}
sources:
  app: {{kind: inngest, keys: [producer]}}
databases:
  shop:
    legacy: {{dsn: "{legacy}"}}
    candidate: {{dsn: "{candidate}"}}
tasks:
  sync:
    event: order/created
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
    world: {world}
"""
TENANT = "{table: tenants, key: {id: $.tenantId}, changed_at: updated_at}"
ORDER = "{table: orders, key: {id: $.orderId}}"
ITEMS = "{table: items, key: {orders: $.orderId}}"


class Shops:
    """Two databases of one shop."""

    def __init__(self, legacy: str, candidate: str) -> None:
        self.urls = {Side.LEGACY: legacy, Side.CANDIDATE: candidate}

    def do(self, side: Side, statement: str, *values: Any) -> None:
        with psycopg.connect(self.urls[side], autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def rows(self, side: Side, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls[side], autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def world(self, *rows: str) -> tuple[Worlds, ResolvedTask]:
        text = CATALOGUE.format(
            legacy=self.urls[Side.LEGACY].replace("postgresql://", "postgresql+psycopg://"),
            candidate=make_conninfo(self.urls[Side.CANDIDATE]),  # as libpq writes it itself
            world=f"[{', '.join(rows)}]",
        )
        catalogue = parse(text, "copying.yaml", {})
        return Worlds(catalogue), catalogue.tasks["sync"]

    async def copy(self, *rows: str, data: Any = None, to: Side = Side.CANDIDATE) -> str:
        worlds, task = self.world(*rows)
        source = Side.LEGACY if to is Side.CANDIDATE else Side.CANDIDATE
        try:
            return await worlds.copy(task, DATA if data is None else data, EVENT, source, to)
        finally:
            await worlds.close()


@pytest.fixture(scope="module")
def urls(postgres_url: str) -> Iterator[tuple[str, str]]:
    names = ("copying_legacy", "copying_candidate")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}".encode())
    legacy, candidate = (postgres_url.replace("/postgres?", f"/{name}?") for name in names)
    yield legacy, candidate


@pytest.fixture
async def shops(urls: tuple[str, str]) -> AsyncIterator[Shops]:
    shops = Shops(*urls)
    for side in Side:
        shops.do(side, "DROP SCHEMA public CASCADE")
        shops.do(side, "CREATE SCHEMA public")
        shops.do(side, SCHEMA)
    shops.do(Side.LEGACY, "INSERT INTO tenants VALUES ('acme', 'Acme ü', '{\"b\": 1,   \"a\": 2}', %s)", EVENT)
    shops.do(
        Side.LEGACY,
        "INSERT INTO orders VALUES (7, 'acme', 12.30, %s, %s, %s)",
        EVENT + timedelta(microseconds=1),
        ["a b", 'c"d', "100%"],
        b"\x00\xff\n\t\\",
    )
    shops.do(Side.LEGACY, "INSERT INTO items VALUES (7, 'tea\n%s', 2.5), (7, NULL, 1), (7, NULL, 1), (8, 'no', 3)")
    yield shops


async def test_they_are_as_on_the_other_side_in_every_type(shops: Shops) -> None:
    assert await shops.copy(TENANT, ORDER, ITEMS) == "copied"
    for table in ("tenants", "orders", "items WHERE orders = 7"):
        query = f"SELECT t::text FROM (SELECT * FROM {table}) AS t ORDER BY 1"
        assert shops.rows(Side.CANDIDATE, query) == shops.rows(Side.LEGACY, query) != []
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM items WHERE orders = 8") == []


async def test_copied_again_they_are_there_once_and_what_is_so_already_is_left_alone(shops: Shops) -> None:
    await shops.copy(TENANT, ORDER, ITEMS)
    before = shops.rows(Side.CANDIDATE, "SELECT xmin::text FROM orders UNION ALL SELECT xmin::text FROM items")
    assert await shops.copy(TENANT, ORDER, ITEMS) == "copied"
    after = shops.rows(Side.CANDIDATE, "SELECT xmin::text FROM orders UNION ALL SELECT xmin::text FROM items")
    assert before == after
    assert len(after) == 4


async def test_what_the_candidate_has_instead_goes_and_what_refers_to_it_stays(shops: Shops) -> None:
    shops.do(Side.CANDIDATE, "INSERT INTO tenants VALUES ('acme', 'Old'), ('other', 'Other')")
    shops.do(Side.CANDIDATE, "INSERT INTO orders VALUES (6, 'acme', 1), (7, 'other', 2)")
    shops.do(Side.CANDIDATE, "INSERT INTO items VALUES (7, 'gone', 1), (9, 'stays', 1)")
    assert await shops.copy(TENANT, ORDER, ITEMS) == "copied"
    assert shops.rows(Side.CANDIDATE, "SELECT id, name FROM tenants ORDER BY 1") == [
        ("acme", "Acme ü"),
        ("other", "Other"),
    ]
    assert shops.rows(Side.CANDIDATE, "SELECT id, tenant FROM orders ORDER BY 1") == [(6, "acme"), (7, "acme")]
    assert shops.rows(Side.CANDIDATE, "SELECT title FROM items WHERE orders <> 7") == [("stays",)]
    assert shops.rows(Side.CANDIDATE, "SELECT count(*) FROM items WHERE orders = 7") == [(3,)]


async def test_rows_that_are_no_more_go_on_the_other_side_too(shops: Shops) -> None:
    await shops.copy(TENANT, ORDER, ITEMS)
    shops.do(Side.LEGACY, "DELETE FROM items")
    shops.do(Side.LEGACY, "DELETE FROM orders")
    assert await shops.copy(TENANT, ORDER, ITEMS) == "copied"
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM orders UNION ALL SELECT * FROM orders") == []
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM items") == []


async def test_legacys_database_is_never_written_to_whoever_has_authority(shops: Shops) -> None:
    before = shops.rows(Side.LEGACY, "SELECT * FROM tenants")
    shops.do(Side.CANDIDATE, "INSERT INTO tenants VALUES ('acme', 'From the candidate')")
    assert await shops.copy(TENANT, to=Side.LEGACY) == "not_copied: legacy's database is nobody's copy"
    assert shops.rows(Side.LEGACY, "SELECT * FROM tenants") == before


async def test_a_row_newer_than_the_event_is_a_stale_world_and_nothing_is_copied(shops: Shops) -> None:
    shops.do(Side.LEGACY, "UPDATE tenants SET updated_at = %s", EVENT + timedelta(seconds=2.5))
    assert await shops.copy(ITEMS, TENANT) == "stale_world: tenants changed 2.500 s after the event"
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM items") == []


async def test_a_row_as_old_as_the_event_or_of_unknown_age_is_not_stale(shops: Shops) -> None:
    assert await shops.copy(TENANT) == "copied"
    shops.do(Side.LEGACY, "UPDATE tenants SET updated_at = NULL")
    assert await shops.copy(TENANT) == "copied"


async def test_an_identity_is_copied_as_it_is(shops: Shops) -> None:
    shops.do(Side.LEGACY, "INSERT INTO counters (name) VALUES ('a'), ('acme')")
    assert await shops.copy("{table: counters, key: {name: $.tenantId}}") == "copied"
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM counters") == [(2, "acme")]


async def test_columns_that_one_side_alone_has_are_named(shops: Shops) -> None:
    shops.do(Side.LEGACY, "ALTER TABLE tenants ADD COLUMN plan text, ADD COLUMN quota int")
    assert await shops.copy(TENANT) == ("not_copied: columns of tenants: plan, quota found on legacy, not on candidate")
    assert shops.rows(Side.CANDIDATE, "SELECT * FROM tenants") == []


async def test_a_column_that_only_the_other_side_has_must_do_without_a_value(shops: Shops) -> None:
    shops.do(Side.CANDIDATE, "ALTER TABLE tenants ADD COLUMN note text, ADD COLUMN rank int NOT NULL DEFAULT 3")
    assert await shops.copy(TENANT) == "copied"
    assert shops.rows(Side.CANDIDATE, "SELECT note, rank FROM tenants") == [(None, 3)]
    shops.do(Side.CANDIDATE, "ALTER TABLE tenants ALTER COLUMN rank DROP DEFAULT")
    assert await shops.copy(TENANT) == "not_copied: columns of tenants: rank needed on candidate, not found on legacy"


@pytest.mark.parametrize(
    ("row", "data", "said"),
    [
        ("{table: nowhere, key: {id: $.tenantId}}", DATA, "there is no table"),
        ("{table: tenants, key: {id: $.tenantId}}", {}, "the key id of tenants: "),
        ("{table: tenants, key: {id: $.tenantId}}", {"tenantId": None}, "found null, expected text or a number"),
        ("{table: tenants, key: {id: $.tenantId}}", {"tenantId": ["a"]}, "found list, expected text or a number"),
        ("{table: tenants, key: {nick: $.tenantId}}", DATA, "UndefinedColumn"),
        ("{table: orders, key: {id: $.tenantId}}", DATA, "InvalidTextRepresentation"),
    ],
)
async def test_what_cannot_be_copied_says_why(shops: Shops, row: str, data: Any, said: str) -> None:
    world = await shops.copy(row, data=data)
    assert world.startswith("not_copied: ")
    assert said in world
    assert "acme" not in world


async def test_a_value_is_a_value_whatever_is_in_it(shops: Shops) -> None:
    odd = "100% o'clock\\ %s"
    shops.do(Side.LEGACY, "INSERT INTO tenants VALUES (%s, 'Odd')", odd)
    shops.do(Side.CANDIDATE, "INSERT INTO tenants VALUES (%s, 'Even')", odd)
    assert await shops.copy(TENANT, data={"tenantId": odd}) == "copied"
    assert shops.rows(Side.CANDIDATE, "SELECT id, name FROM tenants") == [(odd, "Odd")]


async def test_many_at_once_copy_the_same_row(shops: Shops) -> None:
    worlds, task = shops.world(TENANT, ORDER, ITEMS)
    try:
        made = await asyncio.gather(*(worlds.copy(task, DATA, EVENT, Side.LEGACY, Side.CANDIDATE) for _ in range(20)))
    finally:
        await worlds.close()
    assert set(made) == {"copied"}
    assert shops.rows(Side.CANDIDATE, "SELECT count(*) FROM items WHERE orders = 7") == [(3,)]


async def test_a_schema_is_a_namespace_of_its_own(shops: Shops, urls: tuple[str, str]) -> None:
    shops.do(Side.LEGACY, "CREATE SCHEMA twin")
    shops.do(Side.LEGACY, "CREATE TABLE twin.tenants (LIKE tenants INCLUDING ALL)")
    text = CATALOGUE.format(legacy=urls[0], candidate=urls[0], world=f"[{TENANT}]")
    text = text.replace(f'candidate: {{dsn: "{urls[0]}"}}', f'candidate: {{dsn: "{urls[0]}", namespace: twin}}')
    catalogue = parse(text, "copying.yaml", {})
    worlds = Worlds(catalogue)
    try:
        made = await worlds.copy(catalogue.tasks["sync"], DATA, EVENT, Side.LEGACY, Side.CANDIDATE)
    finally:
        await worlds.close()
    assert made == "copied"
    assert shops.rows(Side.LEGACY, "SELECT name FROM twin.tenants") == [("Acme ü",)]


async def test_another_kind_of_database_is_refused_by_name(urls: tuple[str, str]) -> None:
    text = CATALOGUE.format(legacy="mysql://root:secret@db/shop", candidate=urls[1], world=f"[{TENANT}]")
    catalogue = parse(text, "copying.yaml", {})
    world = await Worlds(catalogue).copy(catalogue.tasks["sync"], DATA, EVENT, Side.LEGACY, Side.CANDIDATE)
    assert world == "not_copied: found a database of kind 'mysql': rows are copied between PostgreSQL databases only"
