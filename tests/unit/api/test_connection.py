"""A connection's limits, over real sockets: what is too large or too slow is refused, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import orjson
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import connection
from api.connection import MOST_HEAD, MOST_HEADERS, MOST_TARGET, Connection
from api.front.exchange import Disconnected, read_body, respond
from shadow.service import Listener, server_settings

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n"


class Serving:
    """A listener whose application answers with the size of what it was sent."""

    def __init__(self) -> None:
        self.port = 0
        self.server: uvicorn.Server
        self.served: list[str] = []
        self.left = 0
        self.refuses_early = False
        self.headers: list[bytes] = []
        """Names of the headers that the first request had at its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.served.append(scope["path"])
        if self.refuses_early:
            await respond(send, 401, b"")
            return
        try:
            body = await read_body(scope, receive, 10_000_000)
        except Disconnected:
            self.left += 1
            return
        self.headers = self.headers or [name for name, _value in scope["headers"]]
        await respond(send, 200, orjson.dumps(len(body)))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def answer(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """What is answered to these bytes, sent one after the other, until the connection is closed."""
        async with self.connected() as (reader, writer):
            answered = asyncio.create_task(all_of(reader))
            with suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
            return await answered


async def all_of(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while chunk := await asyncio.wait_for(reader.read(65536), 30):
            received += chunk
    return received


@asynccontextmanager
async def served(made: Serving) -> AsyncIterator[Serving]:
    server = made.server = uvicorn.Server(
        uvicorn.Config(made, **(server_settings(Listener("127.0.0.1", 0)) | {"loop": "none"}))
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    yield made
    server.should_exit = True
    await task


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    async with served(Serving()) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.05)


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def problem(answer: bytes) -> dict[str, object]:
    said: dict[str, object] = orjson.loads(answer.split(b"\r\n\r\n")[1])
    return said


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
        (kept,) = serving.server.server_state.connections
        assert isinstance(kept, Connection)
        assert kept.timeout_keep_alive_task is not None
        assert kept.timeout_keep_alive_task.when() - kept.loop.time() > 60


async def test_an_idle_connection_is_closed_at_once_when_the_process_drains(serving: Serving) -> None:
    async with serving.connected() as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        assert b" 200 OK" in await reader.read(65536)
        serving.server.should_exit = True
        assert await asyncio.wait_for(all_of(reader), 10) == b""


class Directly(Serving):
    """A listener whose application is offered requests that came whole, and answers with what each one holds when it
    is let."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = True
        self.waits = False
        self.replies: list[Callable[[], None]] = []
        self.header = b""

    def direct(self, scope: Scope, body: bytes, reply: Callable[..., None]) -> bool:
        if not self.takes:
            return False

        def answer() -> None:
            reply(202, b"directly " + body, ((b"x-path", self.header or scope["path"].encode()),))

        if self.waits:
            self.replies.append(answer)
        else:
            answer()
        return True

    async def asked(self) -> None:
        """Return when a request waits for its answer."""
        while not self.replies:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture
async def directly() -> AsyncIterator[Directly]:
    async with served(Directly()) as made:
        assert isinstance(made, Directly)
        yield made


def post(body: bytes, *headers: bytes) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    return b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), more, body)


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
