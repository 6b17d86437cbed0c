"""When the demo says that all is well, and what it says."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from shadow.demo.findings import Findings, SignatureFinding, TaskFinding
from shadow.demo.table import show
from shadow.demo.witness import Witnessed, written_by_target

FULL = TaskFinding(
    events=4,
    pairs=4,
    match=4,
    mismatch=0,
    missing=0,
    not_comparable=0,
    pending=0,
    parity=1.0,
    fault=None,
    expected=4,
    dispositions={"legacy": {"forward": 5}, "candidate": {"replay": 4, "stub": 1}},
)
SHORT = replace(FULL, match=1, mismatch=3, parity=0.25)


def found(task: TaskFinding, leaks: int = 0) -> Findings:
    signature = SignatureFinding("s", "pay", "effect.extra", "critical", 3, "candidate paid [twice]")
    return Findings({"pay": task}, [] if task.full else [signature], leaks, 9)


@pytest.mark.parametrize(
    ("task", "ok"),
    [
        (FULL, True),
        # a fault that was found, and one that was not
        (replace(SHORT, fault="payout-twice"), True),
        (replace(FULL, fault="payout-twice"), False),
        # a candidate without faults that falls short
        (SHORT, False),
        # what is missing or left over
        (replace(FULL, expected=5), False),
        (replace(FULL, events=5, pairs=5, match=5), False),
        (replace(FULL, pending=1, match=3), False),
        (replace(FULL, not_comparable=1, match=3), False),
        (replace(FULL, events=0, pairs=0, match=0, expected=0), False),
    ],
)
def test_all_is_well_when_the_faulted_tasks_and_only_they_fall_short(task: TaskFinding, ok: bool) -> None:
    assert found(task).ok is ok


def test_nothing_is_well_once_something_leaked() -> None:
    assert not found(FULL, leaks=1).ok


def test_the_json_says_what_was_let_through_for_each_task() -> None:
    shown = found(FULL).as_json()
    assert (shown["ok"], shown["leaks"], shown["writes"]) == (True, 0, 9)
    tasks: Any = shown["tasks"]
    assert tasks["pay"]["dispositions"] == FULL.dispositions
    assert tasks["pay"]["leaks"] == 0
    assert "expected" not in tasks["pay"]


@pytest.mark.parametrize("leaks", [0, 2])
def test_people_are_shown_calls_and_leaks(leaks: int) -> None:
    text = StringIO()
    show(Console(file=text, width=80), found(replace(SHORT, scheduled=2), leaks))
    assert "forwarded" in text.getvalue()
    row = next(line for line in text.getvalue().splitlines() if line.startswith("│ pay"))
    assert [cell.strip() for cell in row.strip("│").split("│")][1:] == [
        *("4", "4", "1", "3", "0", "0", "0", "25.0%", "5", "4", "1", "0", "")
    ]
    assert ("Leaks: none" in text.getvalue()) is (leaks == 0)
    assert ("Leaks: 2 of 9" in text.getvalue()) is (leaks == 2)
    assert "2 runs that these started" in text.getvalue()
    assert "candidate paid [twice]" in text.getvalue()


CALL = {"target": "pay", "method": "POST", "status": 201, "authorized": True, "replayed": False}


@pytest.mark.parametrize(
    ("change", "writes"),
    [
        ({}, 1),
        ({"method": "GET"}, 0),
        ({"status": 402}, 0),
        ({"status": 200, "authorized": False}, 0),
        ({"replayed": True}, 0),
    ],
)
def test_the_books_show_as_writes_what_changed_the_world(change: dict[str, Any], writes: int) -> None:
    assert written_by_target([{**CALL, **change}]).total() == writes


@pytest.mark.parametrize(
    ("noticed", "unexplained", "leaked"),
    [({}, 0, 0), ({"pay": 2}, 0, 2), ({}, 3, 3), ({"pay": 2}, 3, 3)],
)
def test_a_leak_is_one_whoever_saw_it(noticed: dict[str, int], unexplained: int, leaked: int) -> None:
    assert Witnessed({}, noticed, unexplained, 9).leaked == leaked
