"""The judge over a real database: verdicts, differences, signatures and tallies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

import shadow.judge.judging
import shadow.judge.writing
from comparators import Ledger, Rules
from comparators import judge as compare
from shadow.catalogue.model import Side
from shadow.judge.evidence_text import storable_json
from shadow.judge.loop import JudgeLoop, Round
from shadow.store import codec
from tests.integration.judge.world import DEADLINE, SETTLE, Told, World

LATER = timedelta(minutes=1)


def after(told: Told, delay: timedelta) -> datetime:
    return told.accepted_at + delay


async def pair_row(world: World, told: Told) -> dict[str, Any]:
    columns = ("state", "verdict", "reason", "severity", "difference_count", "due_at", "revision")
    rows = await world.rows(f"SELECT {', '.join(columns)} FROM pairs WHERE id = %s", told.pair)
    return dict(zip(columns, rows[0], strict=True))


async def test_equal_runs_match(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both({"synced": True})
    assert await judge.once(after(told, LATER)) == Round(claimed=1, judged=1)
    row = await pair_row(world, told)
    assert (row["state"], row["verdict"], row["due_at"], row["revision"]) == ("judged", "match", None, 1)
    assert await world.verdicts() == {"match": 1}


async def test_runs_settle_before_they_are_judged(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both({"synced": True}, after=1)
    soon = datetime.now(UTC) + timedelta(seconds=1)  # it was made due just now
    assert await judge.once(soon) == Round(claimed=1, postponed=1)
    row = await pair_row(world, told)
    assert row["state"] == "settling"
    assert row["due_at"] == told.accepted_at + timedelta(seconds=1) + SETTLE
    assert await judge.once(soon) == Round()
    assert (await judge.once(row["due_at"])).judged == 1


async def test_one_finished_run_waits_for_the_other_until_the_deadline(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.finished(Side.LEGACY, output=1)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["state"], row["verdict"], row["due_at"]) == ("waiting", None, told.accepted_at + DEADLINE)
    await judge.once(after(told, DEADLINE))
    assert (await pair_row(world, told))["verdict"] == "missing_candidate"
    assert await world.verdicts() == {"missing_candidate": 1}


async def test_a_run_that_arrives_late_corrects_the_verdict_and_every_count(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.finished(Side.LEGACY, output=1)
    await judge.once(after(told, DEADLINE))
    assert await world.verdicts() == {"missing_candidate": 1}
    await told.finished(Side.CANDIDATE, output=1, after=1000)
    await judge.once(after(told, timedelta(hours=1)))
    row = await pair_row(world, told)
    assert (row["verdict"], row["revision"]) == ("match", 2)
    assert await world.verdicts() == {"match": 1}


async def test_without_any_run_a_pair_is_not_comparable(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await judge.once(after(told, DEADLINE))
    row = await pair_row(world, told)
    assert (row["verdict"], row["reason"]) == ("not_comparable", "no run ended")


async def test_flow_control_of_the_candidate_names_itself_as_the_reason(world: World, judge: JudgeLoop) -> None:
    told = await world.event("digest")
    await told.finished(Side.LEGACY, output=1)
    await judge.once(after(told, DEADLINE))
    row = await pair_row(world, told)
    assert row["verdict"] == "missing_candidate"
    assert "debounce" in row["reason"]


async def test_a_reason_why_a_pair_cannot_be_compared_is_passed_on(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1)
    await told.incomparable("changed_by_producer")
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["verdict"], row["reason"]) == ("not_comparable", "changed_by_producer")


@pytest.mark.parametrize("reason", ["changed_by_producer", "changed_by_producer: it had ended before"])
async def test_what_the_producer_changed_is_neither_a_mismatch_nor_missing(
    world: World, judge: JudgeLoop, reason: str
) -> None:
    cancelled, alone = await world.event(), await world.event()
    await cancelled.finished(Side.LEGACY, status="cancelled")
    await cancelled.finished(Side.CANDIDATE, output={"synced": True})
    await alone.finished(Side.LEGACY, status="cancelled")
    for told in (cancelled, alone):
        await told.incomparable(reason)
    await judge.once(after(alone, DEADLINE))
    for told in (cancelled, alone):
        row = await pair_row(world, told)
        assert (row["verdict"], row["reason"], row["difference_count"]) == ("not_comparable", reason, 0)
    assert await world.verdicts() == {"not_comparable": 2}


async def test_any_other_reason_leaves_a_found_difference_standing(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1, candidate=2)
    await told.incomparable("run_shared: by an earlier event")
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "mismatch"


@pytest.mark.parametrize("said", ["stale_world: orders changed 2.5 s after the event", "not_copied: no such table"])
@pytest.mark.parametrize("candidate", [{"a": 1}, {"a": 2}], ids=["equal", "different"])
async def test_runs_that_found_different_rows_are_not_compared(
    world: World, judge: JudgeLoop, said: str, candidate: Any
) -> None:
    """Neither what differs nor what is equal says anything of the port then."""
    told = await world.event()
    await told.both({"a": 1}, candidate=candidate)
    await told.found(said)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["verdict"], row["reason"]) == ("not_comparable", said)


@pytest.mark.parametrize("said", ["copied", "late"])
async def test_rows_that_were_there_are_no_reason(world: World, judge: JudgeLoop, said: str) -> None:
    told = await world.event()
    await told.both({"a": 1}, candidate={"a": 2})
    await told.found(said)
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "mismatch"


async def test_a_run_that_never_came_is_missing_whatever_rows_it_would_have_found(
    world: World, judge: JudgeLoop
) -> None:
    told = await world.event()
    await told.finished(Side.LEGACY, output={"a": 1})
    await told.found("stale_world: orders changed 2.5 s after the event")
    await judge.once(after(told, DEADLINE + timedelta(seconds=1)))
    assert (await pair_row(world, told))["verdict"] == "missing_candidate"


async def test_an_output_that_nobody_knows_is_no_difference_and_no_match(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.finished(Side.LEGACY, output={"a": 1})
    await told.finished(Side.CANDIDATE, output_known=False)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert row["verdict"] == "not_comparable"
    assert row["reason"] == "it is not known what the candidate run returned"


async def test_effects_are_identified_and_ignored_by_the_rules_of_the_task(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    for side, took in ((Side.LEGACY, 3), (Side.CANDIDATE, 4)):
        await told.effect(side, {"requestId": "r1", "amount": 100}, after=0.5)
        await told.finished(side, output={"tookMs": took})
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "match"


async def test_a_difference_is_kept_with_both_values_and_its_signature(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.effect(Side.LEGACY, {"requestId": "r1", "amount": 100})
    await told.effect(Side.CANDIDATE, {"requestId": "r1", "amount": 900})
    await told.both(None)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["verdict"], row["severity"], row["difference_count"]) == ("mismatch", "critical", 1)
    differences = await world.rows("SELECT signature, severity, legacy, candidate FROM differences")
    assert [difference[1:] for difference in differences] == [("critical", 100, 900)]
    signatures = await world.rows("SELECT id, task, pairs, example_pair FROM signatures")
    assert signatures == [(differences[0][0], "order-sync", 1, told.pair)]


async def test_a_late_effect_reopens_a_pair_and_takes_its_difference_back(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.effect(Side.LEGACY, {"requestId": "r1", "amount": 100})
    await told.both(None)
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "mismatch"
    assert await world.signature_counts() == [(1, 1)]

    await told.effect(Side.CANDIDATE, {"requestId": "r1", "amount": 100}, after=70)
    await judge.once(after(told, timedelta(seconds=71)))
    settling = await pair_row(world, told)
    assert (settling["state"], settling["verdict"]) == ("settling", "mismatch")  # holds until judged anew
    assert await world.verdicts() == {"mismatch": 1}

    await judge.once(after(told, timedelta(seconds=75)))
    assert (await pair_row(world, told))["verdict"] == "match"
    assert await world.verdicts() == {"match": 1}
    assert await world.signature_counts() == [(0, 0)]
    assert await world.rows("SELECT 1 FROM differences") == []


async def test_signatures_group_pairs_of_all_tenants_and_keep_a_living_example(world: World, judge: JudgeLoop) -> None:
    told = [await world.event(tenant=tenant) for tenant in ("acme", "acme", "zeta", None)]
    for item in told:
        await item.both({"state": "new"}, candidate={"state": "old"})
    await judge.once(after(told[-1], LATER))
    assert await world.signature_counts() == [(4, 4)]
    assert await world.rows("SELECT tenant, pairs FROM signature_tenants ORDER BY tenant") == [
        ("", 1),
        ("acme", 2),
        ("zeta", 1),
    ]
    (example,) = (await world.rows("SELECT example_pair FROM signatures"))[0]
    mended = next(item for item in told if item.pair == example)
    await mended.finished(Side.CANDIDATE, output={"state": "new"})
    await judge.once(after(told[-1], LATER))
    assert await world.signature_counts() == [(3, 3)]
    (other,) = (await world.rows("SELECT example_pair FROM signatures"))[0]
    assert other in {item.pair for item in told} - {mended.pair}


async def test_judging_again_without_news_changes_no_count(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1, candidate=2)
    for revision in (1, 2, 3):
        await judge.once(after(told, LATER))
        assert (await pair_row(world, told))["revision"] == revision
        assert await world.verdicts() == {"mismatch": 1}
        assert await world.signature_counts() == [(1, 1)]
        async with world.connection() as connection:
            await told.disturb(connection)


async def test_a_comparator_that_fails_spoils_its_own_pair_only(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = await world.event(), await world.event(data={"poison": True})
    for told in (good, bad):
        await told.both(1)

    def failing(legacy: Ledger | None, candidate: Ledger | None, rules: Rules, **more: Any) -> Any:
        if more["known"] == {"poison": True}:
            raise ZeroDivisionError("no such luck")
        return compare(legacy, candidate, rules, **more)

    monkeypatch.setattr(shadow.judge.judging, "judge", failing)
    assert (await judge.once(after(bad, LATER))).judged == 2
    assert (await pair_row(world, good))["verdict"] == "match"
    row = await pair_row(world, bad)
    assert row["verdict"] == "not_comparable"
    assert row["reason"] == "judge failed: ZeroDivisionError: no such luck"


async def test_what_is_no_json_spoils_its_own_pair_only(world: World, judge: JudgeLoop) -> None:
    good, bad = await world.event(), await world.event()
    await good.both(1)
    await bad.finished(Side.LEGACY, raw_output=b"<html>")
    await bad.finished(Side.CANDIDATE, output=1)
    await judge.once(after(bad, LATER))
    assert (await pair_row(world, good))["verdict"] == "match"
    assert (await pair_row(world, bad))["reason"].startswith("judge failed: JSONDecodeError")


async def test_an_event_that_is_no_json_keeps_no_other_pair_waiting(world: World, judge: JudgeLoop) -> None:
    good, bad, settling = await world.event(), await world.event(), await world.event()
    for told in (good, bad):
        await told.both(1)
    await settling.both(1, after=50)
    async with world.connection() as connection:
        broken = codec.encode_evidence(b"<html>")
        statement = "UPDATE bodies SET content = %s WHERE id = %s AND part = 'evidence'"
        await connection.execute(statement, (broken, bad.event))
    assert await judge.once(after(good, timedelta(seconds=52))) == Round(claimed=3, postponed=1, judged=2)
    assert (await pair_row(world, bad))["verdict"] == "not_comparable"
    assert (await pair_row(world, settling))["state"] == "settling"


async def test_a_pair_that_somebody_writes_to_meanwhile_gets_its_verdict(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await world.event()
    await told.both(1)
    real = judge._write

    async def beside(judgements: Any, lease: datetime) -> Any:
        async with world.connection() as connection:
            await connection.execute("UPDATE pairs SET probe_lease = now() WHERE id = %s", (told.pair,))
            writing = asyncio.create_task(real(judgements, lease))
            while not await world.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 (only rows tell)
                await asyncio.sleep(0.01)
        return await writing

    monkeypatch.setattr(judge, "_write", beside)
    assert await judge.once(after(told, LATER)) == Round(claimed=1, judged=1)
    assert (await pair_row(world, told))["verdict"] == "match"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"note": "a\\u0000b"}',  # jsonb refuses NUL
        b'{"note": "\\ud800"}',  # and lone surrogates
        b'{"note": 123456789012345678901234567890}',  # past what orjson reads
        b"[" * 400 + b"]" * 400,  # deeper than orjson goes
        b'{"note": "' + b"x" * 100_000 + b'"}',  # larger than is kept with a difference
    ],
)
async def test_evidence_that_postgresql_refuses_is_still_a_mismatch(world: World, judge: JudgeLoop, raw: bytes) -> None:
    told = await world.event()
    await told.finished(Side.LEGACY, raw_output=raw)
    await told.finished(Side.CANDIDATE, output={"note": "other"})
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "mismatch"


async def test_what_the_database_refuses_spoils_its_own_pair_only(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = await world.event(), await world.event()
    await good.both(1, candidate=2)
    await bad.both(1, candidate="poison")
    monkeypatch.setattr(
        shadow.judge.writing, "storable_json", lambda value: "{" if value == "poison" else storable_json(value)
    )
    assert (await judge.once(after(bad, LATER))).judged == 2
    assert (await pair_row(world, good))["verdict"] == "mismatch"
    row = await pair_row(world, bad)
    assert row["verdict"] == "not_comparable"
    assert row["reason"].startswith("judge failed: InvalidTextRepresentation")
    assert await world.signature_counts() == [(1, 1)]


async def test_what_a_second_run_of_the_event_did_was_done_too(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    for side in Side:
        await told.effect(side, {"requestId": "r1", "amount": 100})
    await told.both(1)
    again = await told.doubled(Side.CANDIDATE)
    await told.effect(Side.CANDIDATE, {"requestId": "r1", "amount": 100}, run=again)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["verdict"], row["reason"]) == ("mismatch", "candidate ran more than once for this event")
    assert await world.rows("SELECT kind FROM differences") == [("effect.duplicate",)]


async def test_a_second_run_that_did_nothing_is_no_match(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1)
    await told.doubled(Side.CANDIDATE)
    await judge.once(after(told, LATER))
    row = await pair_row(world, told)
    assert (row["verdict"], row["reason"]) == ("not_comparable", "candidate ran more than once for this event")


async def test_late_effects_of_a_second_run_are_waited_for(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1)
    again = await told.doubled(Side.CANDIDATE)
    await told.effect(Side.CANDIDATE, {"requestId": "r1"}, after=58, run=again)
    assert await judge.once(after(told, LATER)) == Round(claimed=1, postponed=1)


@pytest.mark.parametrize(
    "finished_at",
    [
        "9999-12-31 23:59:59+00",  # settling would end after the last moment there is
        "20000-01-01 00:00:00+00",  # later than any that can be read
        "0100-01-01 00:00:00+00 BC",
    ],
)
async def test_a_moment_that_cannot_be_spoils_its_own_pair_only(
    world: World, judge: JudgeLoop, finished_at: str
) -> None:
    good, bad = await world.event(), await world.event()
    for told in (good, bad):
        await told.both(1)
    await world.rows("UPDATE runs SET finished_at = %s WHERE id = %s RETURNING 1", finished_at, bad.run(Side.LEGACY))
    assert (await judge.once(after(bad, LATER))).judged == 2
    assert (await pair_row(world, good))["verdict"] == "match"
    row = await pair_row(world, bad)
    assert row["verdict"] == "not_comparable"
    assert row["reason"].startswith("judge failed: ")


async def test_evidence_that_cannot_be_read_spoils_its_own_pair_only(world: World, judge: JudgeLoop) -> None:
    good, bad = await world.event(), await world.event()
    for told in (good, bad):
        await told.effect(Side.LEGACY, {"requestId": "r1"})
        await told.effect(Side.CANDIDATE, {"requestId": "r1"})
        await told.both(1)
    await world.rows(
        "UPDATE effects SET occurred_at = '20000-01-01 00:00:00+00' WHERE platform_run_id = %s RETURNING 1",
        bad.platform_run(Side.LEGACY),
    )
    assert (await judge.once(after(bad, LATER))).judged == 2
    assert (await pair_row(world, good))["verdict"] == "match"
    assert (await pair_row(world, bad))["reason"].startswith("judge failed: DataError")


async def test_a_judgement_made_without_the_newest_effect_is_void(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await world.event()
    await told.both(None)
    real = judge._write

    async def disturbed(judgements: Any, lease: datetime) -> Any:
        await told.effect(Side.CANDIDATE, {"requestId": "r9"}, after=2)  # between reading and writing
        return await real(judgements, lease)

    monkeypatch.setattr(judge, "_write", disturbed)
    assert await judge.once(after(told, LATER)) == Round(claimed=1)
    row = await pair_row(world, told)
    assert (row["verdict"], row["revision"]) == (None, 0)
    monkeypatch.undo()
    await judge.once(after(told, LATER))
    assert (await pair_row(world, told))["verdict"] == "mismatch"


async def test_a_killed_judge_leaves_its_pairs_to_the_next(world: World, judge: JudgeLoop) -> None:
    told = await world.event()
    await told.both(1)
    claimed_at = after(told, LATER)
    async with world.connection() as connection:
        await judge._claim(connection, claimed_at)  # and nothing more
    assert await judge.once(claimed_at) == Round()
    assert (await judge.once(claimed_at + timedelta(minutes=3))).judged == 1


async def test_several_judges_share_the_work_and_count_each_pair_once(world: World) -> None:
    pairs = 120
    told = [await world.event(tenant=f"t{number % 7}") for number in range(pairs)]
    for number, item in enumerate(told):
        await item.both({"kind": number % 3}, candidate={"kind": number % 2})
    judges = [JudgeLoop(world.database, world.catalogue, batch=10) for _ in range(3)]
    moment = after(told[-1], LATER)

    async def work(judge: JudgeLoop) -> int:
        judged = 0
        while (done := await judge.once(moment)).claimed:
            judged += done.judged
        return judged

    assert sum(await asyncio.gather(*(work(judge) for judge in judges))) == pairs
    mismatches = sum(number % 3 != number % 2 for number in range(pairs))
    assert await world.verdicts() == {"match": pairs - mismatches, "mismatch": mismatches}
    assert await world.signature_counts() == [(mismatches, mismatches)]


async def test_the_number_of_queries_does_not_grow_with_the_batch(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is no news waits for its time: on a slow machine that comes in one of the rounds.
    monkeypatch.setattr("shadow.judge.shapes_seen._EVERY_SECONDS", 3600.0)
    counts: list[int] = []
    real = psycopg.AsyncConnection.execute

    async def counting(self: Any, *arguments: Any, **more: Any) -> Any:
        # A connection that is opened meanwhile, as on a slow machine, says first how it wants to be served.
        counts[-1] += "set_config(" not in str(arguments[0]) and "SET TIME ZONE" not in str(arguments[0])
        return await real(self, *arguments, **more)

    for size in (2, 2, 20):  # the first also opens a connection
        told = [await world.event() for _ in range(size)]
        for item in told:
            await item.both(1, candidate=2)
        counts.append(0)
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.AsyncConnection, "execute", counting)
            assert (await judge.once(after(told[-1], LATER))).judged == size
    assert counts[1] == counts[2]


async def test_a_started_judge_is_woken_and_survives_a_lost_database_connection(world: World) -> None:
    judge = JudgeLoop(world.database, world.catalogue, poll_seconds=0.2)
    await judge.start()
    try:
        for _ in range(2):
            told = await world.event(accepted_at=datetime.now(UTC) - timedelta(minutes=1))
            await told.both(1)
            async with asyncio.timeout(10):
                while (await pair_row(world, told))["verdict"] is None:  # noqa: ASYNC110 (only rows tell)
                    await asyncio.sleep(0.02)
            await world.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND application_name IN ('shadow-judge', 'shadow-direct')"
            )
    finally:
        await judge.stop()
    assert await world.verdicts() == {"match": 2}
