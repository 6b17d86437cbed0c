"""Children to any depth: as many runs as one side alone has, each paired with its twin, whatever way they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.integration.causes.chain import EVENTS, Way, chain

SHADOW = dict.fromkeys(EVENTS, Phase.SHADOW)
DEPTH = len(EVENTS)


@pytest.mark.parametrize(
    ("legacy", "candidate", "events"),
    [
        ("door", "door", 30),  # `tasks.trigger` against `inngest.send`, both through Shadow
        ("straight", "door", 100),  # deployed Trigger.dev tasks, whose API URL the platform sets
        ("straight", "straight", 30),  # and functions that send to Inngest itself
    ],
)
async def test_a_chain_runs_once_a_side_and_is_paired_to_its_end(
    database: Database, tmp_path: Path, legacy: Way, candidate: Way, events: int
) -> None:
    async with chain(database, tmp_path, legacy=legacy, candidate=candidate) as world:
        await world.phases(SHADOW)
        await world.send(*range(events))
        await world.settled(events * DEPTH * 2)
        assert world.legacy_runs() == world.candidate_runs() == dict.fromkeys(EVENTS, events)
        assert await world.verdicts() == {(task, "match"): events for task in EVENTS}, await world.differences()
        assert await world.authorities() == {
            (task, side, authority): events
            for task in EVENTS
            for side, authority in (("legacy", "real"), ("candidate", "none"))
        }
