"""What carries others' traffic, held to its word by a server made of raw sockets."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from shadow.platforms.client import TooLarge, carry, carrying_client
from tests.integration.fanout.serving import raw_server, read_request

WITHIN = timedelta(seconds=5)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with carrying_client() as client:
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


async def test_no_proxy_of_the_environment_is_used(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with raw_server(Script(OK)) as url, carrying_client() as fresh:
        answer = await carry(fresh, "GET", url, [], b"", within=WITHIN)
    assert answer.body == b"ok"
