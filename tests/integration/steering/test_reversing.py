"""Whether legacy may run without authority beside a candidate that has it, as far as its runs show."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.model.ids import new_id
from shadow.steering.reversing import why_not_reversed
from shadow.store.database import Database, Work
from tests.unit.shadow.catalogues import TEXT

_PAY = "    event: payout/approved\n"
REVERSE = "    cutover: {reverse: true}\n"


def catalogue(more: str = REVERSE) -> ResolvedCatalogue:
    return parse(TEXT.replace(_PAY, _PAY + more), "small.yaml", {})


class Legacy:
    """Legacy's runs, and what they were seen to do."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def execute(self, query: str, *values: Any) -> None:
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(query.encode(), values)

    async def ran(self, task: str, *effects: tuple[str, str, str, str]) -> None:
        """A run with authority, and its effects: (kind, operation, seen by, attributed by)."""
        run = new_id()
        await self.execute(
            "INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state)"
            " VALUES (%s, %s, 'legacy', 'trigger', %s, 'real', 'finished')",
            run,
            task,
            f"run_{run.hex[-12:]}",
        )
        for sequence, (kind, operation, seen_by, attributed_by) in enumerate(effects):
            await self.execute(
                "INSERT INTO effects (id, run_id, side, platform_run_id, sequence, kind, target, operation, seen_by,"
                " attributed_by)"
                " VALUES (%s, %s, 'legacy', %s, %s, %s, 'bank', %s, %s, %s)",
                new_id(),
                run,
                f"run_{run.hex[-12:]}",
                sequence,
                kind,
                operation,
                seen_by,
                attributed_by,
            )

    async def why(self, known: ResolvedCatalogue | None = None) -> str | None:
        known = known or catalogue()
        async with self.database.connection(Work.CONTROL) as connection:
            return await why_not_reversed(connection, known, known.routes["pay"])


@pytest.fixture
def legacy(database: Database) -> Legacy:
    return Legacy(database)


THROUGH = ("http", "POST /withdrawals", "gateway", "headers")


async def test_what_went_through_the_gateway_and_named_its_run_is_contained(legacy: Legacy) -> None:
    await legacy.ran("pay", THROUGH, ("email", "payout", "mail", "headers"))
    assert await legacy.why() is None


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        ([], "nothing of it was seen at the gateway"),  # never seen at all
        ([THROUGH, ("sql", "payouts", "rows", "headers")], "past the gateway: sql bank/payouts"),
        ([("http", "POST /withdrawals", "gateway", "key")], "do not name their run"),
    ],
)
async def test_what_is_not_shown_to_be_contained_is_refused(
    legacy: Legacy, effects: list[tuple[str, str, str, str]], says: str
) -> None:
    await legacy.ran("pay", *effects)
    assert says in (await legacy.why() or "")


async def test_what_its_runs_start_must_be_contained_too(legacy: Legacy) -> None:
    await legacy.ran("pay", THROUGH, ("event", "creator/applied", "door", "parent"))
    assert "legacy of task 'welcome' is not contained" in (await legacy.why() or "")
    await legacy.ran("welcome", THROUGH)
    assert await legacy.why() is None


async def test_a_task_that_needs_rows_of_its_database_is_refused(legacy: Legacy) -> None:
    """They would be written to the real one."""
    await legacy.ran("pay", THROUGH)
    text = TEXT.replace(_PAY, _PAY + REVERSE + "    world: [{database: shop, table: payouts, key: {id: $.id}}]\n")
    shop = "databases: {shop: {legacy: {dsn: 'postgresql://a/l'}, candidate: {dsn: 'postgresql://a/c'}}}\ntasks:\n"
    known = parse(text.replace("tasks:\n", shop, 1), "small.yaml", {})
    assert "legacy's is the real one" in (await legacy.why(known) or "")


async def test_a_run_that_starts_others_without_naming_itself_makes_it_unsafe(legacy: Legacy) -> None:
    await legacy.ran("pay", THROUGH)
    await legacy.execute(
        "INSERT INTO events (id, source, door, origin, name, delivery_id)"
        " VALUES (%s, 'w', 'inngest', 'legacy', 'x/y', 'd')",
        new_id(),
    )
    assert "does not name itself started others (x/y)" in (await legacy.why() or "")
