"""A process that starts while the database is away: it decides by what this machine last knew, or not at all, and is
whole by itself once the database is there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev.server import PretendTriggerDev
from shadow.catalogue import parse
from shadow.cutover.decision import Phase
from shadow.cutover.last_known import LOOKED, READ, LastKnown, NotKnown
from shadow.cutover.standing import Standing
from shadow.sealing.master import WrongSealingKey, new_text
from shadow.sealing.master import parse as master
from shadow.service import Listener, Service
from shadow.store.database import Database, Work, migrate
from tests.integration.egress.world import outage, until
from tests.integration.front.world import CATALOGUE, KEY, PRODUCER, WORKER

TARGETS = """
targets:
  books: {{url: "http://127.0.0.1:9", operations: [{{match: "POST /v1/transfers", effect: write}}]}}
"""


@dataclass
class Process:
    """The service, in this process."""

    front: httpx.AsyncClient
    operator: httpx.AsyncClient
    running: asyncio.Task[None]
    trigger: PretendTriggerDev

    async def call(self, number: int = 1) -> httpx.Response:
        return await self.front.post("/api/v1/tasks/hello/trigger", json={"payload": {"n": number}}, headers=KEY)

    async def ready(self) -> bool:
        return (await self.operator.get("/readyz")).status_code == 200


class Place:
    """A machine on which the service starts and stops."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.limit = "1m"

    @asynccontextmanager
    async def process(self, *, key: str | None = None, loops: bool = False) -> AsyncIterator[Process]:
        async with (
            PretendTriggerDev(secret_keys=[PRODUCER, WORKER]) as trigger,
            Served(PretendInngest().app) as inngest,
        ):
            trigger.task("hello", _greet)
            text = CATALOGUE.format(
                trigger=trigger.url, inngest=inngest.url, app="http://127.0.0.1:9", producer=PRODUCER, worker=WORKER
            )
            text += f"limits: {{last_known: {self.limit}}}\n" + TARGETS.format()
            front, control = free_port(), free_port()
            database = Database(self.url, "", (lambda: master(key)) if key else None)
            service = Service(
                parse(text, "shadow.yaml", {}),
                database,
                front=Listener("127.0.0.1", front),
                control=Listener("127.0.0.1", control),
                loops=loops,
                data=self.folder,
                drain=timedelta(seconds=1),
            )
            stop = asyncio.Event()
            running = asyncio.create_task(service.run(stop))
            try:
                async with (
                    httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as producer,
                    httpx.AsyncClient(base_url=f"http://127.0.0.1:{control}", timeout=30) as operator,
                ):
                    await until(lambda: _listens(operator, running))
                    yield Process(producer, operator, running, trigger)
            finally:
                stop.set()
                await asyncio.gather(running, return_exceptions=True)
                await database.close()


async def _greet(payload: object, context: object) -> object:
    return payload


async def _listens(operator: httpx.AsyncClient, running: asyncio.Task[None]) -> bool:
    if running.done():
        running.result()
    try:
        return (await operator.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    return Place(database_url, tmp_path)


async def events(database: Database) -> list[tuple[object, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute("SELECT phase, authority FROM events")
        return await cursor.fetchall()


async def test_it_goes_on_deciding_by_what_was_known_and_is_whole_once_the_database_is_there(
    place: Place, database: Database, postgres_url: str
) -> None:
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(
            "INSERT INTO phases (task, phase, previous, effective_at, version)"
            " VALUES ('hello', 'shadow', 'legacy', now() - interval '1 day', 1)"
        )
    async with place.process() as before:
        await until(before.ready)
    async with outage(postgres_url), place.process() as process:
        answer = await process.call()
        assert answer.status_code == 200, answer.text
        assert [run.id for run in process.trigger.runs()] == [answer.json()["id"]]
        # Whose a call of a run is can't be known; nothing of it is let through.
        closed = await process.front.post("/egress/books/v1/transfers", json={"requestId": "wd_1"})
        assert (closed.status_code, closed.headers["retry-after"]) == (503, "2")
        assert (await process.operator.get("/readyz")).status_code == 503
        assert (await process.operator.get("/healthz")).status_code == 200
        assert (await process.front.get("/healthz")).status_code == 200
    async with place.process() as after:

        async def stored() -> bool:
            try:
                return await events(database) == [("shadow", "legacy")]
            except psycopg.OperationalError:  # this pool's connection went in the outage
                return False

        await until(stored)
        assert (await after.front.post("/egress/books/v1/transfers", json={})).status_code == 401


async def test_it_is_whole_by_itself_when_the_database_comes_back(place: Place, postgres_url: str) -> None:
    async with place.process() as before:
        await until(before.ready)
    async with outage(postgres_url):
        starting = place.process(loops=True)
        process = await starting.__aenter__()
        assert (await process.call()).status_code == 200
    try:
        await until(process.ready)
        assert (await process.call(2)).status_code == 200
        assert (await process.front.post("/egress/books/v1/transfers", json={})).status_code == 401
    finally:
        await starting.__aexit__(None, None, None)


async def test_it_goes_on_when_the_database_goes_away_again_while_its_schema_is_looked_at(
    place: Place, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.process() as before:
        await until(before.ready)
    urls = ["postgresql://127.0.0.1:9/nothing"]

    def once_away(url: str) -> None:
        migrate(urls.pop() if urls else url)

    async with outage(postgres_url):
        starting = place.process()
        process = await starting.__aenter__()
        monkeypatch.setattr("shadow.store.database.migrate", once_away)
    try:
        await until(process.ready)
        assert urls == []
        assert (await process.call()).status_code == 200
    finally:
        await starting.__aexit__(None, None, None)


@pytest.mark.parametrize("why", ["nothing was ever known", "turned off"])
async def test_it_decides_nothing_that_it_can_t_know(place: Place, postgres_url: str, why: str) -> None:
    if why == "turned off":
        place.limit = "0"
        async with place.process() as before:
            await until(before.ready)
    async with outage(postgres_url):
        starting = place.process()
        process = await starting.__aenter__()
        for path in ("/api/v1/tasks/hello/trigger", "/e/producer-key", "/webhooks/github", "/healthz"):
            answer = await process.front.post(path, json={"payload": {}}, headers=KEY)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert answer.json()["error"].startswith("the database has been away since the process started: ")
        assert process.trigger.runs() == []
    try:
        await until(process.ready)
        assert (await process.call()).status_code == 200
    finally:
        await starting.__aexit__(None, None, None)


async def test_a_process_whose_key_turns_out_to_be_another_one_ends(
    place: Place, database: Database, postgres_url: str
) -> None:
    await database.vault.ready([None])
    with pytest.raises(WrongSealingKey):
        async with outage(postgres_url):
            starting = place.process(key=new_text())
            process = await starting.__aenter__()
            assert (await process.call()).status_code == 503
        await asyncio.wait_for(asyncio.shield(process.running), 30)
    await starting.__aexit__(None, None, None)


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STANDINGS = {
    "a": Standing(Phase.LIVE, Phase.RAMP, NOW - timedelta(days=1), reverse=True),
    "b": Standing(Phase.SHADOW, Phase.LEGACY, NOW),
}
HERE = "postgresql://shadow:one@db.example:5432/shadow"


def kept(folder: Path, database: Database, url: str = HERE, most: int = 60) -> LastKnown:
    return LastKnown(folder, url, database.vault, timedelta(seconds=most))


class TestWhatWasLastKnown:
    def test_is_what_was_read(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        found = kept(tmp_path, database).found(NOW + timedelta(seconds=59))
        assert (found.standings, found.read_at, found.looked_at) == (STANDINGS, NOW, NOW)

    def test_says_nothing_in_clear(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        assert all(b"live" not in path.read_bytes() for path in tmp_path.iterdir())

    def test_counts_from_the_last_look_whether_the_database_was_there_or_not(
        self, database: Database, tmp_path: Path
    ) -> None:
        one = kept(tmp_path, database)
        one.keep(STANDINGS, NOW)
        one.look(NOW + timedelta(hours=2))
        assert one.found(NOW + timedelta(hours=2, seconds=60)).read_at == NOW
        with pytest.raises(NotKnown, match="for 61 s"):
            one.found(NOW + timedelta(hours=2, seconds=61))

    def test_the_newest_reading_of_a_shared_folder_stays(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        kept(tmp_path, database).keep({}, NOW - timedelta(seconds=1))
        assert kept(tmp_path, database).found(NOW).standings == STANDINGS

    @pytest.mark.parametrize(
        ("url", "same"),
        [
            ("postgresql://other:two@db.example:5432/shadow", True),  # a password that was rotated
            ("postgresql://shadow:one@db.example:5432/another", False),
        ],
    )
    def test_is_of_one_database(self, database: Database, tmp_path: Path, url: str, same: bool) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        if same:
            assert kept(tmp_path, database, url).found(NOW).standings == STANDINGS
        else:
            with pytest.raises(NotKnown, match="another database"):
                kept(tmp_path, database, url).found(NOW)

    def test_is_nothing_after_the_clock_was_set_back(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        with pytest.raises(NotKnown, match="set back"):
            kept(tmp_path, database).found(NOW - timedelta(minutes=10))

    def test_is_nothing_under_another_master_key(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        other = Database(HERE, "", lambda: master(new_text()))
        with pytest.raises(NotKnown, match="another master key"):
            kept(tmp_path, other).found(NOW)

    def test_is_what_was_read_last_where_the_clock_was_ahead_before(self, database: Database, tmp_path: Path) -> None:
        one = kept(tmp_path, database)
        one.keep(STANDINGS, NOW + timedelta(hours=1))
        one.keep({}, NOW)
        assert kept(tmp_path, database).found(NOW).standings == {}

    def test_is_nothing_where_the_disk_did_not_take_what_was_read_since(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = kept(tmp_path, database)
        one.keep(STANDINGS, NOW)
        with monkeypatch.context() as full:
            full.setattr("shadow.cutover.last_known.os.fsync", _full)
            with pytest.raises(OSError, match="No space"):
                one.keep({}, NOW + timedelta(seconds=1))
        one.look(NOW + timedelta(seconds=2))  # the database is away now
        with pytest.raises(NotKnown, match="knew others"):
            kept(tmp_path, database).found(NOW + timedelta(seconds=3))
        one.keep({}, NOW + timedelta(seconds=4))
        assert kept(tmp_path, database).found(NOW + timedelta(seconds=5)).standings == {}

    def test_is_nothing_where_an_older_copy_was_put_in_its_place(self, database: Database, tmp_path: Path) -> None:
        one = kept(tmp_path, database)
        one.keep(STANDINGS, NOW)
        older = (tmp_path / READ).read_bytes()
        one.keep({}, NOW + timedelta(seconds=1))
        (tmp_path / READ).write_bytes(older)
        with pytest.raises(NotKnown, match="knew others"):
            kept(tmp_path, database).found(NOW + timedelta(seconds=2))

    def test_is_nothing_where_a_process_on_another_database_looked(self, database: Database, tmp_path: Path) -> None:
        other = kept(tmp_path, database, "postgresql://shadow@db.example/another")
        other.keep(STANDINGS, NOW)
        kept(tmp_path, database).keep(STANDINGS, NOW)
        other.keep(STANDINGS, NOW + timedelta(hours=1))
        with pytest.raises(NotKnown, match="knew others"):
            kept(tmp_path, database).found(NOW + timedelta(hours=1))

    def test_goes_on_to_hold_while_who_started_from_it_looks(self, database: Database, tmp_path: Path) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        started = kept(tmp_path, database)
        started.found(NOW)
        started.look(NOW + timedelta(hours=1))
        assert kept(tmp_path, database).found(NOW + timedelta(hours=1)).standings == STANDINGS

    @pytest.mark.parametrize("name", [READ, LOOKED])
    @pytest.mark.parametrize("content", ["empty", "torn", "flipped", "another's", "of another version"])
    def test_is_nothing_where_a_file_is_damaged_and_is_whole_with_the_next_reading(
        self, database: Database, tmp_path: Path, name: str, content: str
    ) -> None:
        kept(tmp_path, database).keep(STANDINGS, NOW)
        path, other = tmp_path / name, tmp_path / (LOOKED if name == READ else READ)
        whole = path.read_bytes()
        path.write_bytes(
            {
                "empty": b"",
                "torn": whole[:5],
                "flipped": whole[:-1] + bytes((whole[-1] ^ 1,)),
                "another's": other.read_bytes(),
                "of another version": database.vault.lock(b'{"at": 1, "rows": [[]]}'),
            }[content]
        )
        with pytest.raises(NotKnown):
            kept(tmp_path, database).found(NOW)
        kept(tmp_path, database).keep({}, NOW + timedelta(seconds=1))
        assert kept(tmp_path, database).found(NOW + timedelta(seconds=1)).standings == {}


def _full(_file: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
