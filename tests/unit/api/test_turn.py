"""A turn: requests begin in the order in which they came, and others have their go between portions of them."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from uvicorn.server import ServerState

from api.turn import PORTION, Turn


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_others_have_their_go_between_two_portions() -> None:
    loop = asyncio.get_running_loop()
    begun: list[int | str] = []
    turn = Turn(loop)
    for number in range(2 * PORTION + 1):
        turn.add(partial(begun.append, number))
    loop.call_soon(begun.append, "another")
    await _settled()
    assert [begun.index("another"), begun[-1]] == [PORTION, 2 * PORTION]
    assert [one for one in begun if one != "another"] == list(range(2 * PORTION + 1))


async def test_what_is_added_later_begins_as_well() -> None:
    begun: list[int] = []
    turn = Turn(asyncio.get_running_loop())
    for number in range(3):
        turn.add(partial(begun.append, number))
        await _settled()
    assert begun == [0, 1, 2]


async def test_one_that_fails_keeps_nobody_else_waiting() -> None:
    loop = asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))
    begun: list[int] = []
    turn = Turn(loop)
    error = RuntimeError("no")

    def fails() -> None:
        raise error

    turn.add(fails)
    for number in range(PORTION + 1):
        turn.add(partial(begun.append, number))
    await _settled()
    assert (begun, failed) == (list(range(PORTION + 1)), [error])


@pytest.mark.parametrize("listeners", [1, 2])
async def test_a_listener_has_one(listeners: int) -> None:
    states = [ServerState() for _ in range(listeners)]
    loop = asyncio.get_running_loop()
    assert len({id(Turn.of(state, loop)) for state in states for _connection in range(2)}) == listeners
