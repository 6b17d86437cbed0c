"""The client package for Node under clients that use `node:http` and `node:https`: axios, got, stripe-node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.acceptance.sdks import drive
from tests.acceptance.test_capture_node import HEADERS, WAIT, environment, marks
from tests.integration.capture.conftest import Front
from tests.integration.fanout.serving import served

PLAIN = "http://plain.test"
SECURE = "https://secure.test"
TARGETS = "plain.test=stripe,secure.test=stripe"
CALLS = ("options", "url", "get", "axios", "got", "stripe")


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    async with served(made) as url:
        made.url = url
        yield made


def reached(front: Front) -> dict[str, tuple[dict[str, str], bytes]]:
    """Call -> its headers and body."""
    return {path: (headers, body) for path, headers, body in front.raw}


async def test_calls_to_targets_go_through_the_gateway_and_to_others_nowhere(front: Front) -> None:
    for path in ("/v1/wait", "/v1/balance"):
        front.answers[f"/egress/stripe{path}"] = WAIT
    front.answers["/egress/stripe/v1/redirect"] = (302, {"location": "http://evil.test/"})
    elsewhere, allowed = Front(), Front()
    async with served(elsewhere) as elsewhere_url, served(allowed) as allowed_url:
        ports = {"ELSEWHERE": port_of(elsewhere_url), "ALLOWED": port_of(allowed_url)}
        more = {"SHADOW_TARGETS": TARGETS, "SHADOW_ALLOW": urlsplit(allowed_url).netloc, **ports}
        got = await drive("capture_http.mjs", "http", environment(front, PLAIN=PLAIN, SECURE=SECURE, **more))
    assert (got["sameHttp"], got["undone"]) == (False, True)
    assert [got[call] for call in (*CALLS, "named")] == [{"status": 200}] * 7
    calls = reached(front)
    headers, body = calls["POST /egress/stripe/v1/options?a=1%2F2"]
    assert (body, headers["x-a"], headers["host"]) == (b"abc", "b", urlsplit(front.url).netloc)
    put, body = calls["PUT /egress/stripe/v1/url"]
    assert (put["x-a"], put["x-c"], body) == ("1", "2", b"abc")
    assert orjson.loads(calls["POST /egress/stripe/v1/axios"][1]) == {"amount": 5}
    assert orjson.loads(calls["POST /egress/stripe/v1/got"][1]) == {"amount": 5}
    # its body is sent once the socket is secure: there is none such on the way to this gateway
    assert calls["POST /egress/stripe/v1/transfers"][1] == b"amount=5&currency=usd&destination=acct_1"
    within_run = [headers for path, headers, _ in front.raw if path.split()[1].startswith("/egress")][:-1]
    assert [marks(headers) for headers in within_run] == [HEADERS] * len(within_run)
    # a wait is found behind whatever its client makes of it; outside of runs it is what it is
    for waited in (got["waited"], got["axiosWaited"], got["stripeWaited"]):
        assert waited["behind"] == 7, waited
    assert got["waited"]["name"] == "RetryAfterError"
    assert got["outside"] == {"status": 425}
    # other hosts are denied, by way of a redirect too, as a connection that fails
    assert got["denied"]["name"] == "HostDenied"
    for denied in (got["denied"], got["axiosDenied"], got["axiosRedirected"]):
        assert "SHADOW_TARGETS=evil.test=NAME" in denied["message"]
    assert "unix:/nowhere/evil.sock" in got["socket"]["message"]
    # whatever opens a socket: SMTP, HTTP/2, a driver of a database
    sockets = got["sockets"]
    assert sockets.pop("allowed") == {"status": "connected"}
    assert {name: denied["name"] for name, denied in sockets.items()} == dict.fromkeys(sockets, "HostDenied")
    assert told(front) == {
        "evil.test",
        "unix:/nowhere/evil.sock",
        f"127.0.0.1:{ports['ELSEWHERE']}",
        f"localhost:{ports['ELSEWHERE']}",
        "mail.evil.test:25",
        "mail.evil.test:465",
        "push.evil.test",
    }


def port_of(url: str) -> str:
    return str(urlsplit(url).port)


def told(front: Front) -> set[str]:
    """The hosts that the guard told of, all of them denied."""
    reports = [orjson.loads(body) for path, _, body in front.raw if path == "POST /shadow/guard"]
    hosts: list[dict[str, Any]] = [host for report in reports for host in report["hosts"]]
    assert all(host["denied"] and host["run"] == "run_1" for host in hosts)
    return {host["host"] for host in hosts}


async def test_without_a_gateway_nothing_happens_at_all(front: Front) -> None:
    target = Front()
    async with served(target) as url:
        target.answers["/v1/redirect"] = (302, {"location": f"{url}/v1/after"})
        target.answers["/v1/wait"] = WAIT
        ports = {"ELSEWHERE": port_of(url), "ALLOWED": port_of(url)}
        everything = environment(front, PLAIN=url, SHADOW_GATEWAY_URL="", **ports)
        got = await drive("capture_http.mjs", "http", everything)
    assert (got["sameHttp"], got["undone"]) == (True, True)
    assert [got[call] for call in CALLS] == [{"status": 200}] * 6
    assert got["waited"] == got["outside"] == got["axiosWaited"] == {"status": 425}
    assert got["axiosRedirected"] == {"status": 200}
    assert got["denied"]["code"] in ("ENOTFOUND", "EAI_AGAIN")  # asked for by name: there is none such
    connected = {name: outcome.get("status") for name, outcome in got["sockets"].items()}
    assert [connected[name] for name in ("port", "options", "allowed")] == ["connected"] * 3
    assert front.raw == []
    assert not [name for _, headers, _ in target.raw for name in headers if "shadow" in name]
