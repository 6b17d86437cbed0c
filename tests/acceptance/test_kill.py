"""Under `kill -9` what was acknowledged ends as a judged pair, nothing runs twice, nothing leaks (promises 1, 2, 4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import orjson

from shadow.demo.run import Cast, Options, cast
from shadow.store.database import Database, Work

OPTIONS = Options(faults=(), seed=11, scale=24)
KILLS_AFTER = (0.2, 0.55, 0.9)
"""Shares of the load after which the service is killed."""


class Killer:
    """Watches the load and kills the service at its moments, each time starting it again."""

    def __init__(self, players: Cast) -> None:
        self._players = players
        self._moments = list(KILLS_AFTER)
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.kills = 0

    def stage(self, text: str) -> None:
        """Nobody watches."""

    def judged(self, done: int, total: int) -> None:
        """Nobody watches."""

    def sent(self, done: int, total: int) -> None:
        if self._moments and done >= self._moments[0] * total:
            self._moments.pop(0)
            self._tasks.append(asyncio.create_task(self._strike()))

    async def _strike(self) -> None:
        async with self._lock:
            await self._players.service.kill()
            self.kills += 1
            await asyncio.sleep(0.5)
            await self._players.service.start()

    async def finish(self) -> None:
        await asyncio.gather(*self._tasks)


class Silent:
    """A progress that nobody watches."""

    def stage(self, text: str) -> None: ...

    def sent(self, done: int, total: int) -> None: ...

    def judged(self, done: int, total: int) -> None: ...


async def test_killed_in_the_middle_of_the_load_nothing_is_lost_and_nothing_runs_twice() -> None:
    async with cast(OPTIONS, Silent()) as players:
        killer = Killer(players)
        plan = players.plan
        sent = await players.produce(plan, killer)
        await killer.finish()
        assert killer.kills == len(KILLS_AFTER)
        assert all(action.acknowledged for action in sent)
        findings = await players.findings(plan, Silent())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            books: dict[str, Any] = (await client.get(f"{players.stage.urls.app}/books")).json()
        undisturbed = await unlike_pairs_of_undisturbed_runs(players.database_url)

    assert {task: finding.pairs for task, finding in findings.tasks.items()} == plan.expected()
    assert {task: finding.pending for task, finding in findings.tasks.items()} == dict.fromkeys(findings.tasks, 0)
    assert {task: finding.missing for task, finding in findings.tasks.items()} == dict.fromkeys(findings.tasks, 0)
    assert second_runs(books) == []
    assert books["lost_reports"] == 0
    assert findings.leaks == 0
    assert all(call["authorized"] for call in books["targets"])
    assert undisturbed == []
    matched = sum(finding.match for finding in findings.tasks.values())
    assert matched > sum(plan.expected().values()) / 2, findings.as_json()


async def unlike_pairs_of_undisturbed_runs(database_url: str) -> list[tuple[Any, ...]]:
    """Pairs that do not match though neither run was in the middle of a call when Shadow was killed.

    Workers reach targets through Shadow. Whoever was, saw the connection break, as with any target that goes away,
    and was tried again by its platform: what it had done already, it did twice. That is found, rightly.
    """
    database = Database(database_url)
    try:
        async with database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(
                """
                SELECT pair.task, pair.verdict, pair.reason, pair.id FROM pairs AS pair
                JOIN runs AS legacy ON legacy.id = pair.legacy_run
                JOIN runs AS candidate ON candidate.id = pair.candidate_run
                WHERE pair.verdict <> 'match' AND legacy.attempts = 1 AND candidate.attempts = 1
                  AND NOT EXISTS (
                      SELECT FROM effects AS effect
                      WHERE effect.attempt > 1
                        AND (effect.run_id IN (legacy.id, candidate.id)
                             OR effect.platform_run_id IN (legacy.platform_run_id, candidate.platform_run_id)))
                """
            )
            return list(await cursor.fetchall())
    finally:
        await database.close()


def second_runs(books: dict[str, Any]) -> list[str]:
    """Runs that a platform started twice for one and the same thing; children of runs have their own parents.

    Trigger.dev frees the key of a failed run: a producer that repeats its call then starts another, and is right to.
    """
    legacy = Counter(
        (run["task"], orjson.dumps(run["payload"], option=orjson.OPT_SORT_KEYS), run["parent_id"])
        for run in books["runs"]["legacy"]
        if run["status"] != "FAILED"
    )
    candidate = Counter(
        (run["function"], run["event_id"] or run["internal_event_id"]) for run in books["runs"]["candidate"]
    )
    return [str(key) for key, count in [*legacy.items(), *candidate.items()] if count > 1]
