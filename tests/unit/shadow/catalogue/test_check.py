"""Warnings: what is allowed, but likely not meant."""

from __future__ import annotations

import pytest

from shadow.catalogue import check
from tests.unit.shadow.catalogue.generated import resolved

QUIET = ("unused-source",)
"""What the small catalogue itself is warned of: nothing is fed by `calls`."""


def warned(*changes: tuple[str, str], more: str = "") -> list[tuple[str, str]]:
    found = check(resolved(*changes, more=more))
    return [(one.code, one.key) for one in found if one.code not in QUIET]


def test_the_small_catalogue_has_but_a_source_that_feeds_nothing() -> None:
    assert [str(one) for one in check(resolved())] == ["sources.calls: no task is fed by it [unused-source]"]


INNGEST_URLS = "    event_url: http://127.0.0.1:8288\n    api_url: http://[::1]:8288\n"


def test_a_targets_credential_does_not_travel_in_the_open() -> None:
    target = 'targets:\n  pay: {url: "http://pay.example", credential: {header: authorization, secret: x}}\n'
    assert ("plain-http", "targets.pay.url") in warned(more=target)
    assert "targets.pay.url" not in [key for _code, key in warned(more=target.replace("http:", "https:"))]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # one event arrives at both doors
        ([("sources: [app]", "sources: [app, calls]")], [("both-doors", "tasks.pay.sources")]),
        ([("sources: [shopify]", "sources: [shopify, calls]")], [("both-doors", "tasks.sync-order.sources")]),
        # flow control that loses runs
        (
            [("candidate: {platform: inngest}", "candidate: {platform: inngest, flow: [rateLimit, debounce]}")],
            [("flow-control", "tasks.sync-order.candidate.flow")],
        ),
        # a webhook that never brings the task's event, and an event that no task takes
        (
            [("event: shopify/order.created", "event: shopify/order.paid")],
            [
                ("event-without-task", "sources.shopify.events[0].name"),
                ("event-unsourced", "tasks.sync-order.sources[0]"),
            ],
        ),
        # sides the wrong way round
        (
            [("side: legacy", "side: candidate")],
            [("side-reversed", f"tasks.{task}.legacy.platform") for task in ("pay", "sync-order")],
        ),
        # secrets in the open
        ([("side: legacy", "side: legacy\n    url: http://a.example")], [("plain-http", "platforms.trigger.url")]),
        ([("side: legacy", "side: legacy\n    url: http://localhost:3030")], []),
        ([("    app: commerce\n", f"    app: commerce\n{INNGEST_URLS}")], []),
        # without a signing key runs can be read at a dev server only
        ([("    signing_key: abcdef\n", "")], [("no-signing-key", "platforms.inngest.signing_key")]),
        ([("    signing_key: abcdef\n", INNGEST_URLS)], []),
        # a key that tells nothing
        ([("[calls-key]", "[calls-key, calls-key]")], [("shared-key", "sources.calls.keys")]),
        # the same text at another door is another key
        ([("[calls-key]", "[app-key]")], []),
        # options and functions that the platforms do not know
        (
            [("legacy: {platform: trigger}", "legacy: {platform: trigger, options: {que: x, ttl: 1h}}")],
            [("unknown-option", "tasks.sync-order.legacy.options.que")],
        ),
        (
            [("candidate: {platform: inngest}", "candidate: {platform: inngest, function: shop-sync}")],
            [("foreign-app", "tasks.sync-order.candidate.function")],
        ),
        # an event that takes all there is
        (
            [("      - when", "      - {name: shopify/order.created}\n      - when")],
            [("takes-everything", "sources.shopify.events[0].when")],
        ),
        ([("event: payout", "settle: 1h\n    event: payout")], [("settle-after-deadline", "tasks.pay.settle")]),
    ],
)  # fmt: skip
def test_a_warning_names_its_place(changes: list[tuple[str, str]], expected: list[tuple[str, str]]) -> None:
    assert warned(*changes) == expected


HTTP_LEGACY = (
    ("platforms:\n", "platforms:\n  web: {kind: http, side: legacy, url: 'https://app.example'}\n"),
    ("sources: [app]\n    legacy: {platform: trigger}", "sources: [app]\n    legacy: {platform: web}"),
)


def test_outcomes_of_an_http_platform_need_a_reporter() -> None:
    assert warned(*HTTP_LEGACY) == [("no-reporter", "tasks.pay.legacy.platform")]
    assert warned(*HTTP_LEGACY, more="report_keys: {legacy: [key]}\n") == []


def test_calls_need_a_platform_that_takes_them() -> None:
    changes = (*HTTP_LEGACY, ("sources: [app]", "sources: [calls]"))
    assert ("no-trigger-platform", "tasks.pay.legacy.platform") in warned(*changes)


def test_a_report_key_tells_the_side() -> None:
    assert warned(more="report_keys: {legacy: [same], candidate: [same]}\n") == [
        ("shared-key", "report_keys.candidate")
    ]


def test_no_warning_shows_a_key() -> None:
    shown = "".join(str(one) for one in check(resolved(more="report_keys: {legacy: [hid], candidate: [hid]}\n")))
    assert "hid" not in shown
