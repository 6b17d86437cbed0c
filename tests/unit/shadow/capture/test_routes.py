"""A call goes to its target through the gateway, past it where that is allowed, and else nowhere."""

from __future__ import annotations

import pytest

from shadow.capture.routes import Routes, Way, waits
from shadow.capture.run import Run
from shadow.capture.settings import Settings

ROUTES = Routes(
    Settings(
        "https://shadow.example.com",
        "shk_1",
        {
            "api.stripe.com": "stripe",
            "localhost:9000/shopify": "shopify",
            "https://graph.facebook.com/v19.0": "meta",
            "*.myshopify.com": "shops",
        },
        version="v7",
        allow=("vault.internal", "*.sentry.io", "127.0.0.1:8288"),
    )
)
EGRESS = "https://shadow.example.com/egress"


@pytest.mark.parametrize(
    ("scheme", "host", "port", "path", "way", "url"),
    [
        ("https", "api.stripe.com", None, "/v1/transfers?a=%2F", Way.GATEWAY, f"{EGRESS}/stripe/v1/transfers?a=%2F"),
        ("https", "API.Stripe.com", 443, "", Way.GATEWAY, f"{EGRESS}/stripe/"),
        ("http", "api.stripe.com", 80, "/", Way.GATEWAY, f"{EGRESS}/stripe/"),
        ("https", "api.stripe.com", 8443, "/", Way.OTHER, None),
        ("https", "api.stripe.com.evil.com", None, "/", Way.OTHER, None),
        ("http", "localhost", 9000, "/shopify/admin/x.json", Way.GATEWAY, f"{EGRESS}/shopify/admin/x.json"),
        ("http", "localhost", 9000, "/shopify?a=1", Way.GATEWAY, f"{EGRESS}/shopify/?a=1"),
        ("http", "localhost", 9000, "/shopifyx", Way.OTHER, None),
        ("https", "graph.facebook.com", None, "/v19.0/1/events", Way.GATEWAY, f"{EGRESS}/meta/1/events"),
        ("https", "acme.myshopify.com", None, "/a", Way.GATEWAY, f"{EGRESS}/shops/a"),
        ("https", "shadow.example.com", None, "/egress/stripe/v1", Way.GATEWAY, None),
        ("https", "shadow.example.com", None, "/e/key", Way.FRONT, None),
        ("https", "vault.internal", None, "/", Way.PAST, None),
        ("https", "o1.sentry.io", None, "/", Way.PAST, None),
        ("https", "sentry.io", None, "/", Way.OTHER, None),
        ("http", "127.0.0.1", 8288, "/e/k", Way.PAST, None),
        ("http", "127.0.0.1", 8289, "/", Way.OTHER, None),
        ("http", "169.254.169.254", None, "/latest", Way.OTHER, None),
    ],
)
def test_where_a_call_goes(scheme: str, host: str, port: int | None, path: str, way: Way, url: str | None) -> None:
    route = ROUTES.route(scheme, host, port, path)
    assert (route.way, route.url) == (way, url)


def test_a_denied_host_is_named_with_its_port() -> None:
    assert ROUTES.route("http", "db.internal", 5984, "/").host == "db.internal:5984"


def test_the_longest_base_path_wins() -> None:
    routes = Routes(Settings("http://s", "k", {"h.com": "all", "h.com/v1/pay": "pay", "h.com/v1": "one"}))
    urls = [routes.route("https", "h.com", None, path).url for path in ("/v1/pay/x", "/v1/y", "/z")]
    assert urls == ["http://s/egress/pay/x", "http://s/egress/one/y", "http://s/egress/all/z"]


def test_the_gateway_is_told_whose_call_it_is() -> None:
    run = Run("run_1", "pay", 2, "evt\n1")
    assert ROUTES.headers(Way.GATEWAY, run) == {
        "x-shadow-key": "shk_1",
        "x-shadow-version": "v7",
        "x-shadow-run": "run_1",
        "x-shadow-task": "pay",
        "x-shadow-attempt": "2",
        "x-shadow-event": "evt%0A1",
        "x-shadow-accepts": "wait",
    }
    assert ROUTES.headers(Way.GATEWAY, None) == {"x-shadow-key": "shk_1", "x-shadow-version": "v7"}


def test_a_door_is_told_whose_it_is_and_no_key() -> None:
    assert ROUTES.headers(Way.FRONT, Run("run_1", "pay")) == {
        "x-shadow-version": "v7",
        "x-shadow-run": "run_1",
        "x-shadow-task": "pay",
        "x-shadow-attempt": "1",
    }


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (425, {"x-shadow-gateway": "wait", "retry-after": "7"}, 7.0),
        (425, {"x-shadow-gateway": "wait"}, 5.0),
        (425, {"retry-after": "7"}, None),  # the target's own
        (503, {"x-shadow-gateway": "wait", "retry-after": "7"}, None),
        (200, {}, None),
    ],
)
def test_only_the_gateway_itself_can_ask_to_wait(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert waits(status, headers) == seconds
