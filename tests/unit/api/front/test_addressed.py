"""A path is read as the servers behind us read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.front.addressed import named

TRIGGER = b"/api/v1/tasks/pay/trigger"


@pytest.mark.parametrize(
    "spelled",
    [
        TRIGGER,
        b"/api/v1/tasks/pay/%74rigger",
        b"/%61pi/v1/tasks/pay/trigger",
        b"/api//v1/tasks///pay/trigger",
        b"/api/v1/tasks/pay/trigger/",
        b"/api/v1/tasks/%70%61%79/trigger//",
    ],
)
def test_what_means_the_same_is_the_same(spelled: bytes) -> None:
    assert named(spelled) == TRIGGER


@pytest.mark.parametrize(
    "kept", [b"/", b"/api/v1/tasks/a%2Fb/trigger", b"/api/v1/packets/a.json", b"/api/v1/.x", b"/api/%"]
)
def test_what_means_something_stays(kept: bytes) -> None:
    assert named(kept) == kept


@pytest.mark.parametrize(
    "climbing",
    [
        b"/api/v1/x/../tasks/pay/trigger",
        b"/api/v1/./tasks/pay/trigger",
        b"/api/v1/x/%2e%2E/tasks/pay/trigger",
        b"/api/v1/x/.%2e/tasks/pay/trigger",
        b"/api/v1\\tasks\\pay\\trigger",
        b"/api/v1/x\\..\\tasks",
        b"/..",
    ],
)
def test_what_climbs_names_nothing(climbing: bytes) -> None:
    assert named(climbing) is None


@given(st.lists(st.sampled_from([b"/", b"a", b".", b"%2e", b"%2F", b"%61", b"\\", b"%"]), max_size=12))
def test_reading_it_twice_changes_nothing(parts: list[bytes]) -> None:
    once = named(b"/" + b"".join(parts))
    if once is not None and b"%%" not in once:
        assert named(once) in (once, None)
