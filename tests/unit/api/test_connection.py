"""A connection's limits, over real sockets: what is too large or too slow is refused, and nobody else notices."""

from __future__ import annotations

import asyncio

import pytest

from api.connection import MOST_HEAD, MOST_HEADERS, MOST_TARGET
from tests.unit.api.listening import REQUEST, Serving, all_of, kept, problem, status


async def test_ordinary_requests_are_served_one_after_the_other(serving: Serving) -> None:
    post = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    last = b"GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = await serving.answer(post * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert serving.served == ["/a", "/a", "/a", "/b"]


@pytest.mark.parametrize("pieces", [1, 50])
async def test_a_head_that_is_too_large_is_refused(serving: Serving, pieces: int) -> None:
    head = REQUEST + b"".join(b"h%d: %s\r\n" % (number, b"x" * 2000) for number in range(MOST_HEAD // 2000 + 2))
    whole = head + b"\r\n"
    size = len(whole) // pieces + 1
    answer = await serving.answer(*(whole[start : start + size] for start in range(0, len(whole), size)))
    assert status(answer) == 431
    assert problem(answer) == {
        "type": "about:blank",
        "title": "Request Header Fields Too Large",
        "status": 431,
        "detail": f"a request may have {MOST_HEADERS} headers, and {MOST_HEAD} bytes before its body",
        "error": f"a request may have {MOST_HEADERS} headers, and {MOST_HEAD} bytes before its body",
    }
    assert serving.served == []


async def test_a_header_without_end_is_refused_before_it_ends(serving: Serving) -> None:
    answer = await serving.answer(REQUEST + b"x: ", *(b"y" * 10_000 for _ in range(20)))
    assert status(answer) == 431


@pytest.mark.parametrize(
    "told",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 4",
        b"content-length: 4\r\ncontent-length: 5",
        b"content-length: +4",
        b"transfer-encoding : chunked",
        b"transfer-encoding: identity\r\ncontent-length: 4",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
        b"x: a\r\n b",
        b"x: a\rinjected: b",
        b"x: a\x00b",
    ],
)
async def test_where_a_request_ends_is_beyond_doubt_or_it_is_refused(serving: Serving, told: bytes) -> None:
    """What a proxy in front and this listener could read differently would hide a second request in the first."""
    hidden = b"0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await serving.answer(b"POST / HTTP/1.1\r\nhost: x\r\n" + told + b"\r\n\r\n" + hidden)
    assert status(answer) == 400
    assert serving.served == []


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("more", [b"", b"connection: upgrade\r\nupgrade: h2c\r\n"])
@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"host: a\r\nhost: b\r\n",
        b"host: a\r\nx: y\r\nHost: a\r\n",
        b"host: a\r\nhost:\r\n",
        b"host: a b\r\n",
        b"host: a, b\r\n",
        b"host: a/b\r\n",
        b"host: u@a\r\n",
        b"host: a:b\r\n",
        b"host: [::1\r\n",
        b"host: b\xc3\xbccher\r\n",
    ],
)
async def test_whom_a_request_is_for_is_beyond_doubt_or_it_is_refused(
    serving: Serving, method: bytes, told: bytes, more: bytes
) -> None:
    answer = await serving.answer(method + b" / HTTP/1.1\r\n" + told + more + b"content-length: 0\r\n\r\n")
    assert (status(answer), serving.served) == (400, [])


@pytest.mark.parametrize(
    "head",
    [
        b" HTTP/1.1\r\nhost: shadow_front.example:8484\r\n",
        b" HTTP/1.1\r\nhost:\r\n",
        b" HTTP/1.1\r\nHOST:   [2001:db8::1]:8484 \r\n",
        b" HTTP/1.1\r\nhost: 127.0.0.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/1.0\r\nhost: a\r\n",
    ],
)
async def test_a_host_is_a_name_or_an_address_and_older_clients_may_tell_none(serving: Serving, head: bytes) -> None:
    assert status(await serving.answer(b"GET /a" + head + b"connection: close\r\n\r\n")) == 200


async def test_too_many_headers_are_refused(serving: Serving) -> None:
    answer = await serving.answer(REQUEST + b"a: b\r\n" * MOST_HEADERS + b"\r\n")
    assert status(answer) == 431
    most = REQUEST + b"a: b\r\n" * (MOST_HEADERS - 2) + b"connection: close\r\n\r\n"
    assert status(await serving.answer(most)) == 200


async def test_a_target_that_is_too_long_is_refused(serving: Serving) -> None:
    def request(size: int) -> bytes:
        return b"GET /" + b"p" * (size - 1) + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    assert status(await serving.answer(request(MOST_TARGET))) == 200
    assert status(await serving.answer(request(MOST_TARGET + 1))) == 414


async def test_the_second_request_of_a_connection_has_the_same_limits(serving: Serving) -> None:
    first = REQUEST + b"\r\n"
    answer = await serving.answer(first, REQUEST + b"a: b\r\n" * 300 + b"\r\n", pause=0.05)
    assert [answer.count(b" 200 OK"), answer.count(b" 431 ")] == [1, 1]
    answer = await serving.answer(first, REQUEST + b"x: ", *(b"y" * 30_000 for _ in range(20)), pause=0.01)
    assert [answer.count(b" 200 OK"), answer.count(b" 431 ")] == [1, 1]


async def test_a_large_body_has_no_part_in_the_heads_limits(serving: Serving) -> None:
    body = b"x" * 1_000_000
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    answer = await serving.answer((head + body) * 2 + REQUEST + b"connection: close\r\n\r\n")
    assert answer.count(b" 200 OK") == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("beginning", [b"GET / HT", REQUEST])
async def test_a_head_that_does_not_come_is_not_waited_for(serving: Serving, beginning: bytes) -> None:
    answer = await serving.answer(beginning)
    assert status(answer) == 408
    assert serving.served == []


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_was_opened_ahead_is_as_idle_as_one_between_requests(serving: Serving) -> None:
    assert serving.server is not None
    serving.server.config.timeout_keep_alive = 2
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    await asyncio.sleep(1)  # no head would be waited for that long
    writer.write(REQUEST + b"\r\n")
    assert status(await reader.readuntil(b"\r\n\r\n")) == 200
    writer.close()


@pytest.mark.usefixtures("impatient")
async def test_nothing_is_said_on_a_connection_on_which_nothing_began(serving: Serving) -> None:
    assert serving.server is not None
    serving.server.config.timeout_keep_alive = 1
    assert await serving.answer(b"") == b""


@pytest.mark.usefixtures("impatient")
async def test_a_head_in_drops_takes_no_longer(serving: Serving) -> None:
    answer = await serving.answer(REQUEST, *(b"a: b\r\n" for _ in range(60)), pause=0.02)
    assert status(answer) == 408


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_does_not_come_is_not_waited_for(serving: Serving) -> None:
    answer = await serving.answer(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n", b"abc")
    assert status(answer) == 408
    assert problem(answer)["detail"] == "the request took too long to arrive"
    await asyncio.sleep(0)
    assert (serving.served, serving.left) == (["/a"], 1)


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_keeps_coming_has_its_time(serving: Serving) -> None:
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 40960\r\nconnection: close\r\n\r\n"
    answer = await serving.answer(head, *(b"x" * 4096 for _ in range(10)), pause=0.06)
    assert (status(answer), serving.left) == (200, 0)


@pytest.mark.usefixtures("impatient")
async def test_a_runs_stream_may_pause(serving: Serving) -> None:
    head = b"POST /realtime/v1/streams/run_1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    answer = await serving.answer(head, b"x", b"y", pause=0.7)
    assert status(answer) == 200


@pytest.mark.usefixtures("impatient")
async def test_whoever_goes_on_sending_after_the_answer_is_cut_off(serving: Serving) -> None:
    serving.refuses_early = True
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n"
    answer = await serving.answer(head, *(b"x" for _ in range(60)), pause=0.02)
    assert answer.count(b"HTTP/1.1") == 1
    assert status(answer) == 401


@pytest.mark.usefixtures("impatient")
async def test_the_pause_between_two_requests_is_uvicorns_matter(serving: Serving) -> None:
    last = REQUEST + b"connection: close\r\n\r\n"
    answer = await serving.answer(REQUEST + b"\r\n", last, pause=0.8)
    assert answer.count(b" 200 OK") == 2


@pytest.mark.parametrize("trailer", [b"a: b\r\n" * 1000, b"a: " + b"b" * 9_990 + b"\r\n", b"b" * 10_000])
async def test_trailers_without_end_are_refused(serving: Serving, trailer: bytes) -> None:
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    answer = await serving.answer(head, *(trailer for _ in range(40)), pause=0.005)
    assert status(answer) == 431


async def test_what_follows_a_body_is_no_header(serving: Serving) -> None:
    head = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    answer = await serving.answer(head, b"authorization: Bearer x\r\n", b"\r\n", REQUEST + b"connection: close\r\n\r\n")
    assert answer.count(b" 200 OK") == 2
    assert serving.headers == [b"host", b"transfer-encoding"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "first", [REQUEST + b"\r\n", REQUEST + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n"]
)
async def test_what_begins_no_request_keeps_no_connection_open(serving: Serving, first: bytes) -> None:
    async with serving.connected() as (reader, writer):
        writer.write(first)
        assert b" 200 OK" in await reader.read(65536)
        await asyncio.sleep(0.1)  # the pause in which uvicorn waits for the next
        writer.write(b"\r\n")
        assert await asyncio.wait_for(all_of(reader), 10) == b""


async def test_a_connection_outlasts_what_a_load_balancer_keeps(serving: Serving) -> None:
    async with serving.connected() as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        assert b" 200 OK" in await reader.read(65536)
        found = kept(serving)
        assert found.timeout_keep_alive_task is not None
        assert found.timeout_keep_alive_task.when() - found.loop.time() > 60


async def test_an_idle_connection_is_closed_at_once_when_the_process_drains(serving: Serving) -> None:
    async with serving.connected() as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        assert b" 200 OK" in await reader.read(65536)
        serving.server.should_exit = True
        assert await asyncio.wait_for(all_of(reader), 10) == b""
