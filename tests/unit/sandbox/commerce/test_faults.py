"""Each fault spoils its own task, in a way that the judge finds, and no other task."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path

import pytest
import uvloop

from comparators import Verdict
from sandbox.commerce import candidate
from sandbox.commerce.catalogue import TASKS
from sandbox.commerce.faults import DEFAULT_FAULTS, FAULTS, Faults
from sandbox.commerce.plan import build_plan
from tests.unit.sandbox.commerce.conftest import Rehearsed
from tests.unit.sandbox.commerce.rehearsal import Happening, happenings, judged, perform

SMALL = 8
"""Enough of each task for every fault to have something to spoil."""


def _rounds() -> list[tuple[str, ...]]:
    """Every fault once, at most one of each task at a time."""
    by_task: dict[str, list[str]] = defaultdict(list)
    for fault in FAULTS.values():
        by_task[fault.task].append(fault.name)
    return [tuple(name for name in round_ if name) for round_ in zip_longest(*by_task.values())]


def _small(rehearsed: Rehearsed) -> list[Happening]:
    queues: list[str] = []
    what = happenings(build_plan(rehearsed.dataset, scale=SMALL), rehearsed.dataset)
    kept = []
    for each in what:
        if each.task == "process-webhook-queue":
            queues.append(each.key)
            # The tenants with the long queues, and one other.
            if each.data["tenantId"] not in ("tenant-01", "tenant-02", "tenant-03"):
                continue
        kept.append(each)
    assert len(queues) > 3
    return kept


def _mismatched(rehearsed: Rehearsed, faults: tuple[str, ...]) -> dict[str, int]:
    what = _small(rehearsed)
    spoilt = uvloop.run(
        perform(what, rehearsed.dataset, rehearsed.server_url, before=rehearsed.performed, faults=faults)
    )
    assert spoilt.books["targets"] == [], "no call of the candidate reaches a target"
    judgements = judged(what, rehearsed.ledgers["legacy"], spoilt.ledgers["candidate"])
    counts = dict.fromkeys(TASKS, 0)
    for each in what:
        counts[each.task] += judgements[each.key].verdict is Verdict.mismatch
    return counts


@pytest.mark.parametrize("faults", _rounds(), ids=lambda faults: "+".join(faults))
def test_faulted_tasks_and_only_they_fall_short(rehearsed: Rehearsed, faults: tuple[str, ...]) -> None:
    counts = _mismatched(rehearsed, faults)
    assert {task for task, count in counts.items() if count} == {FAULTS[name].task for name in faults}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_alone_gives_mismatches_in_its_task_alone(rehearsed: Rehearsed, fault: str) -> None:
    counts = _mismatched(rehearsed, (fault,))
    assert {task for task, count in counts.items() if count} == {FAULTS[fault].task}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_sets_in_within_its_own_task_alone(fault: str) -> None:
    folder = Path(candidate.__file__).parent
    asking = {
        path.stem.replace("_", "-")
        for path in folder.glob("*.py")
        if f'faults.at("{FAULTS[fault].seam}"' in path.read_text()
    }
    assert asking == {FAULTS[fault].task}


def test_no_seam_is_asked_for_that_no_fault_uses() -> None:
    folder = Path(candidate.__file__).parent
    asked = {seam for path in folder.glob("*.py") for seam in re.findall(r'faults\.at\("([^"]+)"', path.read_text())}
    assert asked == {fault.seam for fault in FAULTS.values()}


def test_every_task_has_a_fault_and_there_are_a_dozen_at_least() -> None:
    assert {fault.task for fault in FAULTS.values()} == set(TASKS)
    assert len(FAULTS) >= 12


def test_the_default_faults_hit_three_tasks_payouts_among_them() -> None:
    tasks = {FAULTS[name].task for name in DEFAULT_FAULTS}
    assert len(DEFAULT_FAULTS) == len(tasks) == 3
    assert "process-payout" in tasks


@pytest.mark.parametrize(
    ("text", "names"),
    [("none", set()), ("", set()), ("payout-twice, type-drift", {"payout-twice", "type-drift"})],
)
def test_faults_are_read_from_text(text: str, names: set[str]) -> None:
    assert Faults.parse(text).names == names


def test_an_unknown_fault_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"unknown fault paid-thrice; expected some of .*payout-twice"):
        Faults(["paid-thrice"])


def test_without_a_fault_a_value_comes_back_as_it_was() -> None:
    value = object()
    assert Faults().at("order.row", value) is value


def test_faults_may_be_changed_while_the_candidate_runs() -> None:
    faults = Faults(["payout-in-dollars"])
    assert faults.at("payout.amount_cents", 1200) == 12
    faults.change(["attribution-missing-ga4"])
    assert faults.at("payout.amount_cents", 1200) == 1200
    assert faults.by_task() == {"process-attribution": ["attribution-missing-ga4"]}
    with pytest.raises(ValueError, match="unknown fault nonsense"):
        faults.change(["nonsense"])
    assert faults.names == {"attribution-missing-ga4"}
