"""A mismatch of the chaos bench has a cause among what was disturbed, or is a false alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.chaos.mismatches import Call, Happened, Mismatch, Run, accounted, cause
from shadow.judge.unanswered import WAITED_FOR

START = datetime(2026, 1, 1, tzinfo=UTC)
RUN = Run("candidate", "none", "completed", None, None, 1, START, START + timedelta(seconds=10))
FAILED = replace(RUN, status="failed", error_message="mail did not answer: ReadError")
CALL = Call(1, "mail", "POST /send", "a", "forward", 200, START)


def pair(*runs: Run) -> Mismatch:
    return Mismatch("p", "task", [("s1", "outcome.status", "$", "they differ")], runs, START)


def at(name: str, second: float) -> list[Happened]:
    moment = START + timedelta(seconds=second)
    return [Happened(name, moment, moment + timedelta(seconds=1))]


@pytest.mark.parametrize(
    ("run", "happened", "doors"),
    [
        (FAILED, [], at("serve-0", 3)),
        (replace(RUN, calls=[replace(CALL, status=502)]), at("targets: refuse", 3), []),
        (replace(RUN, calls=[replace(CALL, status=None)]), [], at("serve-0", 3)),
        (replace(RUN, calls=[CALL, replace(CALL, attempt=2)]), at("targets: lie", 3), []),
        (replace(RUN, calls=[CALL, replace(CALL, attempt=2)]), at("PostgreSQL killed", 3), []),
    ],
)
def test_what_failed_one_side_explains_it(run: Run, happened: list[Happened], doors: list[Happened]) -> None:
    assert cause(pair(RUN, run), happened, doors) is not None
    much_later = [
        replace(one, since=one.since + timedelta(hours=1), until=one.until + timedelta(hours=1))
        for one in (*happened, *doors)
    ]
    assert cause(pair(RUN, run), much_later, much_later) is None


@pytest.mark.parametrize(
    "run",
    [
        replace(FAILED, error_message="ValueError: a bug"),
        replace(RUN, error_message=f"GET x {WAITED_FOR}"),
        replace(RUN, side="legacy", authority="real", status="failed", error_message=f"GET x {WAITED_FOR}"),
        replace(RUN, calls=[replace(CALL, disposition="refuse", status=403)]),
        replace(RUN, calls=[CALL, replace(CALL, identity="b", attempt=2)]),
        RUN,
    ],
)
def test_nothing_else_does(run: Run) -> None:
    everything = [*at("targets: lie", 3), *at("PostgreSQL killed", 3)]
    assert cause(pair(RUN, run), everything, at("serve-0", 3)) is None


def test_a_full_disk_explains_what_could_be_recorded_nowhere_and_nothing_else() -> None:
    full = at("PostgreSQL stopped, the spool's disk full", 3)
    lost = replace(pair(RUN, RUN), differences=[("s1", "effect.missing", "$['effects']['event']['events']['x']", "")])
    assert cause(lost, full, []) is not None
    assert cause(lost, at("PostgreSQL stopped", 3), []) is None
    called = replace(lost, differences=[("s1", "effect.missing", "$['effects']['http']['mail']['x']", "")])
    assert cause(called, full, []) is None
    assert cause(pair(RUN, replace(RUN, error_message="mail answered 503")), full, []) is not None


def test_what_nothing_explains_is_counted_and_shown() -> None:
    figures = accounted([replace(pair(RUN, RUN), pair="q"), pair(RUN, FAILED)], [], at("serve-0", 3))
    assert figures["unexplained"] == 1
    assert figures["mismatches_by_cause"] == {
        "nothing explains it": 1,
        "candidate's worker could not reach the gateway": 1,
    }
    assert sorted(row[0] for row in figures["mismatches_by_signature"]) == [1, 1]
