"""A proof needs all of its parts; each says what was found and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.containment.guard_told import GuardTold, keep
from shadow.containment.part import Part, PartName
from shadow.containment.record import Containment, State, present
from shadow.containment.version import Sighting, saw_versions
from shadow.store.database import Database, Work
from tests.integration.containment.stage import (
    BANK_KEY,
    LOOKUP,
    TASK,
    TRANSFER,
    WIRE,
    Did,
    Stage,
    stage_of,
)

ALL = (Did(TRANSFER), Did(WIRE), Did(LOOKUP, "replay", writes=False))


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    """Legacy paid by either way in two runs; the candidate's worker is guarded."""
    async with stage_of(database) as made:
        await made.legacy_run(LOOKUP, TRANSFER)
        await made.legacy_run(WIRE, by_name=True)
        await made.guard()
        yield made


async def proven(stage: Stage) -> Containment:
    return await stage.prover.prove(TASK, actor="ada")


def states(found: Containment) -> dict[str, str]:
    return {name: part["state"] for name, part in found.parts.items()}


def says(found: Containment, part: str) -> str:
    return "\n".join([*found.parts[part]["says"], *found.parts[part]["todo"], *found.parts[part]["warnings"]])


async def test_all_parts_together_are_a_proof(stage: Stage) -> None:
    found = await proven(stage)
    assert states(found) == dict.fromkeys(("guard", "databases", "canary", "witness"), "passed"), found.parts
    assert (found.state, found.version, found.leaks, found.actor) == (State.PROVEN, "v1", "none", "ada")
    async with stage.database.connection(Work.CONTROL) as connection:
        kept = (await present(connection, [TASK]))[TASK]
    assert (kept.id, kept.state, kept.parts) == (found.id, State.PROVEN, found.parts)


async def test_the_witness_is_asked_with_the_real_credential(stage: Stage) -> None:
    await proven(stage)
    assert stage.bank.asked_with == [f"Bearer {BANK_KEY}"] * 2


async def test_enough_events_are_repeated_to_show_every_shape(stage: Stage) -> None:
    """Neither run alone paid both ways; runs that add nothing are not repeated."""
    for _ in range(5):
        await stage.legacy_run(TRANSFER)
    found = await proven(stage)
    assert len(stage.candidate.repeated) == 2
    assert found.parts["canary"]["facts"]["dispositions"] == {"stub": 4, "replay": 2}


async def test_progress_is_told_part_by_part(stage: Stage) -> None:
    told: list[str] = []

    class Watching:
        def working(self, part: PartName, text: str) -> None:
            told.append(f"{part}...")

        def done(self, part: PartName, result: Part) -> None:
            told.append(f"{part} {result.state}")

    stage.prover.progress = Watching()
    await proven(stage)
    assert [one for one in told if not one.endswith("...")] == [
        "guard passed",
        "databases passed",
        "canary passed",
        "witness passed",
    ]
    assert told.index("canary...") < told.index("canary passed")


# ---------------------------------------------------------------- guard


async def test_without_a_guard_there_is_no_proof_and_nothing_is_sent(database: Database) -> None:
    async with stage_of(database) as stage:
        await stage.legacy_run(TRANSFER)
        found = await proven(stage)
        assert found.state is State.FAILED
        assert states(found) == {"guard": "failed", "databases": "passed", "canary": "unknown", "witness": "unknown"}
        assert "no guard" in says(found, "guard")
        assert "client package" in says(found, "guard")
        assert stage.candidate.repeated == []


@pytest.mark.parametrize(
    ("held", "where"),
    [
        (BANK_KEY, "targets.bank.credential.secret"),  # the token of `Bearer ...`
        (f"Bearer {BANK_KEY}", "targets.bank.credential.secret"),
        ("tr_prod_legacy", "platforms.trigger.secret_key"),  # would start legacy's tasks
        ("producer-key", "sources.app.keys.0"),  # would pass for a producer
        ("report-legacy", "report_keys.legacy.0"),
    ],
)
async def test_a_worker_that_holds_a_real_secret_is_not_contained(stage: Stage, held: str, where: str) -> None:
    await stage.guard(held)
    found = await proven(stage)
    assert states(found)["guard"] == "failed"
    assert f"holds a real secret: {where}" in says(found, "guard")
    assert held not in str(found.parts)
    assert stage.candidate.repeated == []


async def test_the_candidates_own_keys_are_its_own(stage: Stage) -> None:
    await stage.guard("inngest-own-key", "candidate-event-key", "report-candidate")
    assert states(await proven(stage))["guard"] == "passed"


@pytest.mark.parametrize(
    ("denies", "allowed", "verdict", "said"),
    [
        (False, [], "failed", "lets every host through"),
        (True, ["wire.test"], "failed", "the target wire is"),
        (True, ["WIRE.test:443"], "failed", "the target wire is"),
        (True, ["*.test"], "failed", "the target wire is"),
        (True, ["https://wire.test/"], "failed", "the target wire is"),
        (True, ["elsewhere.test"], "failed", "neither the gateway nor"),
        (True, ["*"], "failed", "the target bank, wire is"),
        (True, ["inngest.test"], "passed", "inngest.test"),
        (True, ["gateway.test:8484"], "passed", "gateway.test"),
        (True, ["wire.test:80"], "failed", "neither the gateway nor"),  # the target is at 443
    ],
)
async def test_only_the_gateway_and_the_platform_may_be_let_through(
    stage: Stage, denies: bool, allowed: list[str], verdict: str, said: str
) -> None:
    await stage.guard(denies=denies, allowed=allowed)
    found = await proven(stage)
    assert states(found)["guard"] == verdict
    assert said in says(found, "guard")


async def test_a_guard_that_reaches_only_its_own_clients_is_warned_of(stage: Stage) -> None:
    found = await proven(stage)
    assert "to the HTTP clients that the client package made" in says(found, "guard")
    assert "capture.install()" in says(found, "guard")
    await stage.guard(covers="process")
    found = await proven(stage)
    assert found.parts["guard"]["warnings"] == []
    assert found.parts["guard"]["says"][0] == "every host but the gateway is denied"


async def test_a_guard_of_another_version_than_runs_now_shows_nothing(stage: Stage) -> None:
    async with stage.database.connection(Work.CONTROL) as connection:
        await saw_versions(connection, [Sighting(TASK, Side.CANDIDATE, "v2")])
    found = await proven(stage)
    assert "runs version v2, and the newest guard that reported is of v1" in says(found, "guard")


async def test_a_guard_that_tells_no_version_shows_nothing(database: Database) -> None:
    async with stage_of(database) as stage:
        await stage.guard(version=None)
        assert "tells no version" in says(await proven(stage), "guard")


# ---------------------------------------------------------------- canary


async def test_a_shape_of_legacys_that_is_not_shown_is_named(stage: Stage) -> None:
    stage.candidate.does = ALL[:1]
    found = await proven(stage)
    assert (found.state, states(found)["canary"]) == (State.FAILED, "failed")
    assert found.parts["canary"]["facts"]["missing"] == ["http bank GET /v1/accounts/{id}", "http wire POST /payouts"]
    assert "not shown: http wire POST /payouts" in says(found, "canary")


async def test_what_legacy_did_more_than_30_days_ago_is_not_asked_for(database: Database) -> None:
    async with stage_of(database) as stage:
        await stage.legacy_run(WIRE, days_ago=31)
        await stage.legacy_run(TRANSFER)
        await stage.guard()
        stage.candidate.does = ALL[:1]
        found = await proven(stage)
        assert found.parts["canary"]["facts"]["legacy_shapes"] == ["http bank POST /v1/transfers"]
        assert found.state is State.PROVEN


async def test_a_write_that_was_passed_on_is_a_leak(stage: Stage) -> None:
    stage.candidate.does = (replace(ALL[0], disposition="forward"), *ALL[1:])
    found = await proven(stage)
    assert (found.state, found.leaks) == (State.FAILED, "found")
    assert "the gateway passed a write on: http bank POST /v1/transfers" in says(found, "canary")


async def test_a_read_may_be_passed_on(stage: Stage) -> None:
    stage.candidate.does = (*ALL[:2], Did(LOOKUP, "forward", writes=False))
    assert (await proven(stage)).state is State.PROVEN


async def test_a_write_that_was_refused_wants_a_stub(stage: Stage) -> None:
    stage.candidate.does = (ALL[0], replace(ALL[1], disposition="refuse"), ALL[2])
    found = await proven(stage)
    assert states(found)["canary"] == "failed"
    assert "declare a stub for it at the target wire" in says(found, "canary")


async def test_a_workers_word_is_no_proof_of_what_the_gateway_should_have_seen(stage: Stage) -> None:
    stage.candidate.does = (Did(TRANSFER, None, None, "report", "report"), *ALL[1:])
    found = await proven(stage)
    assert "the worker reported it, but the gateway did not see it" in says(found, "canary")


async def test_what_only_workers_can_see_may_be_shown_by_a_report(stage: Stage) -> None:
    """A file written, say: legacy's ledger has it from reports alone, and no target of that name is declared."""
    file = ("file", "disk", "write")
    event = await stage.legacy_run(TRANSFER)
    async with stage.database.connection(Work.CONTROL) as connection:
        await connection.execute(
            """INSERT INTO effects (id, side, run_id, sequence, kind, target, operation, seen_by)
               SELECT gen_random_uuid(), 'legacy', id, 2, %s, %s, %s, 'report' FROM runs WHERE event_id = %s""",
            (*file, event),
        )
    assert "not shown: file disk write" in says(await proven(stage), "canary")
    stage.candidate.does = (*ALL, Did(file, None, None, "report", "report"))
    assert (await proven(stage)).state is State.PROVEN


async def test_a_run_that_does_not_end_is_no_proof(stage: Stage) -> None:
    stage.candidate.finishes = False
    stage.prover.patience = timedelta(seconds=0.1)
    found = await proven(stage)
    assert "did not end in time" in says(found, "canary")
    assert "shadow work" in says(found, "canary")


async def test_a_run_that_failed_is_told_though_it_showed_everything(stage: Stage) -> None:
    stage.candidate.status = "failed"
    found = await proven(stage)
    assert found.state is State.PROVEN
    assert "ended failed: no such account" in says(found, "canary")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_authority": "candidate"}, "accepted with authority candidate"),
        ({"event_authority": "legacy"}, "accepted with authority legacy"),
        ({"purpose": "live"}, "purpose live"),
    ],
)
async def test_an_event_that_would_run_with_authority_ends_it_at_once(
    stage: Stage, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(stage.candidate, name, value)
    found = await proven(stage)
    assert states(found)["canary"] == "failed"
    assert said in says(found, "canary")


async def test_a_run_with_authority_was_no_canary(stage: Stage) -> None:
    stage.candidate.authority = "real"
    assert "had authority" in says(await proven(stage), "canary")


async def test_a_canary_of_another_version_is_none_for_this_one(stage: Stage) -> None:
    stage.candidate.version = "v2"
    found = await proven(stage)
    assert "was of version v2, and the guard that reported is of v1" in says(found, "canary")


async def test_without_any_run_of_legacys_there_is_nothing_to_repeat(database: Database) -> None:
    async with stage_of(database) as stage:
        await stage.guard()
        found = await proven(stage)
        assert found.state is State.FAILED
        assert "there is no event to repeat" in says(found, "canary")


async def test_events_whose_originals_are_gone_can_t_be_repeated(database: Database) -> None:
    async with stage_of(database) as stage:
        event = await stage.legacy_run(TRANSFER)
        await stage.guard()
        stage.candidate.gone = [event]
        found = await proven(stage)
        assert found.state is State.FAILED
        assert "no event could be repeated" in says(found, "canary")


# ---------------------------------------------------------------- witness


async def test_a_new_item_at_the_provider_that_no_forwarded_call_made_is_a_leak(stage: Stage) -> None:
    async def leak() -> None:
        stage.bank.transfers.append({"id": "tr_leaked"})

    stage.candidate.also = leak
    found = await proven(stage)
    assert (found.state, found.leaks, states(found)["witness"]) == (State.FAILED, "found", "failed")
    assert "bank lists what no forwarded call made: tr_leaked" in says(found, "witness")


async def test_a_new_item_that_legacy_made_meanwhile_is_explained(stage: Stage) -> None:
    async def legacy_pays() -> None:
        stage.bank.transfers.append({"id": "tr_legacys"})
        await stage.forwarded({"id": "tr_legacys", "object": "transfer"})

    stage.candidate.also = legacy_pays
    found = await proven(stage)
    assert (found.state, found.leaks) == (State.PROVEN, "none")
    assert found.parts["witness"]["facts"]["bank"]["explained"] == 1


async def test_the_same_call_does_not_explain_another_item(stage: Stage) -> None:
    async def both() -> None:
        stage.bank.transfers += [{"id": "tr_legacys"}, {"id": "tr_leaked"}]
        await stage.forwarded({"id": "tr_legacys"})

    stage.candidate.also = both
    assert (await proven(stage)).leaks == "found"


async def test_what_the_guard_saw_pass_is_a_leak(stage: Stage) -> None:
    stage.candidate.also = lambda: met(stage, denied=False)
    found = await proven(stage)
    assert (found.state, found.leaks) == (State.FAILED, "found")
    assert "the worker's guard saw a call to api.wire.test" in says(found, "witness")


async def test_what_the_guard_denied_is_none_and_is_told(stage: Stage) -> None:
    stage.candidate.also = lambda: met(stage, denied=True)
    found = await proven(stage)
    assert (found.state, found.leaks) == (State.PROVEN, "none")
    assert "the worker's guard met a call to api.wire.test was denied" in says(found, "witness")


async def met(stage: Stage, *, denied: bool) -> None:
    """The guard of the present version meets a host, and tells."""
    told = {"version": "v1", "denies_other_hosts": True, "hosts": [{"host": "api.wire.test", "denied": denied}]}
    async with stage.database.connection(Work.CONTROL) as connection:
        await keep(connection, Side.CANDIDATE, GuardTold.model_validate(told), [TASK])


async def test_without_a_witness_leaks_are_unknown_and_nothing_is_proven(database: Database) -> None:
    """The client package did not show itself in the canary's runs, and no provider can be asked."""
    async with stage_of(database, witness="") as stage:
        await stage.legacy_run(TRANSFER)
        await stage.guard()
        stage.candidate.does = [Did(TRANSFER, attributed_by="key")]
        found = await proven(stage)
        assert (found.state, found.leaks, states(found)["witness"]) == (State.FAILED, "unknown", "unknown")
        assert "nobody outside the gateway watched bank" in says(found, "witness")


async def test_every_target_that_is_written_to_needs_a_witness(stage: Stage) -> None:
    """The bank can be asked and saw nothing; of the wire nobody knows."""
    stage.candidate.does = [replace(one, attributed_by="key") for one in ALL]
    found = await proven(stage)
    assert found.leaks == "unknown"
    assert "nobody outside the gateway watched wire" in says(found, "witness")


async def test_a_provider_that_does_not_answer_is_no_witness(database: Database) -> None:
    async with stage_of(database) as stage:
        await stage.legacy_run(TRANSFER)
        await stage.guard()
        stage.bank.status = 500
        stage.candidate.does = [Did(TRANSFER, attributed_by="key")]
        found = await proven(stage)
        assert found.leaks == "unknown"
        assert "bank: it answered 500" in says(found, "witness")


# ---------------------------------------------------------------- the attempt itself


async def test_a_proof_that_breaks_off_is_kept_as_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr("shadow.containment.proof.legacy_ledger", broken)
    with pytest.raises(RuntimeError):
        await proven(stage)
    async with stage.database.connection(Work.CONTROL) as connection:
        kept = (await present(connection, [TASK]))[TASK]
    assert kept.state is State.FAILED
    assert "it broke off: RuntimeError: no disk" in says(kept, "canary")


async def test_an_unknown_task_is_refused(stage: Stage) -> None:
    with pytest.raises(KeyError):
        await stage.prover.prove("nobody", actor="ada")
