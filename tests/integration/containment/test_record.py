"""What is on record of a task's containment: when it holds, how it ends, and that `shadow` needs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.containment.guard_told import GuardTold, keep
from shadow.containment.record import (
    Containment,
    DeclarationRefused,
    Leaks,
    State,
    begin_proof,
    declare,
    end_outdated,
    finish_proof,
    history,
    present,
    withdraw,
)
from shadow.containment.version import Sighting, current_version, saw_versions
from shadow.containment.watch import ContainmentWatch
from shadow.cutover.decision import Phase
from shadow.cutover.moves import MoveRefused
from shadow.reports.figures import read_installation
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.unit.shadow.catalogues import small

CATALOGUE = small()


async def proof(
    database: Database, task: str, version: str | None = "v1", *, proven: bool = True, leaks: Leaks = "none"
) -> Containment:
    async with database.connection(Work.CONTROL) as connection:
        begun = await begin_proof(connection, task, actor="ada")
        parts: dict[str, Any] = {
            "guard": {"state": "passed" if proven else "failed", "says": [], "todo": [], "warnings": []}
        }
        return await finish_proof(connection, begun, version=version, proven=proven, parts=parts, leaks=leaks)


async def deployed(database: Database, version: str, *tasks: str, app: str | None = None) -> None:
    """A worker of that version starts: its guard reports."""
    told = GuardTold(version=version, app=app, denies_other_hosts=True, fingerprints=["aa"])
    async with database.connection(Work.CONTROL) as connection:
        await keep(connection, Side.CANDIDATE, told, tasks or CATALOGUE.tasks)


async def ran(database: Database, task: str, version: str) -> None:
    """A run of that version ends, or makes a call."""
    async with database.connection(Work.CONTROL) as connection:
        await saw_versions(connection, [Sighting(task, Side.CANDIDATE, version)])


async def known(database: Database, task: str) -> Containment:
    async with database.connection(Work.CONTROL) as connection:
        return (await present(connection, [task]))[task]


async def to_shadow(database: Database, task: str) -> Any:
    return await move(database, CATALOGUE, task, Phase.SHADOW, actor="ada", reason="dual run")


async def test_nothing_enters_shadow_without_proof_or_declaration(database: Database) -> None:
    with pytest.raises(MoveRefused) as refusal:
        await to_shadow(database, "pay")
    for said in ("'pay': nothing is on record", "shadow contain pay", "--declare-harmless", "--reason"):
        assert said in str(refusal.value)


async def test_every_task_of_the_route_needs_it(database: Database) -> None:
    await declare(database, "sync-order", actor="ada", reason="it only writes our own tables")
    with pytest.raises(MoveRefused, match="'credit-creator': nothing is on record"):
        await to_shadow(database, "sync-order")
    await proof(database, "credit-creator")
    assert set((await to_shadow(database, "sync-order")).tasks) == {"sync-order", "credit-creator"}


async def test_a_failed_proof_lets_nobody_in_and_says_which_part(database: Database) -> None:
    await proof(database, "pay", proven=False)
    with pytest.raises(MoveRefused, match=r"its last proof failed \(guard\)"):
        await to_shadow(database, "pay")


async def test_a_proof_that_is_being_tried_is_none_yet(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        await begin_proof(connection, "pay", actor="ada")
    with pytest.raises(MoveRefused, match="still being tried"):
        await to_shadow(database, "pay")


async def test_moving_to_legacy_needs_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadow.cutover.moves.LEAD", timedelta(0))
    await declare(database, "pay", actor="ada", reason="harmless")
    await to_shadow(database, "pay")
    await withdraw(database, "pay", actor="bob", reason="it is not")
    assert (await move(database, CATALOGUE, "pay", Phase.LEGACY, actor="ada", reason="back")).to_phase is Phase.LEGACY
    with pytest.raises(MoveRefused, match="its declaration ended: withdrawn by bob: it is not"):
        await to_shadow(database, "pay")


async def test_a_declaration_needs_a_reason_and_is_on_record(database: Database) -> None:
    with pytest.raises(DeclarationRefused, match="needs a reason"):
        await declare(database, "pay", actor="ada", reason=" ")
    await declare(database, "pay", actor="ada", reason="only reads")
    found = await known(database, "pay")
    assert (found.state, found.actor, found.reason, found.leaks) == (State.DECLARED, "ada", "only reads", "unknown")


@pytest.mark.parametrize("told_by", ["guard", "run"])
async def test_a_proof_ends_with_the_candidates_version(database: Database, told_by: str) -> None:
    await deployed(database, "v1")
    await proof(database, "pay", "v1")
    assert await ContainmentWatch(database).once() == []
    await (deployed(database, "v2") if told_by == "guard" else ran(database, "pay", "v2"))
    with pytest.raises(MoveRefused, match="its proof is of version v1, and the candidate runs v2 now"):
        await to_shadow(database, "pay")
    assert await ContainmentWatch(database).once() == ["pay"]
    assert await ContainmentWatch(database).once() == []
    found = await known(database, "pay")
    assert (found.state, found.ended_because) == (
        State.ENDED,
        "the candidate's version changed from v1 to v2",
    )
    assert found.ended_at is not None


async def test_a_proof_does_not_end_with_the_version_of_another_app(database: Database) -> None:
    await deployed(database, "v1")
    for task in ("pay", "welcome"):
        await proof(database, task, "v1")
    await deployed(database, "v2", "welcome", app="mailer")
    await ran(database, "sync-order", "v3")
    assert await ContainmentWatch(database).once() == ["welcome"]
    assert (await known(database, "pay")).state is State.PROVEN


async def test_a_version_that_was_seen_meanwhile_ends_the_proof_though_the_proven_one_is_back(
    database: Database,
) -> None:
    """Two versions at work, as while one is rolled out: whichever spoke last."""
    await deployed(database, "v1")
    await proof(database, "pay", "v1")
    await ran(database, "pay", "v2")
    await ran(database, "pay", "v1")
    assert await ContainmentWatch(database).once() == ["pay"]


async def test_what_was_seen_before_a_proof_does_not_end_it(database: Database) -> None:
    await ran(database, "pay", "v1")
    await deployed(database, "v2")
    await proof(database, "pay", "v2")
    async with database.connection(Work.CONTROL) as connection:
        late = Sighting("pay", Side.CANDIDATE, "v1", datetime.now(UTC) - timedelta(hours=1))
        await saw_versions(connection, [late])  # of a run that ended then, as it is learned now
    assert await ContainmentWatch(database).once() == []


async def test_a_task_in_shadow_whose_proof_ended_stays_and_is_counted(database: Database) -> None:
    await proof(database, "pay", "v1")
    await to_shadow(database, "pay")
    await deployed(database, "v2")
    await ContainmentWatch(database).once()
    figures = await read_installation(database.engine, CATALOGUE)
    assert (figures.containments["pay"], figures.containments["welcome"]) == ("ended", "none")
    async with database.connection(Work.CONTROL) as connection:
        row = await (await connection.execute("SELECT phase FROM phases WHERE task = 'pay'")).fetchone()
    assert row == ("shadow",)


async def test_a_declaration_does_not_end_with_a_version(database: Database) -> None:
    await declare(database, "pay", actor="ada", reason="only reads")
    await deployed(database, "v2")
    await ContainmentWatch(database).once()
    assert (await known(database, "pay")).holds


async def test_runs_of_another_task_say_nothing(database: Database) -> None:
    await proof(database, "pay", "v1")
    await ran(database, "welcome", "v2")
    assert await ContainmentWatch(database).once() == []


async def test_a_later_proof_ends_the_earlier_whichever_way_it_went(database: Database) -> None:
    first = await proof(database, "pay", "v1")
    await proof(database, "pay", "v1", proven=False, leaks="found")
    found = await known(database, "pay")
    assert (found.state, found.leaks) == (State.FAILED, "found")
    async with database.connection(Work.CONTROL) as connection:
        kept = await history(connection, "pay")
    assert [one.state for one in kept] == [State.FAILED, State.ENDED]
    assert kept[1].id == first.id


async def test_a_declaration_made_before_a_failed_proof_still_holds(database: Database) -> None:
    """A person looked and decided; a proof that could not be made is no news of harm."""
    await declare(database, "pay", actor="ada", reason="only reads")
    await proof(database, "pay", proven=False)
    assert (await known(database, "pay")).state is State.DECLARED


async def test_a_leak_refutes_a_declaration(database: Database) -> None:
    await declare(database, "pay", actor="ada", reason="only reads")
    await proof(database, "pay", proven=False, leaks="found")
    with pytest.raises(MoveRefused, match="its last proof failed"):
        await to_shadow(database, "pay")


async def test_a_proof_that_nobody_can_be_trying_any_more_has_failed(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        await begin_proof(connection, "pay", actor="ada")
        await connection.execute("UPDATE containments SET made_at = made_at - interval '3 hours'")
        await end_outdated(connection)
    found = await known(database, "pay")
    assert (found.state, found.ended_because) == (State.FAILED, "the process that tried it ended")


async def test_the_version_is_the_one_seen_last(database: Database) -> None:
    async def current() -> str | None:
        async with database.connection(Work.CONTROL) as connection:
            return await current_version(connection, "pay")

    assert await current() is None
    await deployed(database, "v1")
    assert await current() == "v1"
    await ran(database, "pay", "v2")
    assert await current() == "v2"
    await deployed(database, "v3")
    assert await current() == "v3"
