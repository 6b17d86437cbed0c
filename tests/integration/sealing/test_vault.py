"""Keys of tenants: made once, shared by all processes, forgotten for good."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from uuid import UUID

import pytest

from shadow.model.ids import new_id
from shadow.sealing.master import MasterKey, WrongSealingKey
from shadow.sealing.vault import Forgotten, UnknownKey, Vault
from shadow.store.database import Database, Work

SOON = timedelta(milliseconds=50)


async def sealed(vault: Vault, tenant: str | None, content: bytes = b"secret") -> tuple[UUID, str, bytes]:
    await vault.ready([tenant])
    body = new_id()
    return body, "data", vault.seal(tenant, body.bytes, "data", content)


async def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    async with database.connection(Work.CONTROL) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_what_one_process_seals_another_opens(database: Database) -> None:
    bodies = [await sealed(database.vault, tenant, content) for tenant, content in (("acme", b"a"), (None, b"n" * 999))]
    other = Database(database.url)
    try:
        assert await other.vault.open(bodies) == [b"a", b"n" * 999]
    finally:
        await other.close()


async def test_processes_that_need_a_key_at_once_get_the_same(database: Database) -> None:
    others = [Database(database.url) for _ in range(6)]
    try:
        await asyncio.gather(*(other.vault.ready(["acme", "shop", None]) for other in others))
        assert len({other.vault.key("acme").id for other in others}) == 1
        assert len(await rows(database, "SELECT FROM sealing_keys")) == 3
    finally:
        for other in others:
            await other.close()


async def test_a_key_that_is_known_costs_no_round_trip(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = database.vault
    await vault.start()
    await vault.ready(["acme"])

    def away(work: Work) -> None:
        raise AssertionError(f"the database was asked for {work}")

    monkeypatch.setattr(database, "connection", away)
    await vault.ready(["acme", None])
    assert await vault.open([await sealed(vault, "acme")]) == [b"secret"]
    monkeypatch.undo()
    await vault.stop()


async def test_keys_are_not_in_the_database_in_clear(database: Database) -> None:
    await database.vault.ready(["acme"])
    secret = database.vault.key("acme")._secret
    ((wrapped,),) = await rows(database, "SELECT wrapped FROM sealing_keys")
    assert isinstance(wrapped, bytes)
    assert secret not in wrapped


async def test_another_master_key_is_refused_at_start(database: Database) -> None:
    await database.vault.ready([None])
    wrong = Database(database.url, sealing_key=lambda: MasterKey(b"w" * 32))
    try:
        with pytest.raises(WrongSealingKey, match="same SHADOW_SEALING_KEY"):
            await wrong.vault.start()
    finally:
        await wrong.close()


async def test_a_forgotten_tenant_can_not_be_read_and_others_can(database: Database) -> None:
    gone, kept = await sealed(database.vault, "acme"), await sealed(database.vault, "shop")
    assert await database.vault.forget("acme", lead=SOON)
    opened, still = await database.vault.open([gone, kept])
    assert isinstance(opened, Forgotten)
    assert "acme" in str(opened)
    assert still == b"secret"
    assert await rows(database, "SELECT tenant FROM sealing_keys WHERE wrapped IS NULL") == [("acme",)]


async def test_what_comes_afterwards_has_a_new_key_and_other_hashes(database: Database) -> None:
    await database.vault.ready(["acme"])
    before = database.vault.key("acme")
    await database.vault.forget("acme", lead=SOON)
    body = await sealed(database.vault, "acme", b"anew")
    assert await database.vault.open([body]) == [b"anew"]
    assert database.vault.key("acme").evidence != before.evidence
    # and that can be forgotten too
    assert await database.vault.forget("acme", lead=SOON)
    assert isinstance((await database.vault.open([body]))[0], Forgotten)


async def test_other_processes_stop_using_the_key_before_it_is_destroyed(database: Database) -> None:
    other = Database(database.url)
    try:
        await other.vault.start()
        body = await sealed(other.vault, "acme")
        old = other.vault.key("acme").id
        forgetting = asyncio.create_task(database.vault.forget("acme", lead=timedelta(seconds=1)))
        async with asyncio.timeout(5):
            while other.vault._of_tenant.get("acme") is not None:  # noqa: ASYNC110 - told by the database
                await asyncio.sleep(0.01)
        # told, but not destroyed yet: what is under way is still delivered
        assert await other.vault.open([body]) == [b"secret"]
        fresh = await sealed(other.vault, "acme", b"fresh")
        assert other.vault.key("acme").id != old
        await forgetting
        async with asyncio.timeout(5):
            while isinstance((await other.vault.open([body]))[0], bytes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await other.vault.open([fresh]) == [b"fresh"]
    finally:
        await other.vault.stop()
        await other.close()


async def test_forgetting_twice_or_nobody_says_so(database: Database) -> None:
    assert not await database.vault.forget("nobody", lead=SOON)
    await sealed(database.vault, "acme")
    assert await database.vault.forget("acme", lead=SOON)
    assert not await database.vault.forget("acme", lead=SOON)


async def test_a_key_whose_forgetting_was_cut_short_is_destroyed_later(database: Database) -> None:
    body = await sealed(database.vault, "acme")
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute("UPDATE sealing_keys SET forgotten_at = now() - interval '1 s' WHERE tenant = 'acme'")
    assert await database.vault.destroy_forgotten() == 1
    other = Database(database.url)
    try:
        assert isinstance((await other.vault.open([body]))[0], Forgotten)
    finally:
        await other.close()


async def test_a_key_that_is_missing_without_having_been_forgotten_is_an_error(database: Database) -> None:
    body = await sealed(database.vault, "acme")
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute("DELETE FROM sealing_keys")
    other = Database(database.url)
    try:
        with pytest.raises(UnknownKey):
            await other.vault.open([body])
    finally:
        await other.close()


async def test_a_new_master_key_opens_what_is_there(database: Database) -> None:
    body = await sealed(database.vault, "acme")
    fresh = MasterKey(b"f" * 32)
    assert await database.vault.rewrap(fresh) == 1
    renewed = Database(database.url, sealing_key=lambda: fresh)
    try:
        assert await renewed.vault.open([body]) == [b"secret"]
    finally:
        await renewed.close()


async def test_what_waits_on_disk_is_locked_without_a_database(database: Database) -> None:
    away = Database("postgresql://127.0.0.1:1/none")
    locked = away.vault.lock(b"a call with a secret")
    assert b"secret" not in locked
    assert database.vault.unlock(locked) == b"a call with a secret"
    assert database.vault.unlock_line(base64.b64encode(locked) + b"\n") == b"a call with a secret"
    with pytest.raises(ValueError, match=r"base64|padding|[Oo]nly"):
        database.vault.unlock_line(b"no such line")
    with pytest.raises(WrongSealingKey):
        Vault(database, MasterKey(b"w" * 32)).unlock(locked)
