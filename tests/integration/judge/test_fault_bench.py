"""The fault bench, small: every kind of fault is found and no clean pair is suspected; a judge that is broken on
purpose is found out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from benchmarks.faults.__main__ import LEAST_KINDS, figures
from benchmarks.faults.bench import Bench, Findings, Options
from benchmarks.faults.fault import KINDS
from benchmarks.faults.world import World, commerce_catalogue
from comparators import correspondence, registry
from comparators.output import compare_outputs
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database

ENDINGS = ("swallowed error", "another error")


def options(pairs: int, instances: int, *kinds: str) -> Options:
    return Options(pairs=pairs, instances=instances, seed=7, only=kinds, progress=lambda _text: None)


async def measured(database: Database, wanted: Options) -> Findings:
    catalogue = commerce_catalogue()
    world = World(catalogue, database, JudgeLoop(database, catalogue, lease=timedelta(minutes=30)))
    return await Bench(wanted, world).run()


async def test_every_kind_of_fault_is_found_and_no_clean_pair_is_suspected(database: Database) -> None:
    wanted = options(300, len(KINDS))
    findings = await measured(database, wanted)
    assert findings.missed == []
    assert findings.alarms == []
    assert findings.sound
    told = figures(wanted, findings)
    assert told["clean_pairs"] == 300
    assert told["injected"] == told["found"]
    assert findings.injected.keys() == KINDS.keys()
    assert len(KINDS) >= LEAST_KINDS


async def test_a_judge_that_does_not_look_at_how_runs_end_is_found_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(registry._OWN, "outcome")
    findings = await measured(database, options(0, 4, *ENDINGS, "wrong recipient"))
    assert findings.found.keys().isdisjoint(ENDINGS)
    assert findings.found["wrong recipient"] > 0  # the others are found all the same
    assert len(findings.missed) >= 2
    assert not findings.sound


async def test_a_difference_at_another_place_finds_no_fault(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_OWN", {"output": compare_outputs})
    findings = await measured(database, options(0, 6, "raised error", "wrong tenant", "output field added"))
    assert findings.found.keys() == {"output field added"}


async def test_a_judge_that_takes_clocks_for_data_cries_wolf(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correspondence, "same_moment", lambda *_arguments: False)
    findings = await measured(database, options(40, 0))
    assert len(findings.alarms) > 10
    assert not findings.sound
