"""What the platform's answer makes of an intent: a table."""

from __future__ import annotations

from uuid import UUID

import pytest

from shadow.intake.answers import Accepted, Fate, fate

EVENT, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("duplicate", "run", "cached", "present", "owner", "recorded", "expected"),
    [
        # a first call, a new run
        (False, "run_1", False, True, None, None, Fate.STARTED),
        # the SDK came again, the platform knows the key: the run whose first answer was lost
        (True, "run_1", True, True, None, None, Fate.STARTED),
        # came again after all was written down
        (True, "run_1", True, True, EVENT, "run_1", Fate.STARTED),
        # came again because nothing had reached the platform
        (True, "run_1", False, True, None, None, Fate.STARTED),
        # a key that another event's run holds (or a debounced call): linked
        (False, "run_1", True, True, OTHER, None, Fate.LINKED),
        (False, "run_1", False, True, OTHER, None, Fate.LINKED),
        # a key from before Shadow: nothing new happened
        (False, "run_1", True, True, None, None, Fate.LINKED),
        # the platform freed the key of a failed run: a new event
        (True, "run_2", False, True, None, "run_1", Fate.ANEW),
        # and somebody else already triggered it anew
        (True, "run_2", True, True, None, "run_1", Fate.SETTLED),
        # the event was dropped by a refusal meanwhile
        (True, "run_1", False, False, None, None, Fate.ANEW),
        # an old event whose key leads to another one's run by now
        (True, "run_2", True, True, OTHER, "run_1", Fate.SETTLED),
        # a batch that names no runs
        (False, None, False, True, None, None, Fate.STARTED),
        (True, None, False, False, None, None, Fate.SETTLED),
    ],
)
def test_fate(
    duplicate: bool,
    run: str | None,
    cached: bool,
    present: bool,
    owner: UUID | None,
    recorded: str | None,
    expected: Fate,
) -> None:
    answer = Accepted(EVENT, duplicate, "hello", run, cached)
    assert fate(answer, present=present, owner=owner, recorded=recorded) is expected


def test_what_a_key_of_our_own_finds_was_started_for_this_event() -> None:
    answer = Accepted(EVENT, duplicate=False, task="hello", run="run_1", cached=True, own_key=True)
    assert fate(answer, present=True, owner=None, recorded=None) is Fate.STARTED
