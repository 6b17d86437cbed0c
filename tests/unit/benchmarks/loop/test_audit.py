"""What the loop must have come to."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.loop.audit import Found

ALL = Found(
    events=10,
    pairs=10,
    judged=10,
    matches=10,
    counted=10,
    runs=20,
    finished=20,
    effects=100,
    dispatches=0,
    database_bytes=1,
)


def test_nothing_is_wrong_when_every_event_went_all_the_way() -> None:
    assert ALL.wrong(10) == []


def test_a_lost_event_is_told() -> None:
    assert "events: 10, not 11" in ALL.wrong(11)


def test_a_verdict_that_is_no_match_is_told() -> None:
    assert replace(ALL, matches=9).wrong(10) == ["matches: 9, not 10"]


def test_an_uncounted_pair_is_told() -> None:
    assert replace(ALL, counted=9).wrong(10) == ["counted: 9, not 10"]
