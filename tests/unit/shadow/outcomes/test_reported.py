"""Whatever a worker sends is either understood or refused with a reason."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.model import Side
from shadow.outcomes.outcome import Status
from shadow.outcomes.reported import MOST, ReportRefused, effects_of, runs_of
from tests.unit.shadow.platforms.platforms import catalogue

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["run", "task", "effects", "kind", "target", "status", "x"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_report_can_do_more_than_be_refused(report: object) -> None:
    body = json.dumps(report).encode()
    for read in (lambda: effects_of(body), lambda: runs_of(body, Side.LEGACY, catalogue())):
        try:
            read()
        except ReportRefused as error:
            assert error.problems


@given(st.binary(max_size=30))
def test_nor_can_any_bytes(body: bytes) -> None:
    try:
        effects_of(body)
    except ReportRefused as error:
        assert error.problems


@pytest.mark.parametrize(
    ("side", "task", "platform"),
    [
        (Side.LEGACY, "sync", "trigger"),
        (Side.LEGACY, "sync/order", "trigger"),  # as the legacy platform names it
        (Side.CANDIDATE, "sync", "inngest"),
        (Side.CANDIDATE, "shop-sync", "inngest"),  # as the candidate's platform names it
    ],
)
def test_a_worker_may_call_the_task_as_its_platform_does(side: Side, task: str, platform: str) -> None:
    body = orjson.dumps({"run": "r", "task": task, "status": "Completed"})
    (outcome,) = runs_of(body, side, catalogue())
    assert (outcome.task, outcome.platform, outcome.status) == ("sync", platform, Status.COMPLETED)


def test_an_output_that_is_not_said_is_not_null() -> None:
    said = runs_of(b'{"run":"r","task":"sync","status":"completed","output":null}', Side.LEGACY, catalogue())
    unsaid = runs_of(b'{"run":"r","task":"sync","status":"completed"}', Side.LEGACY, catalogue())
    assert (said[0].output, unsaid[0].output) == (b"null", None)


def test_data_is_kept_exactly_beyond_what_a_float_could_hold() -> None:
    body = b'{"run":"r","kind":"k","target":"t","operation":"o","data":{"amount":18446744073709551615}}'
    (effect,) = effects_of(body)
    assert effect.data == b'{"amount":18446744073709551615}'


def test_a_lone_surrogate_in_the_data_is_no_obstacle() -> None:
    body = b'{"run":"r","kind":"k","target":"t","operation":"o","data":"\\ud83d"}'
    (effect,) = effects_of(body)
    assert effect.data == b'"\\ud83d"'


def test_an_effect_takes_the_attempt_of_its_report_unless_it_has_its_own() -> None:
    effect = {"kind": "k", "target": "t", "operation": "o"}
    body = orjson.dumps({"run": "r", "attempt": 2, "effects": [effect, {**effect, "attempt": 3}]})
    assert [told.attempt for told in effects_of(body)] == [2, 3]


def test_a_report_has_a_limit() -> None:
    effect = {"run": "r", "kind": "k", "target": "t", "operation": "o"}
    with pytest.raises(ReportRefused, match=f"at most {MOST}"):
        effects_of(orjson.dumps([effect] * (MOST + 1)))


@pytest.mark.parametrize(
    "instant",
    [
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+05:00",  # before the first year, in UTC
        "2100-01-02T00:00:00Z",
        0,
        946_684_800,  # seconds
        253_402_300_799_000,
        10**400,
    ],
)
def test_an_instant_of_another_century_is_refused(instant: object) -> None:
    body = json.dumps({"run": "r", "task": "sync", "status": "completed", "finished_at": instant}).encode()
    with pytest.raises(ReportRefused, match="finished_at: "):
        runs_of(body, Side.LEGACY, catalogue())
