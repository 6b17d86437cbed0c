"""One configuration, from the environment or from code; without a gateway there is none."""

from __future__ import annotations

import httpx
import pytest

from shadow.capture import Capture, Misconfigured
from shadow.capture.settings import platform_hosts, settings_from, targets_of

GATEWAY = {"SHADOW_GATEWAY_URL": "https://shadow.example.com/", "SHADOW_EGRESS_KEY": "shk_1"}


def test_without_a_gateway_nothing_else_matters() -> None:
    assert settings_from({"SHADOW_EGRESS_KEY": "shk_1", "SHADOW_TARGETS": "{not json"}) is None
    assert not Capture.from_environment({"SHADOW_GATEWAY_URL": "  "}).active


def test_everything_comes_from_the_environment() -> None:
    found = settings_from(
        {
            **GATEWAY,
            "SHADOW_TARGETS": "api.stripe.com=stripe, localhost:9000/shopify=shopify",
            "SHADOW_REPORT_KEY": "rk",
            "SHADOW_VERSION": "v7",
            "SHADOW_ALLOW": "vault.internal, *.sentry.io",
            "SHADOW_OTHER_HOSTS": "report",
            "INNGEST_EVENT_KEY": "ek",
        }
    )
    assert found is not None
    assert found.gateway_url == "https://shadow.example.com"
    assert found.targets == {"api.stripe.com": "stripe", "localhost:9000/shopify": "shopify"}
    assert (found.report_key, found.version, found.other_hosts) == ("rk", "v7", "report")
    assert found.allow == ("vault.internal", "*.sentry.io", "inn.gs", "api.inngest.com")


def test_targets_are_json_or_a_list() -> None:
    assert targets_of('{"api.stripe.com": "stripe"}') == targets_of("api.stripe.com=stripe")
    assert targets_of("") == {}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"SHADOW_GATEWAY_URL": "shadow.example.com"}, "SHADOW_GATEWAY_URL"),
        ({"SHADOW_EGRESS_KEY": ""}, "SHADOW_EGRESS_KEY"),
        ({"SHADOW_TARGETS": "api.stripe.com"}, "SHADOW_TARGETS"),
        ({"SHADOW_TARGETS": '{"api.stripe.com": 3}'}, "SHADOW_TARGETS"),
        ({"SHADOW_TARGETS": '{"api.stripe.com"'}, "SHADOW_TARGETS"),
        ({"SHADOW_OTHER_HOSTS": "maybe"}, "SHADOW_OTHER_HOSTS"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        Capture.from_environment({**GATEWAY, **wrong})


def test_no_key_is_shown() -> None:
    shown = repr(settings_from({**GATEWAY, "SHADOW_REPORT_KEY": "rk_secret"}))
    assert "shk_1" not in shown
    assert "rk_secret" not in shown


def test_the_platforms_are_where_the_environment_says() -> None:
    assert platform_hosts({"INNGEST_BASE_URL": "http://inngest:8288", "TRIGGER_API_URL": "https://trigger.corp"}) == (
        "inngest:8288",
        "trigger.corp",
    )
    assert platform_hosts({"INNGEST_DEV": "1"}) == ("localhost:8288", "127.0.0.1:8288")
    assert platform_hosts({"TRIGGER_SECRET_KEY": "tr"}) == ("api.trigger.dev",)
    assert platform_hosts({}) == ()


def test_reports_need_their_key() -> None:
    with pytest.raises(Misconfigured, match="SHADOW_REPORT_KEY"):
        Capture.from_environment(GATEWAY).rows("shop")


async def test_inert_is_as_if_it_were_not_there() -> None:
    capture = Capture()
    inner, async_inner = httpx.HTTPTransport(), httpx.AsyncHTTPTransport()

    def work(payload: object) -> None: ...

    assert capture.transport(inner) is inner
    assert capture.async_transport(async_inner) is async_inner
    assert capture.task("pay")(work) is work
    assert type(capture.client()) is httpx.Client
    assert capture.report_guard({"STRIPE_KEY": "sk_live_1"}) is False
    with capture.run("run_1", "pay") as run:
        capture.rows("shop").upserted("orders", {"id": "1"})
    assert run.effects == []
