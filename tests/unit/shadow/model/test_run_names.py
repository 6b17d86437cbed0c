"""Whether a run that was found by its event may be the one that a worker means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ulid import ULID

from shadow.model.run_names import may_be, needs_proof

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)


def ulid(seconds: float) -> str:
    made_at = ULID.from_datetime(AT + timedelta(seconds=seconds))
    return str(ULID(made_at.bytes[:6] + bytes(10)))  # the same in every test process


@pytest.mark.parametrize(
    ("known", "said", "fits"),
    [(None, None, True), (None, "a", True), ("a", None, True), ("a", "a", True), ("a", "b", False)],
)
def test_another_name_is_another_run(known: str | None, said: str | None, fits: bool) -> None:
    assert may_be(known, said) is fits


@pytest.mark.parametrize(
    ("known", "said", "event", "needed"),
    [
        (None, ulid(0.6), ulid(0), False),  # as the platform makes them
        (None, ulid(3), ulid(0), True),  # a rerun, or its event was kept back
        (None, ulid(-5), ulid(0), False),  # clocks differ
        (ulid(3), ulid(3), ulid(0), False),  # it has its name
        (None, None, ulid(0), False),  # the worker does not say
        (None, ulid(3), None, False),  # nobody knows when its event was sent
        (None, "run_1", ulid(0), False),  # of a platform whose ids say nothing
        (None, ulid(3), "evt-1", False),
    ],
)
def test_a_run_that_was_made_well_after_its_event_is_not_taken_for_the_first_unasked(
    known: str | None, said: str | None, event: str | None, needed: bool
) -> None:
    assert needs_proof(known, said, event) is needed
