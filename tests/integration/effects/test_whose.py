"""Whose calls are, looked up in what fan-out and outcomes have written; and what follows when nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.cutover.routing import Routing
from shadow.effects.business_keys import keys_of
from shadow.effects.correlation import Attribution, CallTraits, whose
from shadow.effects.reattribution import Reattribution
from shadow.effects.record import AttributedBy
from shadow.effects.traceref import trace_of_run
from shadow.egress import runs as gateway
from shadow.fanout.opening import open_pairs
from shadow.fanout.stored_events import load_events
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import new_id
from shadow.observe.metrics import exposition
from shadow.reports.figures import gauges, read_installation
from shadow.reports.parity import parity
from shadow.sealing.master import MasterKey
from shadow.store.database import Database, Work
from tests.integration.effects.world import SeenWorld
from tests.integration.judge.world import Told

ORDER = {"order": "order-1234", "customer": "customer-9"}
LATER = timedelta(minutes=2)


def naming(*values: str, **headers: str) -> CallTraits:
    return CallTraits.of({name.replace("_", "-"): value for name, value in headers.items()}, list(values))


async def judged(world: SeenWorld, told: Told) -> tuple[Any, ...]:
    return (await world.rows("SELECT verdict, reason FROM pairs WHERE id = %s", told.pair))[0]


async def comparable(told: Told) -> None:
    """Both runs ended alike and did the same."""
    for side in Side:
        await told.effect(side, {"amount": 5}, after=0.5)
    await told.both({"done": True})


class TestLookingUp:
    """Headers, trace, business key."""

    async def test_by_the_platforms_id(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        name = told.platform_run(Side.CANDIDATE)
        found = await world.whose(Side.CANDIDATE, naming(x_shadow_run=name), told.accepted_at)
        assert found.run is not None
        assert (found.run.id, found.by, found.said) == (told.run(Side.CANDIDATE), AttributedBy.HEADERS, name)
        assert (found.run.authority, found.run.task) == ("none", "order-sync")

    @pytest.mark.parametrize("task", ["order-sync", "shop-order-sync"])
    async def test_by_event_and_task_before_the_platform_named_its_run(self, world: SeenWorld, task: str) -> None:
        told = await world.keyed(ORDER, external_id="evt-1")
        await world.rows("UPDATE runs SET platform_run_id = NULL WHERE side = 'candidate' RETURNING id")
        call = naming(x_shadow_run="01NEW", x_shadow_task=task, x_shadow_event="evt-1")
        found = await world.whose(Side.CANDIDATE, call, told.accepted_at)
        assert found.run is not None
        assert (found.run.id, found.said) == (told.run(Side.CANDIDATE), "01NEW")

    async def test_a_run_of_the_other_side_is_not_found(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        call = naming(x_shadow_run=told.platform_run(Side.LEGACY))
        found = await world.whose(Side.CANDIDATE, call, told.accepted_at)
        assert (found.run, found.said) == (None, told.platform_run(Side.LEGACY))

    async def test_by_the_trace_that_inngest_computes(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        name = "01M85K61QN6H3MZD9HM6VTVMW7"
        await world.rows("UPDATE runs SET platform_run_id = %s WHERE side = 'candidate' RETURNING id", name)
        call = CallTraits(trace=trace_of_run(name))
        for _ in range(2):  # computed, then learned
            found = await world.whose(Side.CANDIDATE, call, told.accepted_at)
            assert found.run is not None
            assert (found.run.id, found.by) == (told.run(Side.CANDIDATE), AttributedBy.TRACE)
        assert await world.rows("SELECT run_id FROM run_aliases") == [(told.run(Side.CANDIDATE),)]
        assert (await world.whose(Side.LEGACY, call, told.accepted_at)).run is None

    async def test_a_call_that_names_run_and_trace_teaches_the_pair(self, world: SeenWorld) -> None:
        """So it holds though Inngest should compute its traces otherwise one day."""
        told = await world.keyed(ORDER)
        name = told.platform_run(Side.CANDIDATE)
        await world.whose(Side.CANDIDATE, CallTraits(run=name, trace="ab" * 16), told.accepted_at)
        found = await world.whose(Side.CANDIDATE, CallTraits(trace="ab" * 16), told.accepted_at)
        assert found.run is not None
        assert (found.run.id, found.by) == (told.run(Side.CANDIDATE), AttributedBy.TRACE)

    async def test_a_trace_that_the_platform_told_of_is_trusted_more_than_a_business_key(
        self, world: SeenWorld
    ) -> None:
        named, traced = await world.keyed(ORDER), await world.keyed({"order": "order-7777"})
        async with world.connection() as connection:
            found = await world.correlator.whose(
                connection, Side.LEGACY, naming("order-1234"), named.accepted_at, [traced.run(Side.LEGACY)]
            )
        assert found.run is not None
        assert (found.run.id, found.by) == (traced.run(Side.LEGACY), AttributedBy.TRACE)

    async def test_by_a_business_key(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        await world.keyed({"order": "order-7777", "customer": "customer-9"})
        async with world.connection() as connection:
            found = await whose(
                connection, world.catalogue, Side.LEGACY, naming("paid order-1234", "customer-9"), told.accepted_at
            )
        assert found.run is not None
        assert (found.run.id, found.by) == (told.run(Side.LEGACY), AttributedBy.KEY)

    async def test_two_runs_that_fit_are_both_named(self, world: SeenWorld) -> None:
        first, second = await world.keyed(ORDER), await world.keyed({**ORDER, "order": "order-7777"})
        found = await world.whose(Side.LEGACY, naming("customer-9"), second.accepted_at)
        assert found == Attribution(candidates=tuple(sorted((first.run(Side.LEGACY), second.run(Side.LEGACY)))))

    async def test_a_run_that_has_ended_is_not_meant(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        await told.both()
        late = told.accepted_at + timedelta(seconds=10)
        assert (await world.whose(Side.LEGACY, naming("order-1234"), late)).candidates == ()

    async def test_a_run_that_waits_for_its_twin_is_not_meant(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        await world.rows("UPDATE runs SET state = 'expected' RETURNING id")
        assert (await world.whose(Side.CANDIDATE, naming("order-1234"), told.accepted_at)).run is not None
        await world.dispatch(told, state="sequenced")
        assert (await world.whose(Side.CANDIDATE, naming("order-1234"), told.accepted_at)).run is None

    async def test_a_run_whose_dispatch_is_dead_may_have_begun_all_the_same(self, world: SeenWorld) -> None:
        told = await world.keyed(ORDER)
        await world.rows("UPDATE runs SET state = 'expected' RETURNING id")
        await world.dispatch(told, state="dead")
        found = await world.whose(Side.CANDIDATE, naming("order-1234"), told.accepted_at)
        assert found.run is not None
        assert found.run.id == told.run(Side.CANDIDATE)

    async def test_no_key_finds_a_run_with_authority_while_an_unsolicited_one_of_its_task_is_under_way(
        self, world: SeenWorld
    ) -> None:
        told = await world.keyed(ORDER)
        unsolicited = new_id()
        await world.rows(
            "INSERT INTO runs (id, task, side, platform, authority, state)"
            " VALUES (%s, 'order-sync', 'legacy', 'trigger', 'none', 'sent') RETURNING id",
            unsolicited,
        )
        call = naming("order-1234")
        found = await world.whose(Side.LEGACY, call, told.accepted_at)
        assert found == Attribution(candidates=(told.run(Side.LEGACY), unsolicited))
        assert (await world.whose(Side.CANDIDATE, call, told.accepted_at)).run is not None  # of the other side
        await world.rows(
            "UPDATE runs SET finished_at = now() - interval '1 minute', started_at = now() - interval '2 minutes'"
            " WHERE id = %s RETURNING id",
            unsolicited,
        )
        assert (await world.whose(Side.LEGACY, call, told.accepted_at)).run is not None


class TestUnattributed:
    """An effect that is nobody's keeps the pairs from being compared of which it may be part."""

    async def test_it_makes_the_pairs_that_it_may_be_of_not_comparable(
        self, world: SeenWorld, judge: JudgeLoop
    ) -> None:
        told = await world.keyed(ORDER)
        await comparable(told)
        await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at)
        await judge.once(told.accepted_at + LATER)
        assert await judged(world, told) == (
            "not_comparable",
            "unattributed_effect: 1 effect on candidate may be of this run (POST /v1/transfers at stripe)",
        )

    async def test_a_found_difference_is_never_downgraded(self, world: SeenWorld, judge: JudgeLoop) -> None:
        told = await world.keyed(ORDER)
        await comparable(told)
        await told.effect(Side.CANDIDATE, {"amount": 5}, after=0.6)
        await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at)
        await judge.once(told.accepted_at + LATER)
        assert (await judged(world, told))[0] == "mismatch"

    async def test_one_that_comes_late_has_the_pair_judged_again(self, world: SeenWorld, judge: JudgeLoop) -> None:
        told = await world.keyed(ORDER)
        await comparable(told)
        await judge.once(told.accepted_at + LATER)
        assert (await judged(world, told))[0] == "match"
        await world.seen(Side.LEGACY, naming("nothing known"), told.accepted_at + timedelta(seconds=0.5))
        await judge.once(datetime.now(UTC) + LATER)
        assert (await judged(world, told))[0] == "not_comparable"

    @pytest.mark.parametrize("seconds", [-10, 10])
    async def test_one_of_another_time_does_not(self, world: SeenWorld, judge: JudgeLoop, seconds: float) -> None:
        told = await world.keyed(ORDER)
        await comparable(told)
        await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at + timedelta(seconds=seconds))
        await judge.once(told.accepted_at + LATER)
        assert (await judged(world, told))[0] == "match"

    async def test_one_that_names_other_runs_keys_does_not(self, world: SeenWorld, judge: JudgeLoop) -> None:
        told = await world.keyed({"order": "order-0001", "customer": "customer-1"})
        suspects = [await world.keyed(ORDER), await world.keyed({**ORDER, "order": "order-7777"})]
        for each in (told, *suspects):
            await comparable(each)
        await world.seen(Side.CANDIDATE, naming("customer-9"), told.accepted_at)
        await judge.once(told.accepted_at + LATER)
        assert (await judged(world, told))[0] == "match"
        assert {(await judged(world, each))[0] for each in suspects} == {"not_comparable"}

    async def test_one_at_a_target_of_other_tasks_does_not(self, world: SeenWorld, judge: JudgeLoop) -> None:
        await world.rows("INSERT INTO task_targets VALUES ('digest', 'slack') RETURNING task")
        told, fresh = await world.keyed(ORDER), await world.event("digest")
        await comparable(told)
        await fresh.both(1)
        await judge.once(told.accepted_at + LATER)  # from now on order-sync is known by its ledger
        await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at, target="slack")
        await judge.once(datetime.now(UTC) + LATER)
        assert (await judged(world, told))[0] == "match"
        assert (await judged(world, fresh))[0] == "not_comparable"

    async def test_it_finds_its_run_once_the_platform_has_named_it(self, world: SeenWorld, judge: JudgeLoop) -> None:
        told = await world.keyed(ORDER)
        name = "01M85K61QN6H3MZD9HM6VTVMW7"
        await world.rows("UPDATE runs SET platform_run_id = NULL RETURNING id")
        await told.effect(Side.LEGACY, {"amount": 5}, after=0.5, run="run-legacy")
        await world.seen(Side.CANDIDATE, CallTraits(trace=trace_of_run(name)), told.accepted_at)
        await told.both(1)
        asking = Reattribution(world.database, world.catalogue)
        assert await asking.once() == 0
        await judge.once(datetime.now(UTC) + LATER)
        await world.rows("UPDATE runs SET platform_run_id = %s WHERE side = 'candidate' RETURNING id", name)
        await world.rows("UPDATE runs SET platform_run_id = 'run-legacy' WHERE side = 'legacy' RETURNING id")
        assert await asking.once() == 1
        await judge.once(datetime.now(UTC) + LATER)
        assert await judged(world, told) == ("match", None)
        rows = await world.rows("SELECT run_id, attributed_by, task FROM effects WHERE side = 'candidate'")
        assert rows == [(told.run(Side.CANDIDATE), "trace", "order-sync")]

    async def test_an_effect_that_says_its_run_waits_for_that_run_alone(
        self, world: SeenWorld, judge: JudgeLoop
    ) -> None:
        told = await world.keyed(ORDER)
        await comparable(told)
        await world.seen(Side.CANDIDATE, naming(x_shadow_run="run-of-somebody"), told.accepted_at)
        await judge.once(told.accepted_at + LATER)
        assert (await judged(world, told))[0] == "match"


async def test_the_gateway_asks_for_calls_that_name_no_run(world: SeenWorld) -> None:
    told = await world.keyed(ORDER)
    runs = gateway.Runs(world.catalogue, world.database, Routing(world.catalogue, world.database))
    found = await runs.find(Side.CANDIDATE, gateway.Told.of({}), lambda: naming("order-1234"))
    assert (found.id, found.attributed_by) == (told.run(Side.CANDIDATE), AttributedBy.KEY)
    with pytest.raises(gateway.Unknown):
        await runs.find(Side.CANDIDATE, gateway.Told.of({}), lambda: naming("order-0000"))


async def test_the_index_can_not_be_tried_out_without_the_master_key(world: SeenWorld) -> None:
    await world.keyed(ORDER)
    kept = {row[0] for row in await world.rows("SELECT digest FROM run_keys")}
    plain = keys_of(world.catalogue.tasks["order-sync"].business_keys, ORDER)
    assert len(kept) == len(plain) == 2
    assert not kept & plain


async def test_runs_are_known_by_their_keys_after_the_master_key_was_rotated(world: SeenWorld) -> None:
    told = await world.keyed(ORDER)
    fresh = MasterKey(b"f" * 32)
    await world.database.vault.rewrap(fresh)
    renewed = Database(world.database.url, sealing_key=lambda: fresh)
    try:
        async with renewed.connection(Work.EGRESS) as connection:
            found = await whose(connection, world.catalogue, Side.LEGACY, naming("order-1234"), told.accepted_at)
    finally:
        await renewed.close()
    assert found.run is not None
    assert (found.run.id, found.by) == (told.run(Side.LEGACY), AttributedBy.KEY)


async def test_a_forgotten_tenants_runs_are_not_in_the_index_any_more(world: SeenWorld) -> None:
    gone, stays = await world.keyed(ORDER, tenant="acme"), await world.keyed(ORDER, tenant="shop")
    await world.database.vault.ready(["acme"])
    await world.database.vault.forget("acme", lead=timedelta(milliseconds=50))
    kept = {row[0] for row in await world.rows("SELECT run_id FROM run_keys")}
    assert kept == {stays.run(side) for side in Side}
    assert gone.run(Side.LEGACY) not in kept


async def test_fan_out_keeps_by_what_runs_are_known(world: SeenWorld) -> None:
    told = await world.event(data=ORDER, opened=False)
    async with world.connection() as connection:
        events = await load_events(connection, [told.event])
        for _ in range(2):
            await open_pairs(connection, world.catalogue, events)
    for side in Side:
        found = await world.whose(side, naming("order-1234"), told.accepted_at)
        # No platform has taken it: the dispatch is due, and a run may begin before its platform's answer is written.
        assert found.run is not None
        assert found.run.id == told.run(side)
    assert len(await world.rows("SELECT * FROM run_keys")) == 4


async def test_unattributed_effects_are_counted_for_each_task_that_they_may_be_of(world: SeenWorld) -> None:
    told = await world.keyed(ORDER)
    await world.keyed({**ORDER, "order": "order-7777"})
    await world.rows("INSERT INTO task_targets VALUES ('digest', 'slack'), ('order-sync', 'stripe') RETURNING task")
    await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at, target="slack")
    await world.seen(Side.CANDIDATE, naming("nothing known"), told.accepted_at, target="nobody-uses-it")
    await world.seen(Side.LEGACY, naming("customer-9"), told.accepted_at, target="slack")
    engine = world.database.engine
    counted = {task: (await parity(engine, world.catalogue, task)).unattributed for task in world.catalogue.tasks}
    assert counted == {"order-sync": 2, "digest": 2}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    assert (await parity(engine, world.catalogue, "digest", since=tomorrow)).unattributed == 0
    text = exposition("", gauges(await read_installation(engine, world.catalogue)))[0].decode()
    assert 'shadow_unattributed_effects{task="digest"} 2.0' in text


async def test_a_time_in_which_nobody_looked_keeps_pairs_from_being_compared(
    world: SeenWorld, judge: JudgeLoop
) -> None:
    told, later = await world.keyed(ORDER), await world.keyed(ORDER, accepted_at=datetime.now(UTC) + LATER)
    for each in (told, later):
        await comparable(each)
    await world.rows(
        "INSERT INTO blind_spots (id, side, target, since, until, reason) VALUES (gen_random_uuid(), 'legacy', 'shop',"
        " %s, %s, 'the slot of shop fell behind') RETURNING id",
        told.accepted_at - LATER,
        told.accepted_at,
    )
    await judge.once(told.accepted_at + 3 * LATER)
    assert await judged(world, told) == ("not_comparable", "unseen_effects: the slot of shop fell behind")
    assert (await judged(world, later))[0] == "match"
