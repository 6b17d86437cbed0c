"""The spool: on disk before anybody is told, adopted when its process has died, bounded, and poison set aside."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from shadow.catalogue.model import Side
from shadow.effects.record import AttributedBy
from shadow.egress.calls import Answered, Call, Item
from shadow.egress.disposition import Disposition
from shadow.sealing.master import LENGTH, MasterKey
from shadow.sealing.vault import Vault
from shadow.spool.encoding import decode, encode
from shadow.spool.file import SpoolFile, Stored
from shadow.spool.replay import SpoolReplay
from shadow.spool.spool import Kind, NotSpooled, Spool, SpoolFull, _Item
from shadow.store.database import Connection, Database

CALL = Call(
    id=uuid4(),
    side=Side.LEGACY,
    run_id=uuid4(),
    platform_run_id="run_1",
    task="payout",
    sequence=1,
    attempt=2,
    kind="http",
    target="pay",
    operation="POST /v1/transfers",
    identity="wd_1",
    idempotency_key=None,
    occurred_at=datetime.now(UTC),
    attributed_by=AttributedBy.HEADERS,
    disposition=Disposition.FORWARD,
    writes=True,
    digest=b"\x00\xff",
    document=b'{"a":1}',
    incomparable=(uuid4(), "why"),
    traits=b"{}",
    suspects=(uuid4(), uuid4()),
)
ANSWERED = Answered(
    id=CALL.id,
    side=Side.LEGACY,
    run_id=None,
    platform_run_id=None,
    status=201,
    answered_at=datetime.now(UTC),
    answer=b"\x1f\x8b",
    answer_headers=b"[]",
)


@pytest.mark.parametrize("item", [CALL, ANSWERED])
def test_an_item_reads_as_it_was_written(item: Item) -> None:
    assert decode(type(item), encode(item)) == item


class Away(Database):
    """A database that is there or not, and is never asked anything."""

    present = True

    @asynccontextmanager
    async def direct(self) -> AsyncIterator[Connection]:
        if not self.present:
            raise psycopg.OperationalError
        yield None  # type: ignore[misc]  # nobody looks at it


class World:
    """A spool whose items land in a list."""

    def __init__(self, folder: Path, *, most_bytes: int = 1 << 20) -> None:
        self.database = Away("postgresql://nobody")
        self.spool = Spool(folder, Vault(self.database, MasterKey(b"k" * LENGTH)), most_bytes=most_bytes)
        self.replay = SpoolReplay(self.spool, self.database)
        self.written: list[bytes] = []
        self.error: Exception | None = None
        for kind in (Kind.CALL, Kind.EVENTS):
            self.spool.writers[kind] = self._write

    async def _write(self, bodies: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        if b"poison" in bodies:
            raise ValueError("it is poison")
        self.written += bodies


@asynccontextmanager
async def spooling(folder: Path, *, most_bytes: int = 1 << 20) -> AsyncIterator[World]:
    world = World(folder, most_bytes=most_bytes)
    try:
        yield world
    finally:
        await world.spool.stop()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sqlite"))


def kept(folder: Path) -> list[Path]:
    """Files of the folder, without logs that go with one."""
    return [path for path in everything(folder) if not path.name.endswith("-wal")]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_what_is_spooled_is_written_down_in_its_order_and_its_file_goes(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        for number in range(5):
            await world.spool.append(Kind.CALL, b"%d" % number)
        (path,) = files(tmp_path)
        assert path.stat().st_mode & 0o077 == 0
        assert await world.replay.once() == 5
        assert world.written == [b"0", b"1", b"2", b"3", b"4"]
        await world.replay.once()
        assert everything(tmp_path) == []


async def test_what_lies_on_the_disk_is_sealed(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"a secret of somebody")
        assert not any(b"a secret" in path.read_bytes() for path in everything(tmp_path))


async def test_kinds_are_written_down_in_their_order_whatever_came_first(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"what follows")
        await world.spool.append(Kind.EVENTS, b"the event")
        await world.replay.once()
        assert world.written == [b"the event", b"what follows"]


async def test_what_follows_an_event_waits_for_it_also_when_both_come_in_the_middle(tmp_path: Path) -> None:
    """Else it would find no event, and be taken for that of a duplicate."""
    async with spooling(tmp_path) as world:

        async def follows(bodies: Sequence[bytes]) -> None:
            if world.written == [b"an event"]:
                await world.spool.append(Kind.EVENTS, b"another event")
                await world.spool.append(Kind.CALL, b"what follows the other")
            world.written += bodies

        world.spool.writers[Kind.CALL] = follows
        await world.spool.append(Kind.EVENTS, b"an event")
        await world.spool.append(Kind.CALL, b"what follows")
        await world.replay.once()
        await world.replay.once()
        assert world.written == [b"an event", b"what follows", b"another event", b"what follows the other"]


async def test_what_follows_an_event_waits_for_it_also_when_it_is_spooled_anew(tmp_path: Path) -> None:
    """Events of a batch that can't be stored whole come again one by one, in this process's own file."""
    async with spooling(tmp_path) as dead:
        await dead.spool.append(Kind.EVENTS, b"a batch")
        await dead.spool.append(Kind.CALL, b"what follows")
    async with spooling(tmp_path) as world:

        async def apart(bodies: Sequence[bytes]) -> None:
            if list(bodies) == [b"a batch"]:
                await world.spool.append(Kind.EVENTS, b"an event")
                return
            world.written += bodies

        world.spool.writers[Kind.EVENTS] = apart
        await world.replay.once()
        await world.replay.once()
        assert world.written == [b"an event", b"what follows"]


async def test_while_the_database_is_away_everything_stays(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"1")
        world.database.present = False
        with pytest.raises(psycopg.OperationalError):
            await world.replay.once()
        world.database.present, world.error = True, psycopg.errors.ReadOnlySqlTransaction()
        with pytest.raises(psycopg.Error):
            await world.replay.once()
        world.error = None
        assert await world.replay.once() == 1
        assert world.written == [b"1"]


async def test_what_the_database_will_never_take_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        for body in (b"1", b"poison", b"2", b"3"):
            await world.spool.append(Kind.CALL, body)
        await world.replay.once()
        assert world.written == [b"1", b"2", b"3"]
        assert world.spool.standing[::2] == (0, 1)
        await world.replay.once()
    assert len(files(tmp_path)) == 1  # it stays, to be looked at
    async with spooling(tmp_path) as again:
        await again.replay.once()  # by what runs after the next start, it is tried once more
        assert again.spool.standing[::2] == (0, 1)


async def test_what_waits_is_told_without_what_nobody_can_read(tmp_path: Path) -> None:
    """A process that starts looks at it: it must start, whatever an item is."""
    async with spooling(tmp_path) as dead:
        for body in (b"no JSON", b"[1]", b'{"of": "another version"}', encode(ANSWERED), b"7"):
            await dead.spool.append(Kind.ANSWERED, body)
        dead.spool._vault = Vault(dead.database, MasterKey(b"o" * LENGTH))
        await dead.spool.append(Kind.ANSWERED, encode(ANSWERED))
    async with spooling(tmp_path) as world:
        assert await asyncio.to_thread(world.spool.waiting, Kind.ANSWERED, Answered) == [ANSWERED]


async def test_a_damaged_file_keeps_neither_a_start_nor_the_others_up(tmp_path: Path) -> None:
    for body in (b"lost", b"whole"):
        async with spooling(tmp_path) as dead:
            await dead.spool.append(Kind.CALL, body)
            own = dead.spool._own
            assert own is not None
            if body == b"lost":
                lost = own.path
    content = bytearray(lost.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    lost.write_bytes(content)
    async with spooling(tmp_path) as world:
        assert await asyncio.to_thread(world.spool.waiting, Kind.ANSWERED, Answered) == []
        await world.replay.once()
        assert world.written == [b"whole"]
        await world.spool.append(Kind.CALL, b"another")
        await world.replay.once()
        assert world.written == [b"whole", b"another"]
        assert world.spool.damaged == 1
    assert kept(tmp_path) == [lost.with_suffix(".damaged")]  # it stays, to be looked at


def damage(path: Path, text: bytes) -> None:
    """Break the page on which that stands, and no other."""
    content = bytearray(path.read_bytes())
    page = content.index(text) // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)


async def left_behind(folder: Path, kind: Kind, bodies: Sequence[bytes]) -> Path:
    """The file of a process that is no more, with these items."""
    async with spooling(folder) as dead:
        for body in bodies:
            await dead.spool.append(kind, body)
        own = dead.spool._own
        assert own is not None
        return own.path


@pytest.mark.parametrize("kind", [Kind.EVENTS, Kind.CALL])
async def test_of_a_file_with_a_damaged_page_what_can_be_read_goes_on_and_so_do_the_others(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vault, "lock", lambda _vault, body: body)
    monkeypatch.setattr(Vault, "unlock", lambda _vault, body: body)
    bodies = [b"%03d" % number + b"." * 500 for number in range(60)]
    hurt = await left_behind(tmp_path, kind, bodies)
    damage(hurt, b"030...")
    await left_behind(tmp_path, kind, [b"another's"])
    async with spooling(tmp_path) as world:
        await world.spool.append(kind, b"of this one")
        for _ in range(2):
            await world.replay.once()
        assert {b"another's", b"of this one"} <= set(world.written)
        lost = [body for body in bodies if body not in world.written]
        assert 0 < len(lost) < 10, "one page's"
        assert [body for body in world.written if body in bodies] == [body for body in bodies if body not in lost]
        assert world.spool.damaged == 1
        assert (world.spool.standing.items, files(tmp_path)) == (0, [])
    assert kept(tmp_path) == [hurt.with_suffix(".damaged")]
    async with spooling(tmp_path) as world:  # it is counted, and not read again, after a restart
        await world.replay.once()
        assert (world.written, world.spool.damaged) == ([], 1)


async def test_a_file_that_breaks_while_its_process_writes_to_it_is_followed_by_another(tmp_path: Path) -> None:
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"1")
        own = world.spool._own
        assert own is not None
        own._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        own._connection.execute("PRAGMA cache_size = 0")
        content = bytearray(own.path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        own.path.write_bytes(content)
        own._connection.execute("PRAGMA shrink_memory")
        await world.spool.append(Kind.CALL, b"2")
        await world.replay.once()
        assert world.written == [b"2"]
        assert world.spool.damaged == 1


async def test_a_damaged_count_of_items_keeps_nobody_looking_for_ever(tmp_path: Path) -> None:
    path = await left_behind(tmp_path, Kind.CALL, [b"1", b"2"])
    file = SpoolFile.adopt(path)
    assert file is not None
    file._connection.execute("UPDATE sqlite_sequence SET seq = 1 << 60")
    assert len(list(file.readable())) == 2
    file.close(remove=False)


async def test_a_file_whose_disk_does_not_answer_for_a_while_is_left_for_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_behind(tmp_path, Kind.CALL, [b"late"])
    await left_behind(tmp_path, Kind.CALL, [b"in time"])
    oldest = SpoolFile.oldest
    failed: list[SpoolFile] = []

    def once(file: SpoolFile, *given: Any, **named: Any) -> list[Stored]:
        if not failed:
            failed.append(file)
            raise sqlite3.OperationalError("disk I/O error")
        return oldest(file, *given, **named)

    monkeypatch.setattr(SpoolFile, "oldest", once)
    async with spooling(tmp_path) as world:
        await world.replay.once()
        assert len(world.written) == 1
        await world.replay.once()
        assert sorted(world.written) == [b"in time", b"late"]
        assert world.spool.damaged == 0


async def test_the_spool_takes_no_more_than_it_may(tmp_path: Path) -> None:
    async with spooling(tmp_path, most_bytes=2_000) as world:
        with pytest.raises(SpoolFull):
            for _ in range(100):
                await world.spool.append(Kind.CALL, b"x" * 500)
        assert world.spool.standing.items == 3
        await world.replay.once()
        await world.spool.append(Kind.CALL, b"there is room again")


async def test_a_disk_that_takes_nothing_is_told_to_whoever_brings_an_item(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    async with spooling(blocked / "spool") as world:
        with pytest.raises(NotSpooled):
            await world.spool.append(Kind.CALL, b"1")
        blocked.unlink()
        await world.spool.append(Kind.CALL, b"1")
        assert await world.replay.once() == 1


async def test_a_disk_that_is_too_full_to_delete_on_is_emptied_by_removing_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spooling(tmp_path) as world:
        for body in (b"1", b"poison", b"2"):
            await world.spool.append(Kind.CALL, body)
        own = world.spool._own
        assert own is not None
        own._connection.execute("PRAGMA query_only = on").close()
        await world.replay.once()
        await world.replay.once()
        assert world.written == [b"1", b"2"]
        assert world.spool.standing[::2] == (0, 1)  # what was set aside keeps the file
        assert len(files(tmp_path)) == 1
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"3")
        own = world.spool._own
        assert own is not None
        own._connection.execute("PRAGMA query_only = on").close()
        await world.replay.once()
        await world.replay.once()
        assert len(files(tmp_path)) == 1  # its own is gone


async def test_what_is_appended_together_shares_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with spooling(tmp_path) as world:
        batches: list[int] = []
        add = world.spool._add

        def counted(items: Sequence[_Item]) -> None:
            batches.append(len(items))
            add(items)

        monkeypatch.setattr(world.spool, "_add", counted)
        await asyncio.gather(*(world.spool.append(Kind.CALL, b"%d" % number) for number in range(100)))
        assert sum(batches) == 100
        assert len(batches) <= 3


def another_process(folder: str, pid: str) -> None:
    """Spool as a process of that number, and wait to be killed."""
    os.getpid = lambda: int(pid)

    async def main() -> None:
        async with spooling(Path(folder)) as world:
            await world.spool.append(Kind.CALL, b"left behind")
            print("spooled", flush=True)
            sys.stdin.read()

    asyncio.run(main())


async def test_what_a_killed_process_left_is_adopted_whatever_its_number(tmp_path: Path) -> None:
    """In a container every process is number 1: the one that died, and the one that comes after it."""
    command = [sys.executable, "-c", f"from {__name__} import *; another_process({str(tmp_path)!r}, '{os.getpid()}')"]
    async with spooling(tmp_path) as world:
        await world.spool.append(Kind.CALL, b"own")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
            assert other.stdout is not None
            assert other.stdout.readline() == b"spooled\n"
            await world.replay.once()
            assert world.written == [b"own"]  # the other is still at it
            other.kill()
        await world.replay.once()
        await world.replay.once()
        assert world.written == [b"own", b"left behind"]
        assert everything(tmp_path) == []
