"""What rules did is counted with the verdicts, and what order legacy keeps is learned from its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import RuleSettings, Side
from shadow.catalogue.rule_settings import IgnoreSetting, TextSetting
from shadow.judge.explaining import explained
from shadow.judge.loop import JudgeLoop
from shadow.judge.orders import ENOUGH, Orders, kept_orders
from shadow.judge.rulebook import Rulebook
from shadow.reports import rules as reported
from tests.integration.judge.world import Told, World

IGNORE = IgnoreSetting(scope="output", path="$.tookMs", reason="how long it took")
TITLE = TextSetting(type="text", scope="output", path="$.title")


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=5)


def ruled(world: World, **settings: Any) -> ResolvedCatalogue:
    """The world's catalogue with other rules for the task."""
    known = world.catalogue
    task = replace(known.tasks["order-sync"], rules=RuleSettings(**settings))
    return ResolvedCatalogue(known.catalogue, {**known.tasks, task.id: task}, known.routes, {}, {})


def judge_with(world: World, **settings: Any) -> JudgeLoop:
    return JudgeLoop(world.database, ruled(world, **settings))


async def counted(world: World) -> dict[tuple[str, int, int], int]:
    """(rule, selected, hid) of every row of the tallies that is not all 0."""
    rows = await world.rows("SELECT rule, selected, hid FROM rule_tallies WHERE selected <> 0 OR hid <> 0")
    return {tuple(row): 1 for row in rows}


async def states(world: World, **settings: Any) -> list[tuple[str, str, int, int]]:
    found = await reported.of_task(world.database.engine, ruled(world, **settings), "order-sync")
    return [(view.key, view.state, view.selected, view.hid) for view in found.rules]


async def aged(world: World, days: int) -> None:
    """All rules are there for so long."""
    await world.rows("UPDATE task_rules SET since = now() - make_interval(days => %s) RETURNING rule", days)


async def test_what_a_rule_selected_and_hid_is_counted_by_day(world: World) -> None:
    judge = judge_with(world, ignore=(IGNORE,), values=(TITLE,))
    for mine, theirs in ((1, 2), (3, 3), (4, 5)):
        told = await world.event()
        await told.both({"tookMs": mine, "title": "a  b"}, candidate={"tookMs": theirs, "title": "a b"})
    await judge.once(later())
    assert await world.verdicts() == {"match": 3}
    assert await states(world, ignore=(IGNORE,), values=(TITLE,)) == [
        ("ignore[0]", "used", 3, 2),
        ("values[0]", "used", 3, 3),
    ]
    ((uses,),) = await world.rows("SELECT rule_uses FROM pairs ORDER BY id LIMIT 1")
    assert sorted(uses.values()) == [[1, 1], [1, 1]]


async def test_equal_runs_count_what_rules_speak_of_too(world: World) -> None:
    judge = judge_with(world, ignore=(IGNORE,))
    await (await world.event()).both({"tookMs": 1})
    await judge.once(later())
    assert await states(world, ignore=(IGNORE,)) == [("ignore[0]", "used", 1, 0)]


async def test_judging_again_corrects_the_counts(world: World) -> None:
    told = await world.event()
    await told.both({"tookMs": 1}, candidate={"tookMs": 2})
    await judge_with(world, ignore=(IGNORE,)).once(later())
    assert [row[1:] for row in await counted(world)] == [(1, 1)]
    # A late effect has it judged again, with the same rule: nothing changes.
    await told.effect(Side.CANDIDATE, {"amount": 1})
    await judge_with(world, ignore=(IGNORE,)).once(later())
    assert [row[1:] for row in await counted(world)] == [(1, 1)]
    # Judged again without it, it did nothing.
    await told.effect(Side.CANDIDATE, {"amount": 1}, after=1.5)
    await judge_with(world).once(later())
    assert await counted(world) == {}
    assert await world.rows("SELECT rule_uses FROM pairs") == [(None,)]


async def test_a_rule_that_speaks_of_nothing_is_dead_once_it_had_its_time_and_pairs_to_speak_of(world: World) -> None:
    wanted = {"ignore": (IGNORE,), "values": (TITLE,)}
    judge = judge_with(world, **wanted)
    await judge.once(later())
    assert [state for _, state, *_ in await states(world, **wanted)] == ["young", "young"]
    await aged(world, 31)
    # Silence says nothing of a rule either.
    assert [state for _, state, *_ in await states(world, **wanted)] == ["unproven", "unproven"]
    await (await world.event()).both({"tookMs": 1})
    await judge.once(later())
    assert await states(world, **wanted) == [("ignore[0]", "used", 1, 0), ("values[0]", "dead", 0, 0)]
    async with world.database.engine.connect() as connection:
        found = await reported.dead(connection, ruled(world, **wanted))
    assert found == {"order-sync": ["values[0]"], "digest": []}
    await aged(world, 29)
    assert [state for _, state, *_ in await states(world, **wanted)] == ["used", "young"]


async def test_what_a_rule_did_more_than_thirty_days_ago_keeps_it_not_alive(world: World) -> None:
    judge = judge_with(world, ignore=(IGNORE,))
    old = await world.event(accepted_at=datetime.now(UTC) - timedelta(days=32))
    await old.both({"tookMs": 1})
    await (await world.event()).both({"other": 1})
    await judge.once(later())
    await aged(world, 40)
    assert await states(world, ignore=(IGNORE,)) == [("ignore[0]", "dead", 0, 0)]


async def test_a_rule_that_left_and_came_back_has_its_time_again(world: World) -> None:
    await judge_with(world, ignore=(IGNORE,)).once(later())
    await aged(world, 90)
    await judge_with(world, ignore=(IGNORE,)).once(later())
    assert await world.rows("SELECT count(*)::int FROM task_rules WHERE since < now() - interval '80 days'") == [(1,)]
    await judge_with(world).once(later())
    await judge_with(world, ignore=(IGNORE,)).once(later())
    assert await world.rows("SELECT count(*)::int FROM task_rules WHERE since < now() - interval '80 days'") == [(0,)]


async def ran(world: World, *, legacy: str = "pay book", candidate: str = "pay book") -> Told:
    """Both runs did these, a second apart each."""
    told = await world.event()
    for side, words in ((Side.LEGACY, legacy), (Side.CANDIDATE, candidate)):
        for second, word in enumerate(words.split()):
            await told.effect(side, {"of": word}, after=0.1 * second, operation=f"POST /{word}", target="bank")
    await told.both(1)
    return told


async def relations(world: World) -> list[tuple[Any, ...]]:
    return await world.rows("SELECT one, other, before, after, mixed FROM orders_seen ORDER BY one, other")


PAY, BOOK = '["http","bank","POST /pay"]', '["http","bank","POST /book"]'


async def test_the_order_of_legacys_runs_is_counted_once_a_pair(world: World) -> None:
    judge = judge_with(world)
    first = await ran(world, candidate="book pay")
    await ran(world)
    await judge.once(later())
    # The shapes stand by their names: book, pay.
    assert await relations(world) == [(BOOK, PAY, 0, 2, 0)]
    await first.effect(Side.LEGACY, {"of": "mail"}, after=2, operation="POST /mail", target="bank")
    await judge.once(later())
    assert await relations(world) == [(BOOK, PAY, 0, 2, 0)]
    await ran(world, legacy="book pay")
    await judge.once(later())
    assert await relations(world) == [(BOOK, PAY, 1, 2, 0)]


async def seen_so_often(world: World, runs: int) -> None:
    await world.rows(
        "INSERT INTO orders_seen (task, one, other, before, after) VALUES ('order-sync', %s, %s, 0, %s)"
        " ON CONFLICT (task, one, other) DO UPDATE SET after = excluded.after RETURNING one",
        BOOK,
        PAY,
        runs,
    )


@pytest.mark.parametrize(
    ("order", "runs", "expected"),
    [("declared", 500, {"match": 1}), ("learned", 500, {"mismatch": 1}), ("learned", 9, {"match": 1})],
)
async def test_a_learned_order_holds_only_where_the_task_asks_for_it(
    world: World, order: str, runs: int, expected: dict[str, int]
) -> None:
    await seen_so_often(world, runs)
    await ran(world, candidate="book pay")
    await judge_with(world, order=order).once(later())
    assert await world.verdicts() == expected
    if "mismatch" in expected:
        assert await world.rows("SELECT kind, severity FROM differences") == [("effect.reordered", "minor")]


async def test_judging_again_knows_what_was_learned(world: World) -> None:
    told = await ran(world, candidate="book pay")
    await judge_with(world, order="learned").once(later())
    assert await world.verdicts() == {"match": 1}
    await seen_so_often(world, 500)
    rulebook = Rulebook(ruled(world, order="learned"))
    async with world.connection() as connection:
        judgement = await explained(connection, told.pair, rulebook)
    assert judgement is not None
    assert [difference.kind for difference in judgement.differences] == ["effect.reordered"]


async def test_what_legacy_always_did_in_one_order_is_shown_to_people(world: World) -> None:
    await seen_so_often(world, 60)
    found = await reported.of_task(world.database.engine, ruled(world), "order-sync")
    assert [(view.first["operation"], view.then["operation"], view.runs, view.kept) for view in found.orders] == [
        ("POST /pay", "POST /book", 60, True)
    ]
    await world.rows("UPDATE orders_seen SET mixed = 1 RETURNING one")
    assert (await reported.of_task(world.database.engine, ruled(world), "order-sync")).orders == []


async def test_what_is_settled_is_not_counted_any_further(world: World) -> None:
    await seen_so_often(world, ENOUGH)
    judge = judge_with(world)
    await ran(world)
    await judge.once(later())
    assert await relations(world) == [(BOOK, PAY, 0, ENOUGH, 0)]
    # but what speaks against it is
    await ran(world, legacy="book pay")
    await judge.once(later())
    assert await relations(world) == [(BOOK, PAY, 1, ENOUGH, 0)]
    await ran(world, legacy="book pay")
    await judge.once(later())
    assert await relations(world) == [(BOOK, PAY, 1, ENOUGH, 0)]
    orders = Orders()
    async with world.connection() as connection:
        await orders.refresh(connection)
    assert kept_orders(orders.of("order-sync"), 50) == ()
