"""What carries others' traffic, held to its word by a server made of raw sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Self

import httpx
import pytest

from benchmarks.transports import CANDIDATES
from shadow.platforms.client import TooLarge, carry
from tests.integration.fanout.serving import raw_server, read_request

WITHIN = timedelta(seconds=5)


HANGS = "hangs: "
BY_CHANCE = "by chance: "
FAILS: Mapping[str, Mapping[str, str]] = {
    "httpcore": {
        "test_an_answer_that_nobody_asked_for_answers_no_request": "takes what came too much for the next answer",
        "test_an_answer_that_can_be_read_in_two_ways_is_an_error[length and chunks]": "believes the chunks",
        "test_a_body_of_another_length_than_announced_is_never_followed": "lets an exception of h11 through",
    },
    "httpx-aiohttp": {
        "test_repeated_headers_stay_repeated_in_both_directions": "joins what is sent repeatedly",
        "test_names_keep_their_case_and_order_in_both_directions": "sends names in lower case",
        "test_bytes_beyond_ascii_stay_in_headers": "sends names in lower case",
        "test_a_target_stays_as_it_was_spelled": "spells it anew",
        "test_a_connection_that_was_closed_meanwhile_is_not_used": f"{HANGS}a POST fails of which nothing was read",
        "test_what_may_have_been_read_is_not_sent_again[PUT]": "sends it again by itself",
        "test_an_answer_that_can_be_read_in_two_ways_is_an_error": "raises errors of its own, or takes it",
        "test_no_header_can_be_smuggled_in": "refuses with ValueError, and takes a name with a blank",
        "test_nobody_listening_is_an_error_of_its_own": "calls it a timeout",
        "test_a_body_of_another_length_than_announced_is_never_followed[999]": "cuts the body off",
        "test_a_body_of_another_length_than_announced_is_never_followed[1001]": f"{HANGS}waits for the answer",
    },
    "pyreqwest": {
        "test_nothing_is_added_but_host_and_length": "adds Accept",
        "test_an_answer_that_breaks_off_is_an_error": "raises DecodingError",
        "test_names_keep_their_case_and_order_in_both_directions": "names in lower case, in another order",
        "test_bytes_beyond_ascii_stay_in_headers": "fails on them",
        "test_a_target_stays_as_it_was_spelled": "spells it anew",
        "test_an_answer_that_can_be_read_in_two_ways_is_an_error": "raises DecodingError, or takes it",
        "test_no_header_can_be_smuggled_in": "refuses with ValueError",
        "test_who_gives_up_frees_the_connection": f"{HANGS}the connection stays",
        "test_a_connection_that_was_closed_meanwhile_is_not_used": f"{BY_CHANCE}its own thread learns of it late",
        "test_an_answer_is_passed_on_as_it_comes": f"{HANGS}waits for more than has come",
        "test_nothing_coming_for_too_long_is_an_error_of_its_own": f"{HANGS}asked for a longer time than allowed",
        "test_a_body_of_another_length_than_announced_is_never_followed[999]": "cuts the body off",
        "test_a_body_of_another_length_than_announced_is_never_followed[1001]": "raises an error of its own",
    },
}
"""Which transport breaks which part of the contract (a test, or one of its cases), and how: why only one is used."""


@pytest.fixture(params=CANDIDATES)
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    transport: str = request.param
    test = request.node.originalname
    case = request.node.name.removeprefix(f"{test}[{transport}").removeprefix("-")
    fails = FAILS.get(transport, {})
    why = fails.get(test) or fails.get(f"{test}[{case}")
    if why is not None and why.startswith((HANGS, BY_CHANCE)):
        pytest.xfail(why)
    if why is not None:
        request.applymarker(pytest.mark.xfail(strict=True, reason=why))
    async with CANDIDATES[transport]() as client:
        yield client


class Script:
    """Answers requests with the given bytes, in turn, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.answers:
            self.requests.append(await read_request(reader))
            writer.write(self.answers.pop(0))
            await writer.drain()


WAITS = httpx.Timeout(5.0).as_dict()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_redirect_is_passed_back_and_not_followed(http: httpx.AsyncClient) -> None:
    script = Script(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(script) as url:
        answer = await carry(http, "POST", url, [], b"{}", within=WITHIN)
    assert answer.status == 302
    assert answer.fields["location"] == "http://127.0.0.1:1/elsewhere"
    assert len(script.requests) == 1


async def test_compressed_bytes_stay_as_they_are(http: httpx.AsyncClient) -> None:
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with raw_server(Script(head + packed)) as url:
        answer = await carry(http, "GET", url, [("accept-encoding", "gzip")], b"", within=WITHIN)
    assert answer.body == packed
    assert answer.fields["content-encoding"] == "gzip"


async def test_a_cookie_is_passed_back_and_never_sent_again(http: httpx.AsyncClient) -> None:
    with_cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret; Path=/\r\nContent-Length: 0\r\n\r\n"
    script = Script(with_cookie, OK)
    async with raw_server(script) as url:
        answer = await carry(http, "GET", url, [], b"", within=WITHIN)
        await carry(http, "GET", url, [], b"", within=WITHIN)
    assert answer.fields["set-cookie"].startswith("session=secret")
    assert b"cookie" not in script.requests[1].lower()
    assert len(http.cookies) == 0


async def test_repeated_headers_stay_repeated_in_both_directions(http: httpx.AsyncClient) -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nX-One: a\r\nX-One: b\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(script) as url:
        sent = [("X-Two", "1"), ("X-Two", "2")]
        answer = await carry(http, "POST", url, sent, b"", within=WITHIN)
    assert [value for name, value in answer.headers if name.lower() == "x-one"] == ["a", "b"]
    head = script.requests[0].lower()
    assert head.count(b"x-two:") == 2


async def test_nothing_is_added_but_host_and_length(http: httpx.AsyncClient) -> None:
    script = Script(OK)
    async with raw_server(script) as url:
        await carry(http, "POST", url, [("X-Signature", "abc="), ("User-Agent", "shop/1")], b"body", within=WITHIN)
    head, _, body = script.requests[0].partition(b"\r\n\r\n")
    names = sorted(line.partition(b":")[0].strip().lower() for line in head.split(b"\r\n")[1:])
    assert names == [b"content-length", b"host", b"user-agent", b"x-signature"]
    assert body == b"body"


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 100_000])
async def test_the_length_is_always_announced(http: httpx.AsyncClient, body: bytes) -> None:
    script = Script(OK)
    async with raw_server(script) as url:
        await carry(http, "POST", url, [("Transfer-Encoding", "chunked")], body, within=WITHIN)
    head = script.requests[0].partition(b"\r\n\r\n")[0].lower()
    assert b"content-length: %d" % len(body) in head
    assert b"transfer-encoding" not in head


async def test_a_reset_is_an_error_and_the_next_request_goes_through(http: httpx.AsyncClient) -> None:
    script = Script(OK)

    async def reset_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not script.requests:
            script.requests.append(await read_request(reader))
            writer.transport.abort()
            return
        await script(reader, writer)

    async with raw_server(reset_first) as url:
        with pytest.raises(httpx.TransportError):
            await carry(http, "POST", url, [], b"{}", within=WITHIN)
        answer = await carry(http, "POST", url, [], b"{}", within=WITHIN)
    assert answer.body == b"ok"


async def test_an_answer_that_breaks_off_is_an_error(http: httpx.AsyncClient) -> None:
    async with raw_server(Script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")) as url:
        with pytest.raises(httpx.TransportError):
            await carry(http, "GET", url, [], b"", within=WITHIN)


async def test_an_answer_that_drips_for_ever_is_cut_off_in_time(http: httpx.AsyncClient) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(drip) as url:
        with pytest.raises(TimeoutError):
            await carry(http, "GET", url, [], b"", within=timedelta(seconds=0.3))


async def test_an_answer_without_end_takes_no_more_memory_than_allowed(http: httpx.AsyncClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    async with raw_server(Script(head + b"x" * 100_000)) as url:
        with pytest.raises(TooLarge):
            await carry(http, "GET", url, [], b"", within=WITHIN, most=10_000)


@pytest.mark.parametrize("name", CANDIDATES)
async def test_no_proxy_of_the_environment_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with raw_server(Script(OK)) as url, CANDIDATES[name]() as fresh:
        answer = await carry(fresh, "GET", url, [], b"", within=WITHIN)
    assert answer.body == b"ok"


async def test_names_keep_their_case_and_order_in_both_directions(http: httpx.AsyncClient) -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nX-B: 1\r\nx-A: 2\r\nX-b: 3\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(script) as url:
        answer = await carry(http, "POST", url, [("X-Zed", "1"), ("x-Alpha", "2"), ("X-ZED", "3")], b"", within=WITHIN)
    assert [header for header in answer.headers if header[0].lower().startswith("x-")] == [
        ("X-B", "1"),
        ("x-A", "2"),
        ("X-b", "3"),
    ]
    sent = [line for line in script.requests[0].split(b"\r\n") if line.lower().startswith(b"x-")]
    assert sent == [b"X-Zed: 1", b"x-Alpha: 2", b"X-ZED: 3"]


async def test_bytes_beyond_ascii_stay_in_headers(http: httpx.AsyncClient) -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nX-Name: J\xc3\xbcrgen\r\nX-None:\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(script) as url:
        told = "J\u00fcrgen".encode().decode("latin-1")
        answer = await carry(http, "POST", url, [("X-Name", told), ("X-None", "")], b"", within=WITHIN)
    assert ("X-Name", told) in answer.headers
    assert ("X-None", "") in answer.headers
    assert b"X-Name: J\xc3\xbcrgen\r\n" in script.requests[0]
    assert b"X-None: \r\n" in script.requests[0]


@pytest.mark.parametrize("target", [b"/a%2Fb/../c?x=%20&&y", b'/~a;b=\'(c)*!$@:,=+?q={"a"}|^`[]\\'])
async def test_a_target_stays_as_it_was_spelled(http: httpx.AsyncClient, target: bytes) -> None:
    script = Script(OK)
    async with raw_server(script) as url:
        request = httpx.Request("GET", url, extensions={"target": target, "timeout": WAITS})
        response = await http.send(request, stream=True)
        await response.aclose()
    assert script.requests[0].startswith(b"GET " + target + b" HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"]
)
async def test_an_answer_that_has_no_body_is_over_with_its_head(http: httpx.AsyncClient, answer: bytes) -> None:
    async with raw_server(Script(answer, OK)) as url:
        first = await carry(http, "GET", url, [], b"", within=WITHIN)
        second = await carry(http, "GET", url, [], b"", within=WITHIN)
    assert (first.body, second.body) == (b"", b"ok")


async def test_the_length_that_a_head_request_asked_for_is_passed_back(http: httpx.AsyncClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    async with raw_server(Script(head, OK)) as url:
        first = await carry(http, "HEAD", url, [], b"", within=WITHIN)
        second = await carry(http, "GET", url, [], b"", within=WITHIN)
    assert (first.fields["content-length"], first.body, second.body) == ("5000", b"", b"ok")


async def test_what_precedes_the_answer_is_not_taken_for_it(http: httpx.AsyncClient) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with raw_server(Script(early + OK)) as url:
        answer = await carry(http, "POST", url, [], b"{}", within=WITHIN)
    assert (answer.status, answer.body) == (200, b"ok")
    assert "link" not in answer.fields


async def test_chunks_are_put_together_and_their_trailer_is_no_header(http: httpx.AsyncClient) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    async with raw_server(Script(chunked + pieces, OK)) as url:
        first = await carry(http, "GET", url, [], b"", within=WITHIN)
        second = await carry(http, "GET", url, [], b"", within=WITHIN)
    assert (first.body, second.body) == (b"abcde", b"ok")
    assert "x-sum" not in first.fields


async def test_chunks_that_break_off_are_an_error(http: httpx.AsyncClient) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    async with raw_server(Script(chunked)) as url:
        with pytest.raises(httpx.TransportError):
            await carry(http, "GET", url, [], b"", within=WITHIN)


async def test_a_body_without_length_ends_with_its_connection(http: httpx.AsyncClient) -> None:
    async with raw_server(Script(b"HTTP/1.0 200 OK\r\n\r\nall of this")) as url:
        answer = await carry(http, "GET", url, [], b"", within=WITHIN)
    assert answer.body == b"all of this"


async def test_a_connection_is_used_again(http: httpx.AsyncClient) -> None:
    connections = 0
    script = Script(OK, OK, OK)

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await script(reader, writer)

    async with raw_server(count) as url:
        for _ in range(3):
            await carry(http, "POST", url, [], b"{}", within=WITHIN)
    assert connections == 1


class Impatient:
    """A server in a thread of its own that answers one request a connection and closes it, without having said so."""

    def __init__(self, *answers: bytes) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _peer = self.listening.accept()
            with connection:
                request = b""
                while not request.endswith((b"first", b"second")):
                    request += connection.recv(65536)
                self.requests.append(request)
                connection.sendall(answer)
            self.closed.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=10)
        self.listening.close()


async def test_a_connection_that_was_closed_meanwhile_is_not_used(http: httpx.AsyncClient) -> None:
    """Though the loop had no turn to learn of it."""
    with Impatient(OK, OK) as server:
        await carry(http, "POST", server.url, [], b"first", within=WITHIN)
        assert server.closed.wait(5)
        answer = await carry(http, "POST", server.url, [], b"second", within=WITHIN)
    assert answer.body == b"ok"
    assert [request.rpartition(b"\r\n\r\n")[2] for request in server.requests] == [b"first", b"second"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_what_may_have_been_read_is_not_sent_again(http: httpx.AsyncClient, method: str) -> None:
    """Not even on a connection that has served before, nor by a method that may be repeated: whoever sends decides."""
    script = Script(OK)
    read: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(reader, writer)
        read.append(await read_request(reader))

    async with raw_server(talk) as url:
        await carry(http, method, url, [], b"first", within=WITHIN)
        with pytest.raises(httpx.TransportError):
            await carry(http, method, url, [], b"second", within=WITHIN)
        await asyncio.sleep(0.1)
    assert len(read) == 1


async def test_an_answer_that_nobody_asked_for_answers_no_request(http: httpx.AsyncClient) -> None:
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
    async with raw_server(Script(OK + smuggled, OK)) as url:
        bodies = [(await carry(http, "GET", url, [], b"", within=WITHIN)).body for _ in range(2)]
    assert bodies == [b"ok", b"ok"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"220 mail.example.com ESMTP\r\n",
    ],
    ids=["two lengths", "length and chunks", "another protocol", "no HTTP"],
)
async def test_an_answer_that_can_be_read_in_two_ways_is_an_error(http: httpx.AsyncClient, answer: bytes) -> None:
    async with raw_server(Script(answer)) as url:
        with pytest.raises(httpx.TransportError):
            await carry(http, "GET", url, [], b"", within=WITHIN)


@pytest.mark.parametrize("header", [("x-a", "1\r\nx-b: 2"), ("x-a\r\nx-b", "1"), ("x a", "1"), ("x-a", "1\x00")])
async def test_no_header_can_be_smuggled_in(http: httpx.AsyncClient, header: tuple[str, str]) -> None:
    script = Script(OK)
    async with raw_server(script) as url:
        with pytest.raises(httpx.TransportError):
            await carry(http, "POST", url, [header], b"{}", within=WITHIN)
    assert script.requests == []


async def test_who_gives_up_frees_the_connection(http: httpx.AsyncClient) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()
        left.set()

    async with raw_server(hang) as url:
        calling = asyncio.create_task(carry(http, "POST", url, [], b"{}", within=WITHIN))
        await asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(5):
            await left.wait()


async def test_an_answer_is_passed_on_as_it_comes(http: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        await go_on.wait()
        writer.write(b"two")

    async with raw_server(slowly) as url:
        response = await http.send(httpx.Request("GET", url, extensions={"timeout": WAITS}), stream=True)
        pieces = []
        async for piece in response.aiter_raw():
            pieces.append(piece)
            go_on.set()
        await response.aclose()
    assert pieces == [b"one", b"two"]


async def test_nothing_coming_for_too_long_is_an_error_of_its_own(http: httpx.AsyncClient) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()

    async with raw_server(hang) as url:
        waits = WAITS | {"read": 0.1}
        with pytest.raises(httpx.ReadTimeout):
            await http.send(httpx.Request("GET", url, extensions={"timeout": waits}), stream=True)


async def test_nobody_listening_is_an_error_of_its_own(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ConnectError):
        await http.send(httpx.Request("GET", "http://127.0.0.1:1/", extensions={"timeout": WAITS}), stream=True)


async def test_a_slow_reader_makes_the_peer_wait(http: httpx.AsyncClient) -> None:
    """What it has not taken yet is not kept in memory."""
    written = 0

    async def much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while written < 100_000_000:
            writer.write(b"x" * 100_000)
            written += 100_000
            await writer.drain()

    async with raw_server(much) as url:
        response = await http.send(httpx.Request("GET", url, extensions={"timeout": WAITS}), stream=True)
        pieces = response.aiter_raw()
        await anext(pieces)
        await asyncio.sleep(0.3)
        held = written
        await response.aclose()
    assert held < 32_000_000


async def test_an_answer_that_comes_before_the_upload_is_over_is_passed_back(http: httpx.AsyncClient) -> None:
    refused = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    answered = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refused)
        await writer.drain()
        answered.set()
        while await reader.read(65536):
            pass

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await answered.wait()
        await asyncio.sleep(0.05)
        yield b"x" * 1000

    async with raw_server(refuse) as url:
        headers = {"host": "x", "content-length": "2000"}
        request = httpx.Request("POST", url, headers=headers, content=body(), extensions={"timeout": WAITS})
        response = await http.send(request, stream=True)
        await response.aclose()
    assert response.status_code == 413


@pytest.mark.parametrize("length", ["999", "1001"])
async def test_a_body_of_another_length_than_announced_is_never_followed(http: httpx.AsyncClient, length: str) -> None:
    """What is left over, or lacking, would be read as part of the next request."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000

    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)
        requests.append(await read_request(reader))

    async with raw_server(talk) as url:
        headers = {"host": "x", "content-length": length}
        request = httpx.Request("POST", url, headers=headers, content=body(), extensions={"timeout": WAITS})
        with pytest.raises(httpx.TransportError):
            await http.send(request, stream=True)
    assert requests == []
