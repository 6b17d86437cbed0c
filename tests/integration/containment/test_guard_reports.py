"""What guards report is kept, and fingerprints are taken with one key for all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shadow.catalogue.model import Side
from shadow.containment.fingerprints import KEY_BYTES, fingerprint, fingerprint_key
from shadow.containment.guard_reports import GuardReport, newest_report, reports_since, store_report
from shadow.store.database import Database, Work


def report(version: str | None = "v1", *, side: Side = Side.CANDIDATE, denies: bool = True) -> GuardReport:
    return GuardReport(side, version, "gateway.test", denies, ("inngest.test",), frozenset({"aa", "bb"}))


async def test_everybody_gets_the_same_key(database: Database) -> None:
    keys = set()
    for _ in range(2):
        async with database.connection(Work.CONTROL) as connection:
            keys.add(await fingerprint_key(connection))
    assert [len(key) for key in keys] == [KEY_BYTES]


def test_a_fingerprint_is_what_any_other_language_makes_of_it() -> None:
    assert (
        fingerprint(b"key", "The quick brown fox jumps over the lazy dog")
        == "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"  # the well-known example
    )


async def test_the_newest_report_counts(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        assert await newest_report(connection, Side.CANDIDATE, "pay") is None
    for told in (report("v1"), report("v2", denies=False), report("v9", side=Side.LEGACY)):
        async with database.connection(Work.CONTROL) as connection:
            await store_report(connection, told)
    async with database.connection(Work.CONTROL) as connection:
        newest = await newest_report(connection, Side.CANDIDATE, "pay")
        first = await newest_report(connection, Side.CANDIDATE, "pay", "v1")
        assert newest is not None
        assert first is not None
        assert (newest.version, newest.denies) == ("v2", False)
        assert (first.version, first.allowed) == ("v1", ("inngest.test",))
        assert first.fingerprints == {"aa", "bb"}
        since = await reports_since(connection, Side.CANDIDATE, "pay", datetime.now(UTC) - timedelta(minutes=1))
        assert [one.version for one in since] == ["v1", "v2"]


async def test_a_worker_that_names_its_app_reports_for_that_apps_tasks_alone(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        await store_report(connection, replace(report("v1"), tasks=frozenset({"pay"})))
        await store_report(connection, replace(report("v2"), tasks=frozenset({"welcome"})))
        newest = await newest_report(connection, Side.CANDIDATE, "pay")
        assert newest is not None
        assert (newest.version, newest.tasks) == ("v1", frozenset({"pay"}))
        since = await reports_since(connection, Side.CANDIDATE, "welcome", datetime.now(UTC) - timedelta(minutes=1))
        assert [one.version for one in since] == ["v2"]


@pytest.mark.parametrize("secret", ["ä", "", "\ud800"])
def test_any_text_has_a_fingerprint(secret: str) -> None:
    assert len(fingerprint(b"key", secret)) == 64
