"""Judging again over a real database: what a change of rules makes of recorded pairs, foretold and done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.judge.again import Again, Page, judge_again
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.judge.rulebook import Rulebook
from shadow.judge.writing import write_judgements
from shadow.reports.judgements import Changes
from shadow.reports.shapes import Judgements
from shadow.store.retention import expire
from tests.integration.judge.world import CATALOGUE, Told, World

LATER = timedelta(minutes=1)
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
IGNORED = CATALOGUE.replace("$.tookMs, reason: how long it took", "$.host, reason: which machine it was")
"""The rules after the change: another member of the output is ignored than before."""


@pytest.fixture
def rules() -> Rulebook:
    """The rules after the change."""
    return Rulebook(parse(IGNORED, "test.yaml", {}))


async def judged(world: World, judge: JudgeLoop, legacy: Any, candidate: Any, **event: Any) -> Told:
    told = await world.event(**event)
    await told.both(legacy, candidate=candidate)
    await judge.once(told.accepted_at + LATER)
    return told


async def three_pairs(world: World, judge: JudgeLoop) -> list[Told]:
    """One that the change makes a match, one that it makes a mismatch, one that it leaves as it was."""
    return [
        await judged(world, judge, {"host": "a"}, {"host": "b"}),
        await judged(world, judge, {"tookMs": 1}, {"tookMs": 2}),
        await judged(world, judge, {"n": 1}, {"n": 2}),
    ]


async def run(
    world: World, rules: Rulebook, *, write: bool, limit: int = 100, pages: int = 100, **wanted: Any
) -> Judgements:
    """All pages (or the first few) of judging order-sync again."""
    again = Again("order-sync", wanted.pop("since", BEGINNING), **wanted)
    changes = Changes(again, not write)
    before = None
    for _ in range(pages):
        page = await judge_again(world.database, rules, again, limit=limit, before=before, write=write)
        changes.add(page)
        before = page.last
        if before is None:
            break
    return changes.shape()


def verdicts(found: Judgements) -> dict[tuple[str, str], int]:
    return {(change.before, change.after): change.pairs for change in found.verdicts}


async def snapshot(world: World) -> list[Any]:
    """All that judging writes."""
    tables = ("pairs", "differences", "signatures", "signature_tenants", "tallies", "bodies", "allowances")
    return [await world.rows(f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in tables]


async def test_a_dry_run_shows_what_would_change_and_changes_nothing(
    world: World, judge: JudgeLoop, rules: Rulebook
) -> None:
    told = await three_pairs(world, judge)
    before = await snapshot(world)
    found = await run(world, rules, write=False)
    assert await snapshot(world) == before
    assert (found.examined, found.judged, found.changed, found.dry_run) == (3, 3, 2, True)
    assert verdicts(found) == {("mismatch", "match"): 1, ("match", "mismatch"): 1, ("mismatch", "mismatch"): 1}
    changes = {(one.added, one.removed) for one in found.signatures}
    assert changes == {(1, 0), (0, 1)}
    examples = {one.pair: one for one in found.examples}
    assert examples.keys() == {told[0].pair, told[1].pair}
    gone, new = examples[told[0].pair], examples[told[1].pair]
    assert (gone.after, gone.shows) == ("match", None)
    assert "host" in str(gone.shows_no_longer)
    assert (new.after, new.shows_no_longer) == ("mismatch", None)
    assert "tookMs" in str(new.shows)


async def test_what_is_done_is_what_was_foretold_and_every_count_follows(
    world: World, judge: JudgeLoop, rules: Rulebook
) -> None:
    await three_pairs(world, judge)
    foretold = await run(world, rules, write=False)
    done = await run(world, rules, write=True)
    assert done.model_copy(update={"dry_run": True}) == foretold
    assert await world.verdicts() == {"match": 1, "mismatch": 2}
    assert await world.signature_counts() == [(1, 1), (1, 1), (0, 0)]
    assert await world.rows("SELECT DISTINCT rules FROM pairs") == [(rules.fingerprint("order-sync"),)]


async def test_who_begins_again_finds_what_is_left(world: World, judge: JudgeLoop, rules: Rulebook) -> None:
    for _ in range(5):
        await judged(world, judge, {"host": "a"}, {"host": "b"})
    killed = await run(world, rules, write=True, limit=2, pages=1)
    assert (killed.judged, await world.verdicts()) == (2, {"match": 2, "mismatch": 3})
    rest = await run(world, rules, write=True, limit=2)
    assert (rest.examined, rest.current, rest.judged) == (5, 2, 3)
    assert await world.verdicts() == {"match": 5}
    assert await world.signature_counts() == [(0, 0)]
    again = await run(world, rules, write=True)
    assert (again.current, again.judged) == (5, 0)
    everything = await run(world, rules, write=True, everything=True)
    assert (everything.judged, everything.changed) == (5, 0)


async def test_two_at_once_count_each_pair_once(world: World, judge: JudgeLoop, rules: Rulebook) -> None:
    for _ in range(6):
        await judged(world, judge, {"host": "a"}, {"host": "b"})
    both = await asyncio.gather(*(run(world, rules, write=True, limit=3) for _ in range(2)))
    assert sum(one.judged for one in both) == 6
    assert await world.verdicts() == {"match": 6}


@pytest.mark.parametrize(("status", "reason"), [("deleted", "can't be read any more"), ("runs", "runs was deleted")])
async def test_a_pair_whose_evidence_is_gone_keeps_its_verdict_and_is_counted_apart(
    world: World, judge: JudgeLoop, rules: Rulebook, status: str, reason: str
) -> None:
    told = await three_pairs(world, judge)
    if status == "deleted":
        await world.rows("DELETE FROM bodies WHERE id = %s RETURNING id", told[0].event)
    else:
        await world.rows("DELETE FROM runs WHERE id = %s RETURNING id", told[0].run(Side.CANDIDATE))
    for write in (False, True):
        found = await run(world, rules, write=write)
        (gone,) = found.unreadable
        assert (gone.pairs, gone.listed) == (1, [told[0].pair])
        assert reason in gone.reason
    assert await world.rows("SELECT verdict, revision FROM pairs WHERE id = %s", told[0].pair) == [("mismatch", 1)]
    assert await world.verdicts() == {"mismatch": 3}


async def test_originals_are_not_needed_where_their_evidence_was_made_in_time(
    world: World, judge: JudgeLoop, rules: Rulebook
) -> None:
    kept, never_made = [await judged(world, judge, {"host": "a"}, {"host": "b"}) for _ in range(2)]
    await world.rows("DELETE FROM bodies WHERE id = %s AND part = 'evidence' RETURNING id", never_made.event)
    async with world.database.direct() as connection:
        later = datetime.now(UTC) + timedelta(days=31)
        await expire(connection, later, originals=timedelta(days=30), evidence=timedelta(days=400))
    found = await run(world, rules, write=True)
    assert verdicts(found) == {("mismatch", "match"): 1}
    assert [one.listed for one in found.unreadable] == [[never_made.pair]]
    assert await world.rows("SELECT verdict FROM pairs WHERE id = %s", kept.pair) == [("match",)]


async def test_what_the_loop_is_to_judge_anyway_is_left_to_it(world: World, judge: JudgeLoop, rules: Rulebook) -> None:
    told = await three_pairs(world, judge)
    await world.event()  # without a verdict yet
    await told[0].effect(Side.LEGACY, {"requestId": "r", "amount": 1})  # made due by a late effect
    found = await run(world, rules, write=True)
    assert (found.examined, found.waiting, found.judged) == (4, 2, 2)


async def test_what_is_learned_while_a_pair_is_judged_voids_the_judgement(
    world: World, judge: JudgeLoop, rules: Rulebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await judged(world, judge, {"host": "a"}, {"host": "b"})

    async def late(*arguments: Any) -> Any:
        await told.effect(Side.LEGACY, {"requestId": "r", "amount": 1})
        return await write_judgements(*arguments)

    monkeypatch.setattr("shadow.judge.again.write_judgements", late)
    found = await run(world, rules, write=True)
    assert (found.judged, found.waiting) == (0, 1)
    assert await world.rows("SELECT verdict, due_at IS NULL FROM pairs") == [("mismatch", False)]


async def test_only_pairs_of_the_time_asked_for_are_looked_at(world: World, judge: JudgeLoop, rules: Rulebook) -> None:
    await three_pairs(world, judge)
    ((moment,),) = await world.rows("SELECT now() + interval '1 hour'")
    assert (await run(world, rules, write=True, since=moment)).examined == 0
    assert (await run(world, rules, write=True, until=BEGINNING + LATER)).examined == 0
    assert (await run(world, rules, write=True, until=moment)).examined == 3


async def test_allowances_hold_when_a_pair_is_judged_again(world: World, judge: JudgeLoop, rules: Rulebook) -> None:
    await judged(world, judge, {"n": 1}, {"n": 2})
    ((signature,),) = await world.rows("SELECT id FROM signatures")
    now = datetime.now(UTC)
    await grant(world.database, Grant(signature, "agreed", now + LATER), actor="ann", now=now)
    foretold = await run(world, rules, write=False)
    done = await run(world, rules, write=True)
    assert verdicts(foretold) == verdicts(done) == {("mismatch", "allowed"): 1}
    assert await world.verdicts() == {"allowed": 1}


async def test_the_example_of_a_signature_still_shows_it_and_is_a_simple_one(
    world: World, judge: JudgeLoop, rules: Rulebook
) -> None:
    manifold = await judged(world, judge, {"n": 1, "a": 1, "b": 1}, {"n": 2, "a": 2, "b": 2})
    ((signature,),) = await world.rows("SELECT signature FROM differences WHERE path LIKE '%%[''n'']'")

    async def example() -> Any:
        return (await world.rows("SELECT example_pair, example_differences FROM signatures WHERE id = %s", signature))[
            0
        ]

    assert await example() == (manifold.pair, 3)
    simple = await judged(world, judge, {"n": 1}, {"n": 2})
    assert await example() == (simple.pair, 1)
    other = await judged(world, judge, {"n": 1, "a": 1}, {"n": 2, "a": 2})
    assert await example() == (simple.pair, 1)
    await simple.finished(Side.CANDIDATE, output={"n": 1})
    await judge.once(simple.accepted_at + LATER)
    assert await example() == (other.pair, 2)
    await other.finished(Side.CANDIDATE, output={"n": 1, "a": 1})
    await judge.once(other.accepted_at + LATER)
    assert await example() == (manifold.pair, 3)


async def test_the_number_of_queries_does_not_grow_with_the_pairs(
    world: World, judge: JudgeLoop, rules: Rulebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    real = psycopg.AsyncConnection.execute

    async def counting(self: Any, *arguments: Any, **more: Any) -> Any:
        counts[-1] += 1
        return await real(self, *arguments, **more)

    for size in (2, 2, 20):  # the first also opens a connection
        for _ in range(size):
            await judged(world, judge, {"host": "a", "n": 1}, {"host": "b", "n": 2})
        counts.append(0)
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.AsyncConnection, "execute", counting)
            page: Page = await judge_again(world.database, rules, Again("order-sync", BEGINNING), limit=100, write=True)
        assert len(page.judged) == size
    assert counts[1] == counts[2]
