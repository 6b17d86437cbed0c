"""Gates of several tasks taken as one, and what they say as JUnit XML."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

import pytest

from api.control.examples_of_gates import GATE
from shadow.gate.report import ConditionName
from shadow.reports.gate_formats import as_junit
from shadow.reports.gate_shapes import GateView
from shadow.reports.gates import group_of
from tests.unit.shadow.gate.knowing import NOON

SHUT = GateView.model_validate({**GATE, "opens_at": NOON})
LATER = SHUT.model_copy(update={"opens_at": NOON + timedelta(days=3), "blockers": [ConditionName.STATISTIC]})
NEVER = SHUT.model_copy(update={"opens_at": None, "blockers": [ConditionName.LEAKS]})
OPEN = SHUT.model_copy(update={"open": True, "opens_at": None, "blockers": []})


@pytest.mark.parametrize(
    ("items", "open_", "opens_at", "says"),
    [
        ([], True, None, "all its gates are open"),
        ([OPEN, OPEN], True, None, "all its gates are open"),
        ([OPEN, SHUT], False, SHUT.opens_at, "1 of 3 gates are closed, the last of them until 2026-05-04"),
        ([SHUT, LATER], False, LATER.opens_at, "2 of 3 gates are closed, the last of them until 2026-05-07"),
        ([SHUT, NEVER, OPEN], False, None, "2 of 3 gates are closed, 1 of them until somebody sees to them"),
    ],
)
def test_a_group(items: list[GateView], open_: bool, opens_at: object, says: str) -> None:
    found = group_of("orders", 3, items)
    assert (found.open, found.opens_at, found.outlook) == (open_, opens_at, says)
    assert found.retired == 3 - len(items)
    assert found.open_tasks == 3 - sum(not item.open for item in items)


def test_a_group_says_what_holds_how_many_shut() -> None:
    found = group_of("orders", 4, [SHUT, LATER, NEVER, OPEN])
    assert found.blockers == {ConditionName.STATISTIC: 2, ConditionName.LEAKS: 1, ConditionName.FAILURES: 1}


def test_junit_tells_apart_what_fails_passes_and_does_not_apply() -> None:
    odd = SHUT.conditions[0].model_copy(update={"says": "a & b < c \x07"})
    root = ElementTree.fromstring(as_junit([SHUT.model_copy(update={"conditions": [odd, *SHUT.conditions[1:]]})]))
    (suite,) = root
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "13",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    cases = {case.get("name"): case for case in suite}
    failure = cases["statistic"].find("failure")
    assert failure is not None and failure.get("message") == "a & b < c \ufffd"
    assert failure.text is not None and SHUT.outlook in failure.text
    assert cases["ticks"].find("skipped") is not None
    assert cases["latency"].find("failure") is None
