"""The transport's own: TLS, names with several addresses, connections that are kept, and what bounds them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shadow.platforms import pool as pool_module
from shadow.platforms.client import CarryingClient, carry, carrying_client
from shadow.platforms.pool import Pool
from shadow.platforms.transport import Wire, address
from tests.integration.fanout.serving import raw_server, read_request, until

WITHIN = timedelta(seconds=5)
WAITS = httpx.Timeout(5.0).as_dict()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


# TLS.


class Authority:
    """Makes certificates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self.file = self._write("authority", self._sign("authority", self._key, x509.BasicConstraints(True, None)))

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, constraints: x509.BasicConstraints) -> bytes:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=36500))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, text: bytes) -> Path:
        path = self._folder / f"{name}.pem"
        path.write_bytes(text)
        return path

    def issue(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(name, private + self._sign(name, key, x509.BasicConstraints(False, None)))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def tls_server(authority: Authority, name: str, *, client: bool = False) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(name))
    if client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer_all(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


async def get(http: CarryingClient, port: int, sni: str) -> httpx.Response:
    extensions: dict[str, Any] = {"sni_hostname": sni, "timeout": WAITS}
    return await http.send(httpx.Request("GET", f"https://127.0.0.1:{port}/", extensions=extensions))


async def test_a_certificate_is_verified_against_the_name_that_is_told(authority: Authority) -> None:
    async with tls_server(authority, "target.example") as port, carrying_client(tls=trusting(authority)) as http:
        assert (await get(http, port, "target.example")).content == b"ok"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await get(http, port, "other.example")


async def test_an_authority_that_is_not_known_is_no_authority(authority: Authority) -> None:
    async with tls_server(authority, "target.example") as port, carrying_client() as http:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await get(http, port, "target.example")


async def test_a_host_can_have_a_context_of_its_own(authority: Authority) -> None:
    """And a certificate is shown to it."""
    mine = trusting(authority)
    mine.load_cert_chain(authority.issue("shadow"))
    async with tls_server(authority, "target.example", client=True) as port:
        async with carrying_client(tls_of={("target.example", port): mine}) as http:
            assert (await get(http, port, "target.example")).content == b"ok"
        async with carrying_client(tls=trusting(authority)) as http:
            with pytest.raises(httpx.TransportError):
                await get(http, port, "target.example")


# Names.


def found(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    async def lookup(_host: str, _port: int, **_kind: object) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host, port in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)


async def test_the_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(answer_all) as url, carrying_client() as http:
        port = httpx.URL(url).port or 0
        found(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", port))
        answer = await carry(http, "GET", f"http://host.example:{port}/", [], b"", within=WITHIN)
    assert answer.body == b"ok"


async def test_the_next_address_is_tried_beside_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    never, real = asyncio.Event(), pool_module._connected

    async def connected(where: pool_module.Found) -> socket.socket:
        if where[4][0] == "::1":
            await never.wait()
        return await real(where)

    monkeypatch.setattr(pool_module, "_connected", connected)
    async with raw_server(answer_all) as url, carrying_client() as http:
        port = httpx.URL(url).port or 0
        found(monkeypatch, ("::1", port), ("127.0.0.1", port))
        answer = await carry(http, "GET", f"http://host.example:{port}/", [], b"", within=WITHIN)
    assert answer.body == b"ok"


async def test_a_host_that_no_address_answers_for_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async with carrying_client() as http:
        found(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", 2))
        with pytest.raises(httpx.ConnectError):
            await carry(http, "GET", "http://host.example/", [], b"", within=WITHIN)


@pytest.mark.parametrize("url", ["ftp://host.example/", "/path", "unix:///tmp/x"])
async def test_only_http_is_carried(url: str) -> None:
    async with carrying_client() as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await carry(http, "GET", url, [], b"", within=WITHIN)


def test_an_address_is_a_place_a_name_and_a_target() -> None:
    assert address("http://[::1]:8288/e/key?x=a%2Fb") == (("::1", 8288, None), b"[::1]:8288", b"/e/key?x=a%2Fb")
    assert address("https://api.example") == (("api.example", 443, "api.example"), b"api.example", b"/")


# What is kept, and for how long.


async def kept(pool: Pool, url: str) -> bool:
    """Whether a connection is left for another exchange."""
    connection = pool.idle(address(url)[0])
    if connection is not None:
        connection.abort()
    return connection is not None


@pytest.mark.parametrize(
    ("header", "seconds", "stays"),
    [
        (b"", 3.9, True),
        (b"", 4.1, False),
        (b"Keep-Alive: timeout=2\r\n", 0.9, True),
        (b"Keep-Alive: timeout=2, max=9\r\n", 1.1, False),
        (b"keep-alive: timeout=20\r\n", 18.0, True),
    ],
)
async def test_a_connection_is_not_used_about_when_its_peer_closes_it(
    header: bytes, seconds: float, *, stays: bool
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 0\r\n\r\n")
        await reader.read()

    async with raw_server(talk) as url, Wire() as wire:
        where, host, target = address(url)
        await wire.whole("GET", where, target, [(b"host", host)], b"", most=100)
        for connection in wire.pool._idle[where]:
            connection.idle_since -= seconds
        assert await kept(wire.pool, url) is stays


async def test_idle_connections_are_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_STAYS", 0.1)
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await reader.read()
        gone.set()

    async with raw_server(talk) as url, carrying_client() as http:
        await carry(http, "GET", url, [], b"", within=WITHIN)
        async with asyncio.timeout(5):
            await gone.wait()


async def test_closing_the_client_ends_what_is_under_way() -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()

    async with raw_server(hang) as url:
        http = carrying_client()
        calling = asyncio.create_task(carry(http, "POST", url, [], b"{}", within=WITHIN))
        await asked.wait()
        assert http.wire.pool.busy == 1
        await http.aclose()
        with pytest.raises(httpx.TransportError):
            await calling
        assert http.wire.pool.busy == 0


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-A: b\r\n" * 40_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000,
    ],
    ids=["headers", "a header", "trailers", "hints"],
)
async def test_what_surrounds_a_body_ends_somewhere(endless: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(endless)
        await reader.read()

    async with raw_server(talk) as url, carrying_client() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await carry(http, "GET", url, [], b"", within=WITHIN)


async def test_many_at_once_each_get_their_own_answer() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = (await read_request(reader)).partition(b"\r\n\r\n")[2]
            await asyncio.sleep(0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with raw_server(echo) as url, carrying_client() as http:

        async def several(number: int) -> None:
            for turn in range(5):
                sent = b"%d-%d" % (number, turn) * (1 + number * 400)
                answer = await carry(http, "POST", url, [], sent, within=WITHIN)
                assert answer.body == sent

        await asyncio.gather(*(several(number) for number in range(40)))
        await until(lambda: http.wire.pool.busy == 0)
