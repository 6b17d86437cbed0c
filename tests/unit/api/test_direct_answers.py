"""Requests that are answered without a task: in their order, each once, and whatever else comes on the connection."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from api import connection
from tests.unit.api.listening import REQUEST, Directly, Serving, all_of, kept, post, status


async def test_a_request_that_comes_whole_is_answered_without_a_task(directly: Directly) -> None:
    answer = await directly.answer(post(b"one"), post(b"two", b"connection: close"), pause=0.1)
    head = b"HTTP/1.1 202 Accepted\r\nx-path: /a\r\n"
    assert answer == (
        head + b"content-length: 12\r\n\r\ndirectly one"
        b"" + head + b"connection: close\r\ncontent-length: 12\r\n\r\ndirectly two"
    )
    assert directly.served == []


async def test_what_is_not_taken_directly_goes_the_usual_way(directly: Directly) -> None:
    directly.takes = False
    answer = await directly.answer(post(b"one") + post(b"three", b"connection: close"))
    assert answer.count(b" 200 OK") == 2
    assert answer.endswith(b"5")
    assert directly.served == ["/a", "/a"]


UPGRADE = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABk")


@pytest.mark.parametrize("takes", [True, False])
async def test_who_asks_for_another_protocol_is_answered_in_this_one(directly: Directly, takes: bool) -> None:
    """HTTP clients of Java ask for HTTP/2 with their first request, whatever it is."""
    directly.takes = takes
    answer = await directly.answer(post(b"one", *UPGRADE) + post(b"", *UPGRADE), post(b"two", b"connection: close"))
    assert [answer.count(b" 202 "), answer.count(b" 200 ")] == ([1, 2] if takes else [0, 3])
    assert (b"directly one" in answer) == takes
    assert b"http2-settings" not in directly.headers


async def test_the_body_of_who_asks_for_another_protocol_is_no_other_request(serving: Serving) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
    whole = post(hidden, *UPGRADE)
    for parts in ((whole,), (whole[: -len(hidden)], hidden), (whole[:40], whole[40:-20], whole[-20:])):
        serving.served.clear()
        answer = await serving.answer(*parts, post(b"", b"connection: close"), pause=0.05)
        assert (serving.served, answer.count(b" 200 OK")) == (["/a", "/a"], 2)
        assert b"\r\n\r\n%d" % len(hidden) in answer


async def test_very_many_that_ask_for_another_protocol_are_answered_one_after_the_other(serving: Serving) -> None:
    answer = await serving.answer(
        b"POST /a HTTP/1.1\r\nhost:x\r\nconnection:upgrade\r\nupgrade:a\r\n\r\n" * 2000
        + post(b"", b"connection: close")
    )
    assert answer.count(b" 200 OK") == 2001


@pytest.mark.parametrize(("target", "code"), [(b"/a", 200), (b"elsewhere:443", 400)])
async def test_nothing_is_read_from_a_tunnel(serving: Serving, target: bytes, code: int) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await serving.answer(b"CONNECT " + target + b" HTTP/1.1\r\nhost: x\r\n\r\n" + hidden)
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (code, 1)
    assert b"connection: close" in answer
    assert "/hidden" not in serving.served


async def test_a_body_that_comes_in_pieces_goes_the_usual_way(directly: Directly) -> None:
    whole = post(b"x" * 100, b"connection: close")
    answer = await directly.answer(whole[:-50], whole[-50:], pause=0.05)
    assert (status(answer), directly.served) == (200, ["/a"])


async def test_answers_come_in_the_order_of_their_requests(directly: Directly) -> None:
    directly.waits = True
    answering = asyncio.create_task(directly.answer(post(b"one"), post(b"two", b"connection: close"), pause=0.05))
    await directly.asked()
    await asyncio.sleep(0.1)
    assert len(directly.replies) == 1
    directly.replies[0]()
    # The second one had to wait for the first, and is served by a task.
    answer = await answering
    assert (answer.count(b" 202 "), answer.count(b" 200 ")) == (1, 1)
    assert answer.index(b" 202 ") < answer.index(b" 200 ")


async def test_a_request_has_one_answer_whatever_failed_after_it(directly: Directly) -> None:
    """A second one would be taken for that of the next request."""
    directly.waits = True
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        await directly.asked()
        directly.replies[0]()
        directly.replies[0]()
        directly.waits = False
        writer.write(post(b"two", b"connection: close"))
        answer = await all_of(reader)
    assert answer.count(b"HTTP/1.1 202 ") == 2
    assert answer.endswith(b"directly two")


async def test_an_answer_that_cannot_be_given_leaves_room_for_one_that_can(directly: Directly) -> None:
    directly.waits = True
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one", b"connection: close"))
        await directly.asked()
        directly.header = b"a\r\nb"
        with pytest.raises(RuntimeError):
            directly.replies[0]()
        directly.header = b"/a"
        directly.replies[0]()
        assert (await all_of(reader)).endswith(b"directly one")


async def test_an_answer_to_somebody_who_has_left_is_dropped(directly: Directly) -> None:
    directly.waits = True
    async with directly.connected() as (_reader, writer):
        writer.write(post(b"one"))
        await directly.asked()
    while directly.server.server_state.connections:  # noqa: ASYNC110  # as above
        await asyncio.sleep(0.01)
    directly.replies[0]()


async def test_a_request_of_somebody_who_left_at_once_is_taken_all_the_same(directly: Directly) -> None:
    directly.waits = True
    async with directly.connected() as (_reader, writer):
        writer.write(post(b"one"))
    await directly.asked()
    assert directly.served == []


async def test_a_request_that_cannot_be_begun_is_not_left_waiting(
    directly: Directly, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> bool:
        raise ValueError

    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context["exception"]))
    monkeypatch.setattr(directly, "direct", fails)
    assert await asyncio.wait_for(directly.answer(post(b"one")), 10) == b""
    assert [type(error) for error in failed] == [ValueError]


@pytest.mark.parametrize("takes", [True, False])
async def test_a_body_may_come_in_many_chunks_at_once(directly: Directly, takes: bool) -> None:
    directly.takes = takes
    body = b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in range(1, 50))
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    answer = await directly.answer(head + body + b"0\r\n\r\n")
    assert answer.endswith(b"directly " + b"x" * 1225 if takes else b"1225")


async def test_what_follows_a_request_that_waits_to_be_begun_is_served_after_it(directly: Directly) -> None:
    directly.waits = True
    last = REQUEST + b"connection: close\r\n\r\n"
    answering = asyncio.create_task(directly.answer(post(b"one") + post(b"two"), last[:9], last[9:]))
    await directly.asked()
    directly.replies[0]()
    answer = await answering
    assert [answer.count(b" 202 "), answer.count(b" 200 ")] == [1, 2]


async def test_a_drain_waits_for_what_is_answered_directly(directly: Directly) -> None:
    directly.waits = True
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        await directly.asked()
        directly.server.should_exit = True
        await asyncio.sleep(0.3)
        directly.replies[0]()
        answer = await all_of(reader)
    assert status(answer) == 202
    assert b"connection: close" in answer


@pytest.mark.parametrize("end", [b"garbage\r\n\r\n", b"POST /a HTTP/1.1\r\nhost: a b\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("takes", [True, False])
async def test_what_follows_a_request_takes_no_answer_from_it(
    directly: Directly, takes: bool, together: bool, end: bytes
) -> None:
    """Its producer would take the refusal for the answer, and bring again what is stored."""
    directly.takes, directly.waits = takes, True
    parts = (post(b"one") + end,) if together else (post(b"one"), end)
    answering = asyncio.create_task(directly.answer(*parts, pause=0.02))
    if takes:
        await directly.asked()
        await asyncio.sleep(0.05)
        directly.replies[0]()
    answer = await answering
    if takes or together:
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer
    assert (status(answer), answer.endswith(b"directly one")) == ((202, True) if takes else (200, False))


async def test_a_head_that_is_refused_takes_no_answer_from_the_request_before(directly: Directly) -> None:
    directly.waits = True
    answering = asyncio.create_task(directly.answer(post(b"one"), REQUEST + b"a: b\r\n" * 300, b"\r\n", pause=0.02))
    await directly.asked()
    await asyncio.sleep(0.1)
    directly.replies[0]()
    answer = await answering
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (202, 1)
    assert answer.endswith(b"directly one")


@pytest.mark.parametrize("takes", [True, False])
async def test_a_body_that_is_refused_takes_no_answer_from_the_request_before(directly: Directly, takes: bool) -> None:
    directly.takes, directly.waits = takes, True
    bad = b"POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n"
    answering = asyncio.create_task(directly.answer(post(b"one") + post(b"two") + bad))
    if takes:
        await directly.asked()
        directly.replies[0]()
    answer = await asyncio.wait_for(answering, 10)
    assert [answer.count(b" 202 "), answer.count(b" 200 "), answer.count(b" 400 ")] == (
        [1, 1, 0] if takes else [0, 2, 0]
    )
    assert "/b" not in directly.served


async def test_nothing_is_said_after_the_answer_to_a_request_whose_body_turns_out_bad(serving: Serving) -> None:
    serving.refuses_early = True
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
    answer = await serving.answer(head, b"zz\r\n", pause=0.1)
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (401, 1)


async def test_a_drain_ends_a_connection_whose_client_sends_rubbish_while_it_waits(directly: Directly) -> None:
    directly.waits = True
    answering = asyncio.create_task(directly.answer(post(b"one"), *[b"garbage\r\n\r\n"] * 20, pause=0.01))
    await directly.asked()
    directly.server.should_exit = True
    await asyncio.sleep(0.3)
    directly.replies[0]()
    answer = await answering
    assert answer.endswith(b"directly one")


async def test_a_connection_that_rests_keeps_no_body(directly: Directly) -> None:
    """Thousands of them rest, each with up to a quarter of a mebibyte."""
    async with directly.connected() as (reader, writer):
        writer.write(post(b"one"))
        assert b"directly one" in await reader.read(65536)
        held = kept(directly).cycle
        assert isinstance(held, connection._Whole)
        assert held.pieces == []


@pytest.mark.parametrize("how", ["answered", "left", "usual", "pipelined"])
async def test_a_connection_that_is_over_needs_no_garbage_collector(directly: Directly, how: str) -> None:
    """It comes by seldom, and each would keep the last request, and the parser's state, until then."""
    directly.takes = how != "usual"
    directly.waits = how in ("left", "pipelined")
    gc.collect()
    gc.disable()
    try:
        async with directly.connected() as (reader, writer):
            more = post(b"two") * 2 if how == "pipelined" else b""
            writer.write(post(b"one", *((b"connection: close",) if more else ())) + more)
            if directly.waits:
                await directly.asked()
            else:
                await reader.readuntil(b"\r\n\r\n")
            over = weakref.ref(kept(directly))
            if more:
                directly.replies.pop()()
        while directly.server.server_state.connections:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
        while directly.replies:
            directly.replies.pop()()
        await asyncio.sleep(0.05)
        assert over() is None
    finally:
        gc.enable()
