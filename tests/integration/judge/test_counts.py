"""Every count is kept by delta. Whatever happens at once, each is what counting anew would give."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.judge.again import Again, judge_again
from shadow.judge.allowances import Grant, grant, revoke
from shadow.judge.loop import JudgeLoop
from shadow.judge.rulebook import Rulebook
from shadow.judge.sweeping import AllowanceLoop
from shadow.store.recount import recount_signatures
from tests.integration.judge.world import CATALOGUE, Told, World

MEMBERS = ("n", "m", "host", "tookMs")
RULES = [
    Rulebook(parse(CATALOGUE.replace("$.tookMs", path), "test.yaml", {})) for path in ("$.tookMs", "$.host", "$.other")
]
LATER = timedelta(minutes=1)

_TALLIED = """
SELECT verdict, count(*) FROM pairs WHERE verdict IS NOT NULL GROUP BY 1 ORDER BY 1
"""
_COUNTED = """
WITH counted AS (SELECT differences.*, coalesce(tenant, '') AS tenant FROM differences
                 JOIN pairs ON pairs.id = pair_id WHERE pairs.replay IS NULL)
"""
_SIGNATURES = f"""{_COUNTED}
SELECT signatures.id, pairs, allowed,
       (SELECT count(DISTINCT pair_id) FROM counted WHERE signature = signatures.id),
       (SELECT count(*) FROM (SELECT pair_id FROM counted WHERE signature = signatures.id GROUP BY 1
                              HAVING bool_and(allowance IS NOT NULL)) AS covered),
       pairs = 0 OR EXISTS (SELECT FROM counted WHERE signature = signatures.id AND pair_id = example_pair)
FROM signatures
"""
_TENANTS_KEPT = "SELECT signature, tenant, pairs, allowed FROM signature_tenants WHERE pairs <> 0 OR allowed <> 0"
_TENANTS = f"""{_COUNTED}
SELECT signature, tenant, count(*), count(*) FILTER (WHERE allowed) FROM (
    SELECT signature, tenant, pair_id, bool_and(allowance IS NOT NULL) AS allowed FROM counted GROUP BY 1, 2, 3
) AS shown GROUP BY 1, 2
"""
_ALLOWABLE = "SELECT id FROM signatures WHERE path <> $p$$['output']['m']$p$ ORDER BY id"
_ALLOWANCES = f"""{_COUNTED}
SELECT pairs, (SELECT count(DISTINCT pair_id) FROM counted WHERE allowance = allowances.id) FROM allowances
"""
_DECIDED = """
SELECT verdict, array_agg(differences.allowance IS NOT NULL ORDER BY ordinal) FROM pairs
JOIN differences ON differences.pair_id = pairs.id WHERE differences.pair_id IS NOT NULL GROUP BY pairs.id, verdict
"""
_STANDING = "SELECT count(*) FROM differences JOIN allowances ON allowances.id = allowance WHERE ended_at IS NOT NULL"


class Turmoil:
    """People and loops at work at once, as a seed has it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.told: list[Told] = []

    async def happen(self) -> None:
        # Three that nobody disturbs, so that whatever else happens there is one of each verdict in the end.
        await (await self.world.event()).both({"n": 1})
        await (await self.world.event()).both({"m": 1}, candidate={"m": 2})
        allowable = await self.world.event()
        await allowable.both({"n": 1}, candidate={"n": 2})
        for tenant in self.random.choices(["acme", "other", None], k=24):
            told = await self.world.event(tenant=tenant)
            legacy, candidate = self._output(), self._output()
            await told.both(legacy, candidate=candidate)
            self.told.append(told)
        await self._judge()
        await asyncio.gather(
            self._news(), self._decide(), self._decide(), self._judge(), self._judge(), self._sweep(), self._again()
        )
        await self._judge()
        ((signature,),) = await self.world.rows("SELECT signature FROM differences WHERE pair_id = %s", allowable.pair)
        now = datetime.now(UTC)
        wanted = Grant(signature, "agreed", now + LATER, acknowledge_critical=True)
        await grant(self.world.database, wanted, actor="ann", now=now)
        while (await AllowanceLoop(self.world.database, batch=5).once()).more:
            pass

    def _output(self) -> dict[str, int]:
        return {name: self.random.choice([1, 1, 2]) for name in MEMBERS}

    async def _news(self) -> None:
        """Late outcomes and second runs."""
        for told in self.random.sample(self.told, 12):
            if self.random.random() < 0.3:
                await told.doubled(Side.LEGACY)
            else:
                await told.finished(self.random.choice(list(Side)), output=self._output())

    async def _judge(self) -> None:
        loop = JudgeLoop(self.world.database, self.world.catalogue, batch=7)
        for _ in range(8):
            await loop.once(datetime.now(UTC) + LATER)

    async def _decide(self) -> None:
        made = []
        for _ in range(5):
            now = datetime.now(UTC)
            ((signature,),) = self.random.choices(await self.world.rows(_ALLOWABLE))
            tenant = self.random.choice([None, None, "acme"])
            wanted = Grant(signature, "agreed", now + LATER, tenant, acknowledge_critical=True)
            made.append(await grant(self.world.database, wanted, actor="ann", now=now))
            if self.random.random() < 0.4:
                await revoke(self.world.database, self.random.choice(made), actor="ann")

    async def _sweep(self) -> None:
        loop = AllowanceLoop(self.world.database, batch=5)
        for _ in range(15):
            await loop.once()

    async def _again(self) -> None:
        for rules in self.random.choices(RULES, k=4):
            wanted = Again("order-sync", datetime(2020, 1, 1, tzinfo=UTC))
            await judge_again(self.world.database, rules, wanted, limit=20, write=True)


async def consistent(world: World) -> None:
    """Fail unless every count of signatures and allowances is what counting anew gives."""
    for signature, pairs, allowed, counted, covered, example in await world.rows(_SIGNATURES):
        assert (pairs, allowed, example) == (counted, covered, True), signature
    assert sorted(await world.rows(_TENANTS_KEPT)) == sorted(await world.rows(_TENANTS))
    for kept, counted in await world.rows(_ALLOWANCES):
        assert kept == counted


async def test_whatever_happens_at_once_every_count_is_what_counting_anew_would_give(world: World) -> None:
    turmoil = Turmoil(world, seed=4)
    await turmoil.happen()
    tallied = await world.rows(_TALLIED)
    assert await world.verdicts() == dict(tallied)
    assert {"match", "mismatch", "allowed"} <= {verdict for verdict, _ in tallied}  # or the test shows nothing
    await consistent(world)
    for verdict, covered in await world.rows(_DECIDED):
        assert (verdict == "mismatch") == (False in covered), (verdict, covered)
    assert await world.rows(_STANDING) == [(0,)]


class Killed(BaseException):
    """The process is gone."""


async def test_judging_again_and_deciding_may_be_killed_between_any_two_statements(
    world: World, judge: JudgeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("acme", "acme", "other", None):
        told = await world.event(tenant=tenant)
        await told.both({"n": 1, "host": "a"}, candidate={"n": 2, "host": "b"})
        await judge.once(told.accepted_at + LATER)
    signatures = [signature for (signature,) in await world.rows(_ALLOWABLE)]
    real = psycopg.AsyncConnection.execute
    left = [0]

    async def dying(self: Any, *arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return await real(self, *arguments, **more)

    killed = 0
    for statement in itertools.count(1):
        wanted = Again("order-sync", datetime(2020, 1, 1, tzinfo=UTC), everything=True)
        now = datetime.now(UTC)
        made = await grant(world.database, Grant(signatures[statement % 2], "agreed", now + LATER), actor="a", now=now)
        left[0] = statement
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            patched.setattr(psycopg.AsyncConnection, "execute", dying)
            await judge_again(world.database, RULES[statement % 3], wanted, limit=20, write=True)
            await AllowanceLoop(world.database, batch=2).once()
        await revoke(world.database, made, actor="a")
        await consistent(world)
        assert await world.verdicts() == dict(await world.rows(_TALLIED))
        if left[0] > 0:
            break
        killed += 1
    assert killed > 20


async def test_what_retention_has_deleted_is_counted_no_more(world: World, judge: JudgeLoop) -> None:
    told = []
    for tenant in ("acme", "acme", "other", None):
        told.append(await world.event(tenant=tenant))
        await told[-1].both({"n": 1}, candidate={"n": 2})
        await judge.once(told[-1].accepted_at + LATER)
    ((signature,),) = await world.rows("SELECT id FROM signatures")
    now = datetime.now(UTC)
    await grant(world.database, Grant(signature, "agreed", now + LATER, "acme"), actor="ann", now=now)
    while (await AllowanceLoop(world.database).once()).more:
        pass
    replayed = await world.event()  # which shows it too, and is counted with its replay alone
    await world.rows("UPDATE pairs SET replay = id WHERE id = %s RETURNING 1", replayed.pair)
    await replayed.both({"n": 1}, candidate={"n": 2})
    await judge.once(replayed.accepted_at + LATER)
    assert await world.rows("SELECT pairs FROM signatures") == [(4,)]
    gone = [told[0].pair, told[3].pair]  # one of them the example
    for table, column in (("differences", "pair_id"), ("pairs", "id")):
        await world.rows(f"DELETE FROM {table} WHERE {column} = ANY(%s) RETURNING 1", gone)
    async with world.database.direct() as connection:
        assert await recount_signatures(connection, now - LATER) == 0  # nothing so old was ever shown
        assert await recount_signatures(connection, now + LATER) == 1
    assert await world.rows("SELECT pairs, allowed FROM signatures") == [(2, 1)]
    await consistent(world)
