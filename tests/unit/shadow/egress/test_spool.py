"""Spooled lines say all that was to be written down."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from shadow.catalogue.model import Side
from shadow.effects.record import AttributedBy
from shadow.egress.calls import Answered, Call, Item
from shadow.egress.disposition import Disposition
from shadow.egress.spool import Spool, decode, encode, read
from shadow.sealing.master import LENGTH, MasterKey
from shadow.sealing.vault import Vault
from shadow.store.database import Database

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
def test_a_line_reads_as_it_was_written(item: Item) -> None:
    assert decode(encode(item)) == item


async def test_a_call_is_read_before_its_answer_and_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    vault = Vault(Database("postgresql://nobody"), MasterKey(b"k" * LENGTH))
    spool = Spool(tmp_path, vault)
    await spool.append(ANSWERED)
    await spool.append(CALL)
    assert spool.complete() == []  # it may still grow
    await spool.close_part()
    (path,) = spool.complete()
    assert path.stat().st_mode & 0o077 == 0
    assert b"wd_1" not in base64.b64decode(path.read_bytes().splitlines()[1])
    torn = spool.sealed(CALL)[:40]
    path.write_bytes(path.read_bytes() + torn)
    items, bad = read(path, vault)
    assert items == [CALL, ANSWERED]
    assert bad == [torn]


def spool_in(folder: Path) -> Spool:
    return Spool(folder, Vault(Database("postgresql://nobody"), MasterKey(b"k" * LENGTH)))


async def test_files_are_replayed_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    written = []
    for _ in range(12):
        await spool.append(CALL)
        path = spool._path
        await spool.close_part()
        written.append(path.with_suffix(""))
    assert spool.complete() == written


def another_process(folder: str, pid: str) -> None:
    """Spool as a process of that number, and wait to be killed."""
    os.getpid = lambda: int(pid)
    spool = spool_in(Path(folder))
    asyncio.run(spool.append(CALL))
    print("spooled", flush=True)
    sys.stdin.read()


async def test_what_a_killed_process_left_open_is_adopted_whatever_its_number(tmp_path: Path) -> None:
    """In a container every process is number 1: the one that died, and the one that comes after it."""
    spool = spool_in(tmp_path)
    await spool.append(ANSWERED)
    command = [sys.executable, "-c", f"from {__name__} import *; another_process({str(tmp_path)!r}, '{os.getpid()}')"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
        assert other.stdout is not None
        assert other.stdout.readline() == b"spooled\n"
        spool.adopt()
        assert spool.complete() == []  # both are being written
        other.kill()
    spool.adopt()
    (left,) = spool.complete()
    assert [type(item) for item in read(left, spool._vault)[0]] == [Call]
    await spool.append(CALL)
    await spool.close_part()
    assert [len(read(path, spool._vault)[0]) for path in spool.complete() if path != left] == [2]
