"""Each statement of the hot paths has one plan for every batch: it must not loop over the batch within the batch, and
must find every row by its id, made on tables that nobody has looked at yet, as those of a new month are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest

from shadow.effects import evidence, record, waking
from shadow.egress import calls, runs, twin
from shadow.fanout import handoff, opening, stored_events
from shadow.judge import facts, gateways, ledger, writing
from shadow.outcomes import record as outcomes
from shadow.store.database import _STEADILY, STEADY, Database, Work
from shadow.store.tables import PARTITIONED

STATEMENTS: dict[str, bytes | str] = {
    "whose runs are": evidence._OF_RUNS,
    "pairs to be told": record._PAIRS + record._OF_RUNS + record._LOCKED,
    "pairs woken": waking._WAKE,
    "runs locked": outcomes._RUNS,
    "runs finished": outcomes._FINISH,
    "runs sent": handoff._SENT,
    "events renamed": handoff._RENAMED,
    "events": stored_events._EVENTS,
    "runs opened": opening._OPEN_RUNS,
    "facts": facts._RUNS,
    "effects": ledger._EFFECTS,
    "bodies": ledger._BODIES,
    "pairs postponed": writing._POSTPONE,
    "calls written": calls._WRITE,
    "whose a call is, by its run's name": runs._BY_ALIAS,
    "whose a call is, by its event": runs._EVENTS,
    "runs that call": runs._BY_IDS,
    "the twin's calls": twin._CALLS,
    "the twin's answers": twin._ANSWERS,
    "verdicts": writing._VERDICTS.format(writing._LEASED),
    "verdicts again": writing._VERDICTS.format(writing._UNTOUCHED),
}
FEW = frozenset({"rule", "seen"})
"""As many as there are tasks; and pairs that are judged anew, which is seldom."""


def plan_of(connection: psycopg.Connection[Any], statement: bytes | str) -> dict[str, Any]:
    """The plan for parameters that are not known."""
    text = statement if isinstance(statement, str) else statement.decode()
    numbers: dict[str, int] = {}
    places = count(1)
    text = re.sub(r"%s", lambda _: f"${next(places)}", text)
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", text)
    text = re.sub(r"(ANY|ALL)\((\$\d+)\)", r"\1(\2::uuid[])", text).replace("unnest($1, ", "unnest($1::uuid[], ")
    row = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {text}".encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def has_a_key(node: dict[str, Any]) -> bool:
    """Whether it looks rows up; a bitmap of its pages was made by what looks them up below it."""
    return "Index Cond" in node or "Recheck Cond" in node


def loops_over_batch(node: dict[str, Any]) -> bool:
    """Whether the batch, or what was made of it, is gone through once for each of its rows."""
    if node["Node Type"] != "Nested Loop":
        return False
    return any(
        one["Node Type"] in ("Function Scan", "CTE Scan") and one["Alias"] not in FEW for one in nodes(node["Plans"][1])
    )


_FORGET = b"""
SELECT pg_clear_relation_stats('public', relname) FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
"""
"""Whatever the tests before left behind, and whether autovacuum came by."""


@pytest.mark.parametrize("name", STATEMENTS)
def test_rows_are_found_by_key_and_the_batch_is_gone_through_once(database_url: str, name: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(_STEADILY)
        connection.execute(_FORGET)
        connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")  # tables of ours
        found = list(nodes(plan_of(connection, STATEMENTS[name])))
        connection.rollback()
    big = [
        node for node in found if any(str(node.get("Relation Name", "")).startswith(f"{one}_2") for one in PARTITIONED)
    ]
    reading = [node for node in big if node["Node Type"] != "ModifyTable"]
    assert [
        (node["Relation Name"], node.get("Index Name"), node.get("Filter")) for node in reading if not has_a_key(node)
    ] == []
    assert [node for node in found if loops_over_batch(node)] == []


def test_gateways_are_found_by_when_they_began(database_url: str) -> None:
    """A table that is read through seems so dear there that the server would compile the statement every time."""
    with psycopg.connect(database_url) as connection:
        connection.execute(_STEADILY)
        found = list(nodes(plan_of(connection, gateways._STAYS)))
        connection.rollback()
    assert [has_a_key(node) for node in found if node.get("Relation Name") == "gateways"] == [True]


@pytest.mark.parametrize("work", sorted(STEADY))
async def test_steady_work_plans_once(database: Database, work: Work) -> None:
    async with database.connection(work) as connection:
        cursor = await connection.execute(
            "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan')"
        )
        assert await cursor.fetchone() == ("force_generic_plan", "off")


async def test_other_work_is_planned_for_what_it_asks(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT current_setting('plan_cache_mode'), current_setting('enable_seqscan')"
        )
        assert await cursor.fetchone() == ("auto", "on")


async def test_a_pooler_keeps_no_setting_of_ours(database_url: str) -> None:
    database = Database(f"{database_url}&application_name=pooled", direct_url=database_url)
    async with database.connection(Work.OUTCOMES) as connection:
        cursor = await connection.execute("SELECT current_setting('plan_cache_mode')")
        assert await cursor.fetchone() == ("auto",)
    await database.close()
