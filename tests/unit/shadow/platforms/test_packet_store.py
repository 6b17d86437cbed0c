"""A platform's packets are read where the platform says, and that is nowhere in our own network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address

import httpx
import pytest

from shadow.platforms.packet_store import NoStore, PacketStore
from tests.unit.shadow.platforms.platforms import Wire

NAMES = {
    "api.trigger.example": ["1.1.1.1"],
    "trigger.internal": ["10.0.0.5"],
    "store.example": ["1.0.0.1", "1.0.0.2"],
    "minio.internal": ["10.0.0.9"],
    "mixed.example": ["1.0.0.1", "10.0.0.9"],
    "metadata.example": ["169.254.169.254"],
}
PUBLIC, PRIVATE = "https://api.trigger.example", "http://trigger.internal:3040"


class Store:
    """A store, and who is asked for what on the way to it."""

    def __init__(self, platform: str, names: Mapping[str, Sequence[str]] = NAMES, *, private: bool = False) -> None:
        self.wire = Wire(lambda request: httpx.Response(200, content=b"packet"))
        self._names = names
        self._store = PacketStore(
            platform, self.wire.client, timedelta(seconds=5), 1000, private=private, lookup=self._lookup
        )

    async def _lookup(self, host: str, port: int) -> Sequence[str]:
        if host in self._names:
            return self._names[host]
        try:
            return [str(ip_address(host))]
        except ValueError:
            raise OSError(f"no {host}") from None

    async def asked(self, url: str) -> httpx.Request:
        assert (await self._store.read(url)).body == b"packet"
        return self.wire.requests[-1]


async def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_stays() -> None:
    request = await Store(PUBLIC).asked("https://store.example/p/a%2Fb?X-Amz-Signature=1")
    assert str(request.url) == "https://1.0.0.1/p/a%2Fb?X-Amz-Signature=1"
    assert request.headers["host"] == "store.example"
    assert request.extensions["sni_hostname"] == "store.example", "whose certificate it has to be"


async def test_where_nobody_is_at_one_address_the_next_is_tried() -> None:
    store = Store(PUBLIC)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "1.0.0.1":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, content=b"packet")

    store.wire.answer = answer
    assert str((await store.asked("https://store.example/p")).url) == "https://1.0.0.2/p"
    store.wire.answer = lambda request: httpx.Response(403)
    assert (await store._store.read("https://store.example/p")).status == 403
    assert [request.url.host for request in store.wire.requests] == ["1.0.0.1", "1.0.0.2", "1.0.0.1"]


async def test_the_platforms_own_origin_is_the_catalogues_matter() -> None:
    request = await Store(PRIVATE).asked(f"{PRIVATE}/packets/1")
    assert str(request.url) == f"{PRIVATE}/packets/1"


@pytest.mark.parametrize("platform", [PUBLIC, PRIVATE])
async def test_no_key_and_no_user_that_the_address_names_is_sent(platform: str) -> None:
    request = await Store(platform).asked("https://user:word@store.example/p")
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    "url",
    [
        "https://minio.internal/p",
        "https://mixed.example/p",
        "https://metadata.example/p",
        "https://127.0.0.1:8485/metrics",
        "https://[::1]:8485/",
        "https://[::ffff:169.254.169.254]/",
        "http://store.example/p",
        "file:///etc/passwd",
        "ftp://store.example/",
        "//store.example/p",
        "store.example",
        "https://",
        "https://[x]/",
        "https://store.example:99999/p",
        "",
    ],
)
async def test_a_public_platform_has_no_store_in_our_network(url: str) -> None:
    store = Store(PUBLIC)
    with pytest.raises(NoStore):
        await store.asked(url)
    assert store.wire.requests == []


@pytest.mark.parametrize(
    "url", ["http://minio.internal:9000/p", "https://mixed.example/p", "http://10.0.0.9/p", "https://store.example/p"]
)
async def test_a_platform_in_a_private_network_may_have_one_there(url: str) -> None:
    await Store(PRIVATE).asked(url)


async def test_a_public_platform_may_be_declared_to_have_one_there() -> None:
    await Store(PUBLIC, private=True).asked("http://minio.internal:9000/p")
    with pytest.raises(NoStore):
        await Store(PUBLIC, private=True).asked("https://metadata.example/p")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://0.0.0.0:1/", "https://metadata.example/p"])
async def test_but_no_platform_has_one_where_no_server_is(url: str) -> None:
    store = Store(PRIVATE)
    with pytest.raises(NoStore):
        await store.asked(url)
    assert store.wire.requests == []


async def test_a_name_that_leads_nowhere_is_a_failure_like_others() -> None:
    with pytest.raises(httpx.ConnectError):
        await Store(PUBLIC).asked("https://nowhere.example/p")
    with pytest.raises(httpx.ConnectError):
        await Store(PUBLIC, {"store.example": ["1.0.0.1"]}).asked("https://store.example/p")
