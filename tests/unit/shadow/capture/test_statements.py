"""SQL is read as far as needed: does it write, and which rows; what is not understood is said so of."""

from __future__ import annotations

import pytest

from shadow.capture.statements import Parameter, Statement, Unknown, read, resolve


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM orders WHERE id = %s",
        "select count(*), coalesce(max(total), 0) from orders where id in (%s, %s)",
        "SELECT 1 -- drop_everything()",
        "SELECT 'insert_rows()'",
        "  -- a note\nSHOW server_version",
        "SET statement_timeout = 5",
        "BEGIN",
        "RELEASE SAVEPOINT a",
        "COPY orders TO STDOUT",
        "",
    ],
)
def test_what_only_reads(text: str) -> None:
    assert not read(text).writes


@pytest.mark.parametrize(
    "text",
    [
        "SELECT create_order(%s)",
        "SELECT * FROM shop.settle(%s)",
        "WITH done AS (DELETE FROM carts RETURNING *) SELECT * FROM done",
        "CALL settle()",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "CREATE TABLE a (b int)",
        "DO $$ BEGIN PERFORM f(); END $$",
        "SELECT 1; DELETE FROM orders",
        "COPY orders FROM STDIN",
    ],
)
def test_what_may_write(text: str) -> None:
    assert read(text).writes


def test_an_upsert_as_the_commerce_example_writes_it() -> None:
    found = read(
        "INSERT INTO orders (id, total_cents, raw_json) VALUES (%s, %s, %s::jsonb) "
        "ON CONFLICT (id) DO UPDATE SET total_cents = excluded.total_cents, raw_json = excluded.raw_json"
    )
    assert (found.verb, found.table, found.columns, found.conflict) == (
        "upsert", "orders", ("id", "total_cents", "raw_json"), ("id",),
    )  # fmt: skip
    assert found.known
    assert resolve(found.rows, ("o1", 5, "{}")) == [["o1", 5, "{}"]]


@pytest.mark.parametrize(
    ("text", "parameters", "rows"),
    [
        ("INSERT INTO t (a, b) VALUES (%s, %s), (%s, 'it''s')", (1, 2, 3), [[1, 2], [3, "it's"]]),
        ("INSERT INTO t (a, b) VALUES (%(x)s, %(y)s)", {"x": 1, "y": None}, [[1, None]]),
        ("INSERT INTO t (a,b,c,d) VALUES(-1, 2.5, null, TRUE)", None, [[-1, 2.5, None, True]]),
        ("INSERT INTO t (a, b) VALUES ($2, $1)", ("x", "y"), [["y", "x"]]),
        ('insert into "Shop"."Order Lines" ("a b") values (%s);', (1,), [[1]]),
    ],
)
def test_rows_are_read_from_values_and_parameters(text: str, parameters: object, rows: object) -> None:
    found = read(text)
    assert found.known
    assert resolve(found.rows, parameters) == rows


def test_names_keep_their_schema_and_lose_their_quotes() -> None:
    assert read('INSERT INTO "Shop"."Order Lines" ("a b") VALUES (1)').table == "Shop.Order Lines"
    assert read("INSERT INTO Public.Orders (A) VALUES (1)").table == "public.orders"


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t (a, b) VALUES (%s, now())",  # only the server knows b
        "INSERT INTO t (a) VALUES (%s || 'x')",
        "INSERT INTO t (a) SELECT a FROM u WHERE b = %s",
        "INSERT INTO t (a) VALUES (%s) ON CONFLICT DO NOTHING",  # or whether there is a row
        "INSERT INTO t (a) VALUES (%s) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE t.a < 3",
        "INSERT INTO t VALUES (%s)",
        "UPDATE t SET a = %s WHERE b = %s",
        "DELETE FROM t WHERE a = %s",
    ],
)
def test_rows_that_only_the_server_knows(text: str) -> None:
    found = read(text)
    assert (found.table, found.known, found.writes_rows) == ("t", False, True)


def test_an_unknown_value_is_no_value() -> None:
    found = read("INSERT INTO t (a, b) VALUES (%s, now())")
    assert found.rows == ((Parameter(0), Unknown.VALUE),)


def test_an_update_names_what_it_sets() -> None:
    found = read("UPDATE ONLY t AS x SET a=%s, b = f(c, d), (e, g) = (1, 2) FROM u WHERE x.id = u.id RETURNING x.id")
    assert (found.verb, found.table, found.columns, found.returning) == ("update", "t", ("a", "b", "e", "g"), True)


@pytest.mark.parametrize("text", ["INSERT INTO t (a) VALUES (1, 2)", "UPDATE t RESET x", "INSERT t", "DELETE t"])
def test_what_is_not_understood_still_writes(text: str) -> None:
    found = read(text)
    assert (found.writes, found.table) == (True, None)


@pytest.mark.parametrize(
    ("text", "ends", "savepoint"),
    [
        ("COMMIT", "commit", None),
        ("end;", "commit", None),
        ("ROLLBACK", "rollback", None),
        ("ROLLBACK TO SAVEPOINT a", "rollback to", "a"),
        ("savepoint a", "savepoint", "a"),
        ("COMMIT PREPARED 'x'", "rollback", None),
    ],
)
def test_statements_that_end_transactions(text: str, ends: str, savepoint: str | None) -> None:
    found = read(text)
    assert (found.ends, found.savepoint, found.writes) == (ends, savepoint, False)


def test_only_what_can_be_in_a_block_is_put_into_one() -> None:
    alone = {text: read(text).alone for text in ("DELETE FROM t", "VACUUM t", "CALL f()", "CREATE DATABASE x")}
    assert alone == {"DELETE FROM t": True, "VACUUM t": False, "CALL f()": False, "CREATE DATABASE x": False}


def test_reading_never_fails() -> None:
    for text in ("'", "INSERT INTO", "INSERT INTO t (", "(((", "%s", '"', "$$", "UPDATE", "WITH", "ROLLBACK TO"):
        assert isinstance(read(text), Statement)
