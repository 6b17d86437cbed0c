"""What could stand below the client: the transports that the bench measures and the contract test holds to its word.

Each is set up as well as its makers allow: no redirects, no decompression, no cookies, nothing of the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
import httpx_aiohttp
from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport

from shadow.platforms.client import carrying_client

OURS = "wire"


def _over(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(30.0),
    )


def _httpcore() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    return _over(httpx.AsyncHTTPTransport(trust_env=False, limits=limits))


def _aiohttp() -> httpx.AsyncClient:
    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
        )

    return _over(httpx_aiohttp.AiohttpTransport(client=session))


def _pyreqwest() -> httpx.AsyncClient:
    # As it comes it follows redirects, unpacks what is packed and asks the environment for a proxy.
    builder = ClientBuilder().follow_redirects(False).default_cookie_store(False).no_proxy()
    return _over(HttpxTransport(builder.gzip(False).brotli(False).zstd(False).deflate(False).build()))


CANDIDATES: Mapping[str, Callable[[], httpx.AsyncClient]] = {
    "httpcore": _httpcore,
    "httpx-aiohttp": _aiohttp,
    "pyreqwest": _pyreqwest,
    OURS: carrying_client,
}
"""Transports by name, each below httpx's client; `httpcore` is what httpx has by itself."""

WITHIN = timedelta(seconds=30)
