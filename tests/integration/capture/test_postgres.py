"""psycopg connections in runs: transactions say whose they are, and committed rows become effects."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from shadow.capture import Capture, Run
from shadow.capture.run import at_hand
from shadow.store import embedded

CAPTURE = Capture("http://127.0.0.1:9", "shk_1", report_key="rk", report_patience=0)
TABLES = """
CREATE TABLE orders (id text PRIMARY KEY, total int, raw jsonb, made timestamptz DEFAULT now());
CREATE TABLE lines (id serial PRIMARY KEY, order_id text, sku text);
CREATE FUNCTION settle(text) RETURNS void LANGUAGE sql AS 'UPDATE orders SET total = 0 WHERE id = $1';
"""
UPSERT = "INSERT INTO orders (id, total) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET total = excluded.total"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server with logical decoding, and the tables."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-capture-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_SETTINGS", f"{embedded._SETTINGS}\nwal_level = logical\n")
        url, handle = embedded.start(folder, ephemeral=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute("CREATE PUBLICATION shadow FOR ALL TABLES")
        connection.execute("SELECT pg_create_logical_replication_slot('shadow', 'pgoutput')")
    yield url
    handle.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("TRUNCATE orders, lines RESTART IDENTITY")
    decoded(server)
    return server


def decoded(url: str) -> list[str]:
    """What logical decoding brings since: `{...}` for a message, `I`, `U` or `D` for a row, `|` after a transaction."""
    query = (
        "SELECT data FROM pg_logical_slot_get_binary_changes('shadow', NULL, NULL, 'proto_version', '1',"
        " 'publication_names', 'shadow', 'messages', 'true')"
    )
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        for (data,) in connection.execute(query):
            kind = data[:1]
            if kind == b"M":
                assert b"shadow\x00" in data
                found.append(data[data.index(b"{") :].decode())
            elif kind in b"IUD":
                found.append(kind.decode())
            elif kind == b"C":
                found.append("|")
    return [each for index, each in enumerate(found) if each != "|" or (index and found[index - 1] != "|")]


def told(effects: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(effect["operation"], effect.get("identity"), effect["data"]) for effect in effects]


def run(name: str = "run_1") -> Run:
    return Run(name, "pay", 2, "evt-1")


MARK = '{"run":"run_1","task":"pay","attempt":2,"event":"evt-1"}'


def test_each_transaction_that_writes_says_whose_it_is(url: str) -> None:
    with psycopg.connect(url) as plain:
        connection = CAPTURE.connection(plain)
        assert connection is plain
        with at_hand(run()):
            connection.execute("SELECT * FROM orders")
            connection.execute(UPSERT, ("a", 1))
            connection.execute(UPSERT, ("b", 1))
            connection.commit()
            connection.execute("SELECT settle('a')")
            connection.commit()
        with at_hand(run("run_2")):
            connection.execute("DELETE FROM orders")
            connection.commit()
        connection.execute(UPSERT, ("c", 1))  # of no run
    other = MARK.replace("run_1", "run_2")
    assert decoded(url) == [MARK, "I", "I", "|", MARK, "U", "|", other, "D", "D", "|", "I", "|"]


def test_reading_writes_nothing_to_the_servers_log(url: str) -> None:
    with psycopg.connect(url) as plain, at_hand(run()):
        connection = CAPTURE.connection(plain)
        connection.execute("SELECT count(*) FROM orders WHERE id IN (%s, %s)", ("a", "b"))
        connection.commit()
        assert decoded(url) == []
        connection.read_only = True
        connection.execute("SELECT pg_sleep(0)")
        connection.commit()
    assert decoded(url) == []


def test_a_statement_of_an_autocommitting_connection_gets_a_transaction_with_its_mark(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as plain, at_hand(run()):
        connection = CAPTURE.connection(plain, report_rows=True, database="shop")
        connection.execute(UPSERT, ("a", 1))
        connection.execute("VACUUM orders")  # cannot be in one
        connection.execute("BEGIN")
        connection.execute(UPSERT, ("b", 1))
        connection.execute("COMMIT")
        with connection.transaction():
            connection.execute(UPSERT, ("c", 1))
    assert decoded(url) == [MARK, "I", "|", MARK, "I", "|", MARK, "I", "|"]


def test_a_mark_that_a_savepoint_took_with_it_is_set_again(url: str) -> None:
    with psycopg.connect(url) as plain, at_hand(run()):
        connection = CAPTURE.connection(plain)
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                connection.execute(UPSERT, ("a", 1))
            connection.execute(UPSERT, ("b", 1))
    assert decoded(url) == [MARK, "I", "|"]


@pytest.fixture
def rows(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose rows are reported."""
    with psycopg.connect(url) as plain:
        yield CAPTURE.connection(plain, report_rows=True, database="shop")


def test_an_upsert_is_told_with_its_key_and_columns(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        rows.execute(
            "INSERT INTO orders (id, total, raw) VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET total = 1",
            ("a", 5, Jsonb({"n": [1]})),
        )
        assert made.effects == []
        rows.commit()
    (effect,) = made.effects
    assert (effect["kind"], effect["target"]) == ("sql", "shop")
    assert told([effect]) == [("upsert orders", "a", {"id": "a", "total": 5, "raw": {"n": [1]}})]
    assert effect["id"]


def test_what_only_the_server_knows_it_is_asked_for(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        rows.execute("INSERT INTO lines (order_id, sku) VALUES (%(o)s, lower(%(s)s))", {"o": "a", "s": "X"})
        rows.execute("INSERT INTO lines (order_id, sku) SELECT order_id, 'y' FROM lines")
        rows.execute("INSERT INTO orders (id, total) VALUES ('a', 1), ('b', 2)")
        rows.execute("INSERT INTO orders (id, total) VALUES ('a', 9) ON CONFLICT DO NOTHING")
        updated = rows.execute("UPDATE orders SET total = total + %s WHERE total > %s", (10, 0))
        assert updated.rowcount == 2
        rows.execute("UPDATE orders SET total = 0 WHERE id = 'nobody'; ")
        rows.execute("DELETE FROM orders WHERE id = 'b' -- gone")
        rows.commit()
    assert told(made.effects) == [
        ("insert lines", "1", {"id": 1, "order_id": "a", "sku": "x"}),
        ("insert lines", "2", {"id": 2, "order_id": "a", "sku": "y"}),
        ("insert orders", "a", {"id": "a", "total": 1}),
        ("insert orders", "b", {"id": "b", "total": 2}),
        ("update orders", "a", {"id": "a", "total": 11}),
        ("update orders", "b", {"id": "b", "total": 12}),
        ("delete orders", "b", {"id": "b"}),
    ]


def test_a_returning_of_the_workers_own_is_left_to_it(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        cursor = rows.cursor(row_factory=dict_row)
        cursor.execute("INSERT INTO lines (order_id, sku) VALUES ('a', upper('x')) RETURNING id, sku")
        assert cursor.fetchall() == [{"id": 1, "sku": "X"}]
        rows.commit()
    assert told(made.effects) == [("insert lines", "1", {"id": 1, "order_id": "a", "sku": "X"})]


def test_a_business_key_identifies_rows_whose_ids_are_generated(url: str) -> None:
    with psycopg.connect(url) as plain, at_hand(run()) as made:
        connection = CAPTURE.connection(plain, report_rows=True, keys={"lines": ("order_id", "sku")})
        connection.execute("INSERT INTO lines (order_id, sku) VALUES (%s, %s)", ("a", "x"))
        connection.commit()
    assert told(made.effects) == [("insert lines", "a:x", {"order_id": "a", "sku": "x"})]
    assert made.effects[0]["target"] == "postgres"  # the database's own name


def undo_one(rows: psycopg.Connection[Any]) -> None:
    with rows.transaction():
        rows.execute(UPSERT, ("d", 1))
        raise psycopg.Rollback


def test_what_was_rolled_back_never_was(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        rows.execute(UPSERT, ("a", 1))
        rows.rollback()
        with pytest.raises(ZeroDivisionError), rows.transaction():
            rows.execute(UPSERT, ("b", 1))
            raise ZeroDivisionError
        with rows.transaction():
            rows.execute(UPSERT, ("c", 1))
            undo_one(rows)
        rows.execute(UPSERT, ("e", 1))
        with pytest.raises(psycopg.errors.UndefinedTable):
            rows.execute("DELETE FROM nowhere")
        rows.commit()  # which rolls back, since the transaction has failed
        rows.execute(UPSERT, ("f", 1))
        rows.execute("SAVEPOINT s")
        rows.execute(UPSERT, ("g", 1))
        rows.execute("ROLLBACK TO s")
        rows.execute("COMMIT")
        rows.execute(UPSERT, ("h", 1))  # and never committed
    assert [effect["identity"] for effect in made.effects] == ["c", "f"]
    with psycopg.connect(rows.info.dsn) as witness:
        assert witness.execute("SELECT id FROM orders ORDER BY id").fetchall() == [("c",), ("f",)]


def test_many_rows_are_told_one_by_one(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        rows.cursor().executemany(UPSERT, [("a", 1), ("b", 2)])
        rows.commit()
    assert told(made.effects) == [
        ("upsert orders", "a", {"id": "a", "total": 1}),
        ("upsert orders", "b", {"id": "b", "total": 2}),
    ]


def test_what_is_not_understood_is_told_as_it_stands(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        rows.execute("WITH one AS (INSERT INTO orders (id) VALUES ('a') RETURNING id) SELECT * FROM one")
        with rows.cursor().copy("COPY orders (id) FROM STDIN") as copy:
            copy.write("b\nc\n")
        rows.execute("TRUNCATE lines")
        rows.commit()
    assert [effect["operation"] for effect in made.effects] == ["with", "copy orders", "truncate lines"]
    assert made.effects[1]["data"] == {"statement": "COPY orders (id) FROM STDIN", "rows": 2}


def test_in_a_pipeline_what_was_sent_is_told(rows: psycopg.Connection[Any]) -> None:
    with at_hand(run()) as made:
        with rows.pipeline():
            rows.execute(UPSERT, ("a", 1))
            rows.execute("UPDATE orders SET total = 3 WHERE id = 'a'")
        rows.commit()
    assert [effect["operation"] for effect in made.effects] == ["upsert orders", "update orders"]
    assert "statement" in made.effects[1]["data"]


async def test_asynchronous_connections_do_the_same(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as plain:
        connection = CAPTURE.connection(plain, report_rows=True, database="shop")
        with at_hand(run()) as made:
            await connection.execute(UPSERT, ("a", 1))
            await connection.commit()
            await connection.execute(UPSERT, ("b", 1))
            await connection.rollback()
            async with connection.transaction():
                await connection.execute("UPDATE orders SET total = 7")
                await connection.cursor().executemany(UPSERT, [("c", 1)])
            await connection.set_autocommit(True)
            await connection.execute("DELETE FROM orders WHERE id = 'a'")
            async with connection.cursor().copy("COPY orders (id) FROM STDIN") as copy:
                await copy.write("d\n")
            found = [row async for row in connection.cursor().stream("SELECT id FROM orders ORDER BY id")]
            assert found == [("c",), ("d",)]
    assert [(effect["operation"], effect.get("identity")) for effect in made.effects] == [
        ("upsert orders", "a"),
        ("update orders", "a"),
        ("upsert orders", "c"),
        ("delete orders", "a"),
        ("copy orders", None),
    ]
    assert decoded(url) == [MARK, "I", "|", MARK, "U", "I", "|", MARK, "D", "|", MARK, "I", "|"]


def test_a_pool_captures_its_connections_as_it_makes_them(url: str) -> None:
    def configure(connection: psycopg.Connection[Any]) -> None:
        CAPTURE.connection(connection, report_rows=True)

    pool = psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, configure=configure, open=True, timeout=5)
    with pool, at_hand(run()) as made:
        with pool.connection() as connection:
            connection.execute(UPSERT, ("a", 1))
        with pytest.raises(ZeroDivisionError), pool.connection() as connection:
            connection.execute(UPSERT, ("b", 1))
            raise ZeroDivisionError
    assert [effect["identity"] for effect in made.effects] == ["a"]


def test_an_inert_capture_leaves_the_connection_alone(url: str) -> None:
    with psycopg.connect(url) as connection:
        assert Capture().connection(connection, report_rows=True) is connection
        assert type(connection) is psycopg.Connection
        assert connection.cursor_factory is psycopg.Cursor
        with at_hand(run()):
            connection.execute(UPSERT, ("a", 1))
    assert decoded(url) == ["I", "|"]


def test_marks_are_valid_json_whatever_the_ids(url: str) -> None:
    with psycopg.connect(url) as plain, at_hand(Run('r"1\n', "täsk")):
        CAPTURE.connection(plain).execute(UPSERT, ("a", 1))
        plain.commit()
    assert json.loads(re.sub(r"\|", "", decoded(url)[0])) == {"run": 'r"1\n', "task": "täsk", "attempt": 1}
