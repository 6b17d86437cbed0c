"""Noise: found in recorded pairs, tried out, proposed or refused, accepted, in force, expired."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from comparators import JSON
from shadow.judge.again import Again, judge_again
from shadow.judge.loop import JudgeLoop
from shadow.judge.rulebook import Rulebook
from shadow.learning.looking import look
from shadow.learning.proposals import DecisionRefused, NothingToDecide, accept, reject
from shadow.model.ids import new_id
from shadow.reports import proposals
from shadow.reports import rules as reported
from shadow.reports.proposal_shapes import ProposalView
from shadow.store.database import Database
from tests.integration.judge.world import World

TASK = "order-sync"
PAIRS = 12


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def recorded(world: World, values: Mapping[str, tuple[list[JSON], list[JSON]]], *, twice: bool = False) -> None:
    """Pairs whose outputs hold these members, each with its values of both sides."""
    replay = new_id()
    for number in range(PAIRS):
        told = await world.event(data={"order": number})
        mine, theirs = ({name: side[of][number] for name, side in values.items()} for of in (0, 1))
        await told.both({"n": number, **mine}, candidate={"n": number, **theirs})
        if twice:
            await world.rows("UPDATE pairs SET replay = %s WHERE id = %s RETURNING id", replay, told.pair)
    if twice:
        await world.rows(
            "INSERT INTO replays (id, task, purpose, actor, reason, skipped)"
            " VALUES (%s, %s, 'legacy_twice', 'ann', 'r', '{}') RETURNING id",
            replay,
            TASK,
        )
    await judged(world)


async def judged(world: World) -> None:
    await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))


async def looked(world: World) -> dict[str, ProposalView]:
    """By the last member of the path."""
    kept = await look(world.database, world.catalogue, TASK, ago(30))
    found = await proposals.of_task(world.database.engine, TASK, only=kept, limit=100)
    return {one.place.rsplit('"', 2)[1]: one for one in found.items}


def drifting(start: int) -> list[JSON]:
    return [start + number * 37 % 50 for number in range(PAIRS)]


NEARLY: list[JSON] = [1000.5 + number * 23 % 50 for number in range(PAIRS)]
"""What drifts as `drifting(1000)` does, on its own."""
HOSTS: tuple[list[JSON], list[JSON]] = (
    [f"node{number % 3}" for number in range(PAIRS)],
    [f"node{(number * 2 + 1) % 5 + 3}" for number in range(PAIRS)],
)


async def test_what_legacy_does_not_do_alike_itself_is_proposed_with_what_it_would_hide(world: World) -> None:
    await recorded(world, {"elapsed": (drifting(1000), drifting(1007)), "host": HOSTS}, twice=True)
    await recorded(world, {"elapsed": (drifting(1001), drifting(1006)), "host": HOSTS, "total": ([1] * 12, [2] * 12)})
    found = await looked(world)
    elapsed, host = found["elapsed"], found["host"]
    assert (elapsed.state, elapsed.source, elapsed.settings and elapsed.settings["type"]) == (
        "open",
        "legacy_twice",
        "number",
    )
    assert (elapsed.evidence.legacy_twice.differed, elapsed.evidence.live.differed) == (PAIRS, PAIRS)
    assert elapsed.evidence.hides is not None
    assert (elapsed.evidence.hides.tried_on, elapsed.evidence.hides.pairs, elapsed.evidence.hides.to_match) == (
        12,
        12,
        0,
    )
    assert host.settings == {
        "type": "pattern",
        "scope": "output",
        "path": '$["host"]',
        "regex": "[0-9A-Za-z]{5}",
        "reason": "differs in 12 of 12 pairs of legacy with itself",
    }
    # Legacy's total is steady: whatever it is, it is the candidate's.
    assert (found["total"].state, found["total"].refusal, found["total"].settings) == ("refused", "steady", None)


async def test_of_live_pairs_only_what_is_nearly_the_same_is_proposed(world: World) -> None:
    await recorded(
        world,
        {
            "host": HOSTS,
            "score": (drifting(1000), NEARLY),
            "cents": ([5 + number for number in range(PAIRS)], [500 + number * 100 for number in range(PAIRS)]),
            "amount": (drifting(1000), NEARLY),
            "fixed": (drifting(3), [1] * PAIRS),
            "texts": ([str(number) for number in range(PAIRS)], list(range(PAIRS))),
        },
    )
    found = await looked(world)
    assert (found["score"].source, found["score"].state) == ("history", "open")
    refusals = {name: one.refusal for name, one in found.items() if one.state == "refused"}
    assert refusals == {
        "host": "unwitnessed",
        "cents": "systematic",
        "amount": "protected",
        "fixed": "one_sided",
        "texts": "systematic",
    }
    assert all(one.because for one in found.values() if one.state == "refused")


async def test_few_pairs_tell_nothing(world: World) -> None:
    for number in range(3):
        await (await world.event(data={"order": number})).both(
            {"host": number}, candidate={"host": number + 7 * number + 1}
        )
    await judged(world)
    assert (await looked(world))["host"].refusal == "too_few"


async def test_an_accepted_rule_is_in_force_counted_and_ends(world: World) -> None:
    await recorded(world, {"host": HOSTS}, twice=True)
    await recorded(world, {"host": HOSTS})
    proposal = (await looked(world))["host"]
    rulebook = Rulebook(world.catalogue)
    before = rulebook.fingerprint(TASK)
    await accept(
        world.database, proposal.id, actor="ann", reason="names of machines", until=ago(-30), now=datetime.now(UTC)
    )
    page = await judge_again(world.database, rulebook, Again(TASK, ago(1)), limit=100, write=True)
    assert rulebook.fingerprint(TASK) != before
    assert {one.after for one in page.judged} == {"match"}
    assert await world.verdicts() == {"match": PAIRS}
    assert await world.rows("SELECT rule, sum(hid)::int FROM rule_tallies GROUP BY 1 HAVING sum(hid) > 0") == [
        (proposal.rule, PAIRS)
    ]
    # New pairs are judged with it at once by a judge that has looked.
    told = await world.event()
    await told.both({"host": "node7"}, candidate={"host": "node8"})
    await judged(world)
    assert await world.rows("SELECT verdict FROM pairs WHERE id = %s", told.pair) == [("match",)]
    kept = (await reported.of_task(world.database.engine, world.catalogue, TASK)).rules
    (shown,) = [rule for rule in kept if rule.rule == proposal.rule]
    assert (shown.key, shown.type, shown.hid) == (f"proposals[{proposal.id}]", "pattern", PAIRS + 1)
    assert await looked(world) == {}  # nothing differs any more
    now = await proposals.one(world.database.engine, proposal.id)
    assert now is not None
    assert (now.state, now.decided_by, now.reason) == ("accepted", "ann", "names of machines")
    await world.rows("UPDATE proposals SET expires_at = now() - interval '1 minute' RETURNING id")
    await judge_again(world.database, rulebook, Again(TASK, ago(1)), limit=100, write=True)
    assert rulebook.fingerprint(TASK) == before
    assert await world.verdicts() == {"mismatch": PAIRS + 1}
    expired = await proposals.one(world.database.engine, proposal.id)
    assert expired is not None
    assert expired.state == "expired"
    again = (await looked(world))["host"]
    assert (again.id, again.state) == (proposal.id, "open")  # whoever still wants it looks at it again


async def test_what_is_judged_is_marked_with_the_rules_that_it_was_judged_with(world: World) -> None:
    await recorded(world, {"host": HOSTS}, twice=True)
    proposal = (await looked(world))["host"]
    rulebook = Rulebook(world.catalogue)
    taken = rulebook.as_now()
    before = taken.fingerprint(TASK), taken.rules(TASK)
    await accept(world.database, proposal.id, actor="ann", reason="r", until=ago(-1), now=datetime.now(UTC))
    async with world.connection() as connection:
        await rulebook.look(connection)
    assert rulebook.fingerprint(TASK) != before[0]
    assert (taken.fingerprint(TASK), taken.rules(TASK)) == before


async def test_what_was_rejected_is_not_brought_up_again(world: World) -> None:
    await recorded(world, {"host": HOSTS}, twice=True)
    proposal = (await looked(world))["host"]
    await reject(world.database, proposal.id, actor="ann", reason="the machine matters")
    assert (await looked(world))["host"].state == "rejected"
    with pytest.raises(NothingToDecide, match="rejected already"):
        await reject(world.database, proposal.id, actor="ann", reason="the machine matters")


async def test_another_rule_for_a_place_is_another_proposal(world: World) -> None:
    await recorded(world, {"elapsed": (drifting(1000), drifting(1007))}, twice=True)
    first = (await looked(world))["elapsed"]
    assert (await looked(world))["elapsed"].id == first.id
    await recorded(world, {"elapsed": (drifting(1000), drifting(1107))}, twice=True)
    wider = (await looked(world))["elapsed"]
    assert wider.rule != first.rule
    with pytest.raises(LookupError):  # whoever saw the first accepts that one or none
        await accept(world.database, first.id, actor="ann", reason="r", until=ago(-1), now=datetime.now(UTC))
    await accept(world.database, wider.id, actor="ann", reason="r", until=ago(-1), now=datetime.now(UTC))


async def test_a_rule_taken_back_is_in_force_no_longer(world: World) -> None:
    await recorded(world, {"host": HOSTS}, twice=True)
    proposal = (await looked(world))["host"]
    await accept(world.database, proposal.id, actor="ann", reason="r", until=ago(-1), now=datetime.now(UTC))
    await reject(world.database, proposal.id, actor="bob", reason="it was not")
    rulebook = Rulebook(world.catalogue)
    async with world.connection() as connection:
        await rulebook.look(connection)
    assert rulebook.rules(TASK).values == ()


@pytest.mark.parametrize(
    ("reason", "days", "field"),
    [(" ", 30, "reason"), ("r" * 2001, 30, "reason"), ("r", 366, "until"), ("r", -1, "until")],
)
async def test_a_decision_needs_a_reason_and_an_end(world: World, reason: str, days: int, field: str) -> None:
    await recorded(world, {"host": HOSTS}, twice=True)
    proposal = (await looked(world))["host"]
    now = datetime.now(UTC)
    with pytest.raises(DecisionRefused) as refused:
        await accept(world.database, proposal.id, actor="ann", reason=reason, until=now + timedelta(days=days), now=now)
    assert refused.value.field == field


async def test_only_what_is_there_can_be_decided(world: World) -> None:
    await recorded(world, {"amount": (drifting(1000), NEARLY)})
    refused = (await looked(world))["amount"]
    now = datetime.now(UTC)
    with pytest.raises(NothingToDecide, match="no rule is proposed"):
        await accept(world.database, refused.id, actor="ann", reason="r", until=ago(-1), now=now)
    with pytest.raises(LookupError):
        await reject(world.database, UUID(int=1), actor="ann", reason="r")
    with pytest.raises(LookupError):
        await look(world.database, world.catalogue, "none", ago(1))
