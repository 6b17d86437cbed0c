"""Probes are read on both sides once their runs have settled, and before the pair is judged."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shadow.catalogue.model import Side
from shadow.catalogue.outside import DatabaseSide
from shadow.effects.probes import Fetched, ProbeLoop
from shadow.effects.sql_reading import CannotRead, SqlReader
from shadow.egress.reading import TargetReads
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import new_id
from shadow.store.database import Database
from tests.integration.effects.world import SeenWorld, catalogue
from tests.integration.judge.world import Told

SECOND = timedelta(seconds=1)
SQL = "SELECT id, status, total FROM orders WHERE id = :id ORDER BY id"


def probing(legacy: str, candidate: str, *, sql: str = SQL, more: str = "", targets: str = "", probe: str = "") -> Any:
    """A catalogue whose `order-sync` reads its order on both sides."""
    databases = f"databases:\n  shop:\n    legacy: {{dsn: '{legacy}'}}\n    candidate: {{dsn: '{candidate}'}}\n"
    more = f"identity: [id], parameters: {{id: $.event.order}}{more}"
    probe = probe or f"      - {{name: order, database: shop, sql: '{sql}', {more}}}\n"
    return catalogue(databases + targets, "    probes:\n" + probe)


@pytest.fixture
def files(tmp_path: Path) -> dict[Side, Path]:
    """Both sides' databases as SQLite files, with the same order in them."""
    made = {side: tmp_path / f"{side}.db" for side in Side}
    for path in made.values():
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total NUMERIC)")
            connection.execute("INSERT INTO orders VALUES (4711, 'paid', 12.5)")
        connection.close()
    return made


def sqlite(files: dict[Side, Path], **more: Any) -> Any:
    return probing(f"sqlite:///{files[Side.LEGACY]}", f"sqlite:///{files[Side.CANDIDATE]}", **more)


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


async def ended(world: SeenWorld) -> Told:
    """A pair whose runs have both ended alike, long enough ago to have settled."""
    told = await world.keyed({"order": 4711}, accepted_at=datetime.now(UTC) - timedelta(minutes=1))
    await told.both({"ok": True})
    return told


async def pair(world: SeenWorld) -> tuple[Any, ...]:
    return (await world.rows("SELECT state, verdict, reason FROM pairs"))[0]


async def judged(world: SeenWorld, known: Any, *, targets: Any = None) -> tuple[Any, ...]:
    """The pair's life from its end to its verdict."""
    world.catalogue = known
    judge, loop = JudgeLoop(world.database, known), ProbeLoop(world.database, known, targets)
    await ended(world)
    try:
        await judge.once()
        assert (await pair(world))[0] == "probing"
        assert await loop.once() == 1
        await judge.once()
    finally:
        await loop.stop()
    return (await pair(world))[1:]


EFFECTS = """
SELECT kind, target, operation, identity, seen_by, attributed_by, count(*) FROM effects GROUP BY 1, 2, 3, 4, 5, 6
"""


async def test_the_same_on_both_sides_is_a_match(world: SeenWorld, files: dict[Side, Path]) -> None:
    assert await judged(world, sqlite(files)) == ("match", None)
    assert await world.rows(EFFECTS) == [("state", "shop", "order", "4711", "probe", "parent", 2)]


async def test_another_row_is_a_difference(world: SeenWorld, files: dict[Side, Path]) -> None:
    change(files[Side.CANDIDATE], "UPDATE orders SET status = 'new'")
    assert (await judged(world, sqlite(files)))[0] == "mismatch"
    ((kind, path),) = await world.rows("SELECT kind, path FROM differences")
    assert path.endswith("status") or "status" in path
    assert kind


async def test_a_row_that_is_not_there_is_a_difference(world: SeenWorld, files: dict[Side, Path]) -> None:
    change(files[Side.CANDIDATE], "DELETE FROM orders")
    assert (await judged(world, sqlite(files)))[0] == "mismatch"


async def test_a_pair_is_not_judged_before_its_probes_are_read(world: SeenWorld, files: dict[Side, Path]) -> None:
    world.catalogue = sqlite(files)
    judge = JudgeLoop(world.database, world.catalogue)
    await ended(world)
    for _ in range(2):
        await judge.once()
        assert await pair(world) == ("probing", None, None)
    await judge.once(datetime.now(UTC) + timedelta(hours=1))
    assert await pair(world) == ("judged", "not_comparable", "its probes were not read in time")


async def test_probes_are_read_once_even_if_two_processes_try(world: SeenWorld, files: dict[Side, Path]) -> None:
    world.catalogue = sqlite(files)
    await ended(world)
    await JudgeLoop(world.database, world.catalogue).once()
    loops = [ProbeLoop(world.database, world.catalogue) for _ in range(3)]
    assert sorted(await asyncio.gather(*(loop.once() for loop in loops))) == [0, 0, 1]
    # One whose lease has run out comes back with what it read.
    await world.rows("UPDATE pairs SET probed_at = NULL, probe_lease = NULL, state = 'probing' RETURNING id")
    assert await loops[0].once() == 1
    assert await world.rows("SELECT count(*) FROM effects") == [(2,)]
    for loop in loops:
        await loop.stop()


ENDLESS = (
    "SELECT :id AS id FROM (WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t)"
)
NAMELESS = "      - {name: order, database: shop, sql: 'SELECT :id AS id', parameters: {id: $.event.none}}\n"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"sql": "SELECT id FROM missing WHERE id = :id"}, "OperationalError (SQLITE_ERROR)"),
        ({"sql": "SELECT status FROM orders WHERE id = :id"}, "found no 'id', expected all of id"),
        ({"sql": ENDLESS, "more": ", timeout: 200ms"}, "OperationalError (SQLITE_INTERRUPT)"),
        ({"probe": NAMELESS}, "found nothing"),
    ],
    ids=["no table", "no identity", "timeout", "no parameter"],
)
async def test_what_cannot_be_read_makes_the_pair_not_comparable(
    world: SeenWorld, files: dict[Side, Path], more: dict[str, str], reason: str
) -> None:
    verdict, said = await judged(world, sqlite(files, **more))
    assert verdict == "not_comparable"
    assert reason in said
    assert said.count("probe order failed") == 2  # told of each side


async def test_more_rows_than_allowed_are_not_compared_in_part(world: SeenWorld, files: dict[Side, Path]) -> None:
    for path in files.values():
        change(path, "INSERT INTO orders VALUES (1, 'x', 1)")
    verdict, reason = await judged(
        world, sqlite(files, sql="SELECT id FROM orders WHERE id <> :id OR 1", more=", rows: 1")
    )
    assert verdict == "not_comparable"
    assert "found more than 1 rows" in reason


async def test_a_failure_of_one_side_invents_no_difference(world: SeenWorld, files: dict[Side, Path]) -> None:
    change(files[Side.CANDIDATE], "DROP TABLE orders")
    verdict, reason = await judged(world, sqlite(files))
    assert verdict == "not_comparable"
    assert reason.startswith("probe order failed on candidate")


async def test_nor_does_it_hide_one(world: SeenWorld, files: dict[Side, Path]) -> None:
    change(files[Side.CANDIDATE], "UPDATE orders SET status = 'new'")
    more = "      - {name: broken, database: shop, sql: 'SELECT x FROM missing'}\n"
    order = (
        f"      - {{name: order, database: shop, sql: '{SQL}', identity: [id], parameters: {{id: $.event.order}}}}\n"
    )
    verdict, reason = await judged(world, sqlite(files, probe=order + more))
    assert verdict == "mismatch"
    assert reason.startswith("probe broken failed on legacy")


class TestPostgres:
    """Sessions that can't write."""

    @pytest.fixture
    def shop(self, postgres_url: str) -> Any:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS probed CASCADE")
            connection.execute("CREATE SCHEMA probed")
            connection.execute("CREATE TABLE probed.orders (id bigint, total numeric, at timestamptz, tags jsonb)")
            connection.execute("INSERT INTO probed.orders VALUES (4711, 12.50, '2026-05-01 12:00Z', '[1]')")
        reader = SqlReader("shop", DatabaseSide.model_validate({"dsn": postgres_url, "namespace": "probed"}))
        yield reader
        reader.close()
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA probed CASCADE")

    async def test_rows_are_read_from_the_namespace_as_json(self, shop: SqlReader) -> None:
        assert await shop.read("SELECT * FROM orders WHERE id = :id", {"id": 4711}, rows=5, within=SECOND) == [
            {"id": 4711, "total": "12.5", "at": "2026-05-01T12:00:00+00:00", "tags": [1]}
        ]

    @pytest.mark.parametrize(
        "statement",
        [
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
            "SELECT 1; COMMIT; DELETE FROM orders",
            "SELECT 1; ROLLBACK; BEGIN READ WRITE; DELETE FROM orders; COMMIT",
            "SELECT lo_create(0)",
        ],
    )
    async def test_nothing_can_be_written(self, shop: SqlReader, postgres_url: str, statement: str) -> None:
        with pytest.raises(CannotRead):
            await shop.read(statement, {}, rows=5, within=SECOND)
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT count(*) FROM probed.orders").fetchone() == (1,)

    async def test_a_slow_statement_is_ended(self, shop: SqlReader) -> None:
        with pytest.raises(CannotRead, match=r"QueryCanceled \(57014\)"):
            await shop.read("SELECT pg_sleep(5)", {}, rows=1, within=timedelta(milliseconds=100))

    async def test_an_error_does_not_say_what_was_read(self, shop: SqlReader) -> None:
        with pytest.raises(CannotRead) as failed:
            await shop.read("SELECT CAST(:mail AS integer)", {"mail": "jane@example.com"}, rows=1, within=SECOND)
        assert str(failed.value) == "InvalidTextRepresentation (22P02)"

    async def test_a_database_that_is_away_is_told(self) -> None:
        reader = SqlReader("gone", DatabaseSide.model_validate({"dsn": "postgresql://127.0.0.1:1/x?connect_timeout=2"}))
        with pytest.raises(CannotRead, match="OperationalError"):
            await reader.read("SELECT 1", {}, rows=1, within=SECOND)
        reader.close()


class TestTargets:
    """HTTP reads."""

    PROBE = (
        "      - {name: customer, target: crm, request: 'GET /v1/customers/{id}', parameters: {id: $.event.order}}\n"
    )

    class Answers:
        """A target that answers what it is told to."""

        def __init__(self, *answers: Fetched | CannotRead) -> None:
            self.answers = list(answers)
            self.asked: list[tuple[str, ...]] = []

        async def fetch(self, target: str, method: str, path: str, query: str, within: timedelta) -> Fetched:
            self.asked.append((target, method, path, query))
            answer = self.answers.pop(0)
            if isinstance(answer, CannotRead):
                raise answer
            return answer

    def known(self) -> Any:
        return probing(
            "sqlite://", "sqlite://", targets="targets:\n  crm: {url: 'https://crm.example'}\n", probe=self.PROBE
        )

    async def test_each_side_is_asked(self, world: SeenWorld) -> None:
        targets = self.Answers(Fetched(200, {"plan": "gold"}), Fetched(200, {"plan": "gold"}))
        assert await judged(world, self.known(), targets=targets) == ("match", None)
        assert targets.asked == [("crm", "GET", "/v1/customers/4711", "")] * 2

    async def test_what_is_not_there_is_a_finding(self, world: SeenWorld) -> None:
        targets = self.Answers(Fetched(200, {"plan": "gold"}), Fetched(404, None))
        assert (await judged(world, self.known(), targets=targets))[0] == "mismatch"

    @pytest.mark.parametrize("answer", [Fetched(503, None), Fetched(401, None), CannotRead("no route to it")])
    async def test_a_target_that_does_not_say_is_a_failure(self, world: SeenWorld, answer: Any) -> None:
        targets = self.Answers(Fetched(200, {}), answer)
        verdict, reason = await judged(world, self.known(), targets=targets)
        assert verdict == "not_comparable"
        assert reason.startswith("probe customer failed on candidate")

    async def test_a_target_gets_its_credential(self, world: SeenWorld, database: Database) -> None:
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{"plan": "x"}')
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        text = (
            f"targets:\n  crm:\n    url: http://127.0.0.1:{port}/base\n    private: true\n"
            "    credential: {header: authorization, secret: Bearer sk_live}\n"
        )
        reads = TargetReads(probing("sqlite://", "sqlite://", targets=text, probe=self.PROBE))
        assert await reads.fetch("crm", "GET", "/v1/customers/7", "a=1", SECOND) == Fetched(200, {"plan": "x"})
        assert heads[0].startswith(b"GET /base/v1/customers/7?a=1 HTTP/1.1\r\n")
        assert b"authorization: Bearer sk_live\r\n" in heads[0]
        with pytest.raises(CannotRead):
            await reads.fetch("crm", "POST", "/v1/customers", "", SECOND)
        await reads.close()
        server.close()
        await server.wait_closed()


async def test_of_a_replay_only_the_candidate_is_read_and_legacys_first_findings_stay(
    world: SeenWorld, files: dict[Side, Path]
) -> None:
    known = sqlite(files, sql="SELECT id, status, total FROM orders WHERE id >= :id ORDER BY id")
    assert await judged(world, known) == ("match", None)
    change(files[Side.LEGACY], "INSERT INTO orders VALUES (4712, 'new', 1)")  # of a later run
    await replayed(world)
    await probed(world, known)
    assert await world.rows("SELECT verdict FROM pairs ORDER BY id") == [("match",), ("match",)]
    assert await world.rows("SELECT side, count(*) FROM effects GROUP BY 1 ORDER BY 1") == [
        ("candidate", 2),
        ("legacy", 1),
    ]


async def test_a_replay_of_what_was_not_read_in_its_time_cannot_be_compared(
    world: SeenWorld, files: dict[Side, Path]
) -> None:
    known = sqlite(files)
    await judged(world, known)
    await world.rows("DELETE FROM effects RETURNING id")
    await world.rows("UPDATE pairs SET probe_failures = 'probe order failed on legacy' RETURNING id")
    await replayed(world)
    await probed(world, known)
    assert (await world.rows("SELECT verdict, reason FROM pairs WHERE replay IS NOT NULL"))[0] == (
        "not_comparable",
        "what legacy's run had left behind was not read at that time",
    )


async def replayed(world: SeenWorld) -> None:
    """The event has run on the candidate once more, to the same end."""
    pair, run = new_id(), new_id()
    await world.rows(
        "INSERT INTO runs (id, event_id, pair_id, task, side, platform, platform_run_id, authority, state, status,"
        " started_at, finished_at) SELECT %s, event_id, %s, task, side, platform, 'again', 'none', state, status,"
        " started_at, finished_at FROM runs WHERE side = 'candidate' RETURNING id",
        run,
        pair,
    )
    await world.rows(
        "INSERT INTO bodies (id, part, content) SELECT %s, part, content FROM bodies JOIN runs ON runs.id = bodies.id"
        " WHERE side = 'candidate' AND part = 'output' RETURNING id",
        run,
    )
    await world.rows(
        "INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at, replay,"
        " replays) SELECT %s, event_id, task, tenant, legacy_run, %s, 'open', now(), now(), %s, id FROM pairs"
        " RETURNING id",
        pair,
        run,
        new_id(),
    )


async def probed(world: SeenWorld, known: Any) -> None:
    judge, loop = JudgeLoop(world.database, known), ProbeLoop(world.database, known)
    try:
        await judge.once()
        assert await loop.once() == 1
        await judge.once()
    finally:
        await loop.stop()
