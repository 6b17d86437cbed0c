"""Lanes of one process share the opening of runs and pairs."""

from __future__ import annotations

from uuid import UUID

from shadow.fanout.opening import Openings

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


async def test_an_event_is_for_one_to_open() -> None:
    openings = Openings()
    assert openings.begin([ONE, TWO]) == ({ONE, TWO}, {})
    mine, theirs = openings.begin([TWO, THREE])
    assert mine == {THREE}
    assert theirs.keys() == {TWO}
    assert not theirs[TWO].done()


async def test_what_went_well_need_not_be_done_again() -> None:
    openings = Openings()
    openings.begin([ONE])
    _mine, theirs = openings.begin([ONE])
    openings.end([ONE], well=True)
    assert theirs[ONE].result() is True
    assert openings.begin([ONE]) == (set(), {})


async def test_what_failed_is_for_the_next() -> None:
    openings = Openings()
    openings.begin([ONE])
    _mine, theirs = openings.begin([ONE])
    openings.end([ONE], well=False)
    assert theirs[ONE].result() is False
    assert openings.begin([ONE]) == ({ONE}, {})


async def test_only_so_many_are_remembered() -> None:
    openings = Openings(most=2)
    mine, _theirs = openings.begin([ONE, TWO, THREE])
    openings.end(sorted(mine), well=True)
    assert openings.begin([ONE, TWO, THREE]) == ({ONE}, {})
