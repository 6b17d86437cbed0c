"""httpx clients: calls to targets go to the gateway whole, other hosts are denied, and waits become retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from shadow.capture import Capture, HostDenied, RetryLater
from shadow.capture.reports import Reports

GATEWAY = "http://shadow.test"


class Wire:
    """What leaves the worker, and what it is answered."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(200, json={"ok": True})
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.sent.append(request)
        return self.answer(request)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Everything goes over one pretended wire, the guard's reports too."""
    made = Wire()
    options = Reports._options
    monkeypatch.setattr(Reports, "_options", lambda self: {**options(self), "transport": made.transport})
    yield made


def capture(**options: Any) -> Capture:
    return Capture(GATEWAY, "shk_1", {"api.stripe.com": "stripe"}, version="v7", report_patience=0, **options)


def test_a_call_to_a_target_goes_to_the_gateway_whole(wire: Wire) -> None:
    captured = capture()
    client = captured.client(transport=wire.transport, auth=("sk_placeholder", ""), headers={"x-a": "b"})
    with client, captured.run("run_1", "pay", attempt=2, event="evt-1"):
        answer = client.post("https://api.stripe.com/v1/transfers?a=1%2F2", json={"amount": 5})
    (sent,) = wire.sent
    assert str(sent.url) == "http://shadow.test/egress/stripe/v1/transfers?a=1%2F2"
    assert orjson.loads(sent.content) == {"amount": 5}
    assert sent.headers["host"] == "shadow.test"
    assert sent.headers["authorization"].startswith("Basic ")
    assert {name: value for name, value in sent.headers.items() if name.startswith("x-")} == {
        "x-a": "b",
        "x-shadow-key": "shk_1",
        "x-shadow-version": "v7",
        "x-shadow-run": "run_1",
        "x-shadow-task": "pay",
        "x-shadow-attempt": "2",
        "x-shadow-event": "evt-1",
        "x-shadow-accepts": "wait",
    }
    assert str(answer.request.url) == "https://api.stripe.com/v1/transfers?a=1%2F2"  # the worker sees what it asked


def test_outside_of_runs_the_key_alone_goes_along(wire: Wire) -> None:
    with capture().client(transport=wire.transport) as client:
        client.get("https://api.stripe.com/v1/balance")
    assert "x-shadow-run" not in wire.sent[0].headers
    assert "x-shadow-accepts" not in wire.sent[0].headers
    assert wire.sent[0].headers["x-shadow-key"] == "shk_1"


def test_a_base_url_at_the_gateway_gets_the_headers_too(wire: Wire) -> None:
    captured = capture()
    client = captured.client(transport=wire.transport, base_url=f"{GATEWAY}/egress/stripe")
    with client, captured.run("run_1", "pay"):
        client.get("/v1/balance")
    assert str(wire.sent[0].url) == "http://shadow.test/egress/stripe/v1/balance"
    assert wire.sent[0].headers["x-shadow-run"] == "run_1"


def test_an_allowed_host_is_reached_without_a_trace_of_shadow(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_EVENT_KEY", "key")
    captured = capture(allow=["vault.internal"])
    with captured.client(transport=wire.transport) as client, captured.run("run_1", "pay"):
        client.get("https://vault.internal/secret")
        client.post("https://inn.gs/e/key", json=[])
    assert [str(sent.url) for sent in wire.sent] == ["https://vault.internal/secret", "https://inn.gs/e/key"]
    assert not [name for sent in wire.sent for name in sent.headers if "shadow" in name]


def test_another_host_is_denied_and_shadow_is_told_once(wire: Wire) -> None:
    captured = capture()
    with captured.client(transport=wire.transport) as client, captured.run("run_1", "pay", event="evt-1"):
        for _ in range(3):
            with pytest.raises(HostDenied, match=r"evil\.com.*SHADOW_TARGETS=evil\.com=NAME.*SHADOW_ALLOW=evil\.com"):
                client.post("https://evil.com/collect")
    (told,) = wire.sent
    assert (told.url.path, told.headers["authorization"]) == ("/shadow/guard", "Bearer shk_1")
    body = orjson.loads(told.content)
    assert body["hosts"] == [
        {"host": "evil.com", "denied": True, "run": "run_1", "task": "pay", "attempt": 1, "event": "evt-1"}
    ]
    assert (body["denies_other_hosts"], body["version"], body["gateway"]) == (True, "v7", "shadow.test")
    captured.close()


def test_a_denial_that_could_not_be_told_is_told_with_the_next(wire: Wire) -> None:
    captured = capture()
    with captured.client(transport=wire.transport) as client:
        wire.answer = lambda request: httpx.Response(503)
        with pytest.raises(HostDenied):
            client.get("https://one.com")
        wire.answer = lambda request: httpx.Response(200)
        with pytest.raises(HostDenied):
            client.get("https://two.com")
    assert [host["host"] for host in orjson.loads(wire.sent[-1].content)["hosts"]] == ["one.com", "two.com"]
    captured.close()


def test_where_others_are_only_reported_the_call_goes_through(wire: Wire) -> None:
    captured = capture(other_hosts="report")
    with captured.client(transport=wire.transport) as client:
        assert client.get("https://evil.com/").status_code == 200
    told = orjson.loads(wire.sent[0].content)
    assert (told["denies_other_hosts"], told["hosts"]) == (False, [{"host": "evil.com", "denied": False}])
    captured.close()


def waiting(request: httpx.Request) -> httpx.Response:
    return httpx.Response(425, headers={"x-shadow-gateway": "wait", "retry-after": "3"})


def test_a_wait_becomes_a_retry_of_the_run(wire: Wire) -> None:
    wire.answer = waiting
    captured = capture()
    with captured.client(transport=wire.transport) as client:
        with captured.run("run_1", "pay"), pytest.raises(RetryLater) as raised:
            client.get("https://api.stripe.com/v1/balance")
        assert raised.value.after == 3.0
        # outside of a run there is nothing to try again, and the gateway was not told that there is
        assert client.get("https://api.stripe.com/v1/balance").status_code == 425


async def test_the_asynchronous_client_does_the_same(wire: Wire) -> None:
    captured = capture()
    async with captured.async_client(transport=wire.transport) as client, captured.arun("run_1", "pay"):
        await client.post("https://api.stripe.com/v1/transfers", content=b"abc")
        with pytest.raises(HostDenied):
            await client.get("https://evil.com/")
        wire.answer = waiting
        with pytest.raises(RetryLater):
            await client.get("https://api.stripe.com/v1/balance")
    assert [sent.url.path for sent in wire.sent] == [
        "/egress/stripe/v1/transfers",
        "/shadow/guard",
        "/egress/stripe/v1/balance",
    ]
    assert wire.sent[0].content == b"abc"
    await captured.aclose()


def test_a_redirect_is_a_call_of_its_own(wire: Wire) -> None:
    wire.answer = lambda request: httpx.Response(302, headers={"location": "https://evil.com/"})
    with capture().client(transport=wire.transport, follow_redirects=True) as client, pytest.raises(HostDenied):
        client.get("https://api.stripe.com/v1/balance")


def test_mounted_transports_are_captured_as_well(wire: Wire) -> None:
    with capture().client(mounts={"all://api.stripe.com": wire.transport}) as client:
        client.get("https://api.stripe.com/v1/balance")
    assert wire.sent[0].url.path == "/egress/stripe/v1/balance"
