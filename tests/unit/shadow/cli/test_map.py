"""`shadow map try`: what becomes of a webhook, an event and a Trigger.dev call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shadow.cli import map as map_command
from tests.unit.shadow.catalogue.generated import ENVIRON, small

# Mapping needs no secrets.
runner = CliRunner(env=dict.fromkeys(ENVIRON))
WEBHOOK = ["--source", "shopify", "--body", "-", "-H", "X-Topic: orders/create", "-H", "x-shop:a.shop"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "catalogue.yaml"
    payload = "payload: {order: $.orderId}, options: {ttl: 1h}"
    path.write_text(
        small(
            ("legacy: {platform: trigger}", f"legacy: {{platform: trigger, {payload}}}"),
            ("sources: [app]", "sources: [calls]"),
            ("    events:\n", "    ignore: [{$.test: true}]\n    events:\n"),
        )
    )
    return str(path)


def tried(file: str, *options: str, body: str = "", code: int = 0) -> Any:
    result = runner.invoke(map_command.app, ["try", file, *options, "--json"], input=body)
    assert result.exit_code == code, result.output
    return json.loads(result.output)


def test_a_webhook_becomes_an_event_and_every_tasks_payload_and_options(file: str) -> None:
    shown = tried(file, *WEBHOOK, "-H", "x-shopify-webhook-id: w1", body='{"id": 5}')
    assert shown == {
        "ok": True,
        "delivery_id": "w1",
        "event": {
            "name": "shopify/order.created",
            "id": None,
            "data": {"orderId": "5"},
            "tenant": "tenant_a",
            "occurred_at": None,
        },
        "tasks": {
            "sync-order": {
                "legacy": {
                    "platform": "trigger",
                    "task": "sync-order",
                    "payload": {"order": "5"},
                    "options": {"ttl": "1h"},
                },
                "candidate": {"platform": "inngest", "function": "commerce-sync-order"},
            }
        },
    }


def test_the_body_may_stand_in_a_file(file: str, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"id": 5}')
    assert tried(file, *[str(body) if one == "-" else one for one in WEBHOOK])["event"]["data"] == {"orderId": "5"}


def test_an_ignored_delivery_says_by_which_clause(file: str) -> None:
    assert tried(file, *WEBHOOK, body='{"test": true}')["ignored"] == "sources.shopify.ignore[0]"


def test_a_failed_mapping_says_why_and_exits_1(file: str) -> None:
    shown = tried(file, *WEBHOOK, body="{}", code=1)
    expected = {"where": "sources.shopify.events[0].data.orderId", "found": "nothing", "expected": "a value at $.id"}
    assert shown == {"ok": False, "failed": [expected]}


def test_an_event_becomes_its_tasks_payloads(file: str) -> None:
    shown = tried(file, "--event", "shopify/order.created", "--data", '{"orderId": "7"}')
    assert shown["tasks"]["sync-order"]["legacy"]["payload"] == {"order": "7"}
    failed = tried(file, "--event", "shopify/order.created", code=1)
    assert failed["failed"][0]["where"] == "tasks.sync-order.legacy.payload.order"
    assert failed["tasks"]["sync-order"]["candidate"]["function"] == "commerce-sync-order"


def test_a_call_becomes_an_event(file: str) -> None:
    shown = tried(file, "--task", "pay", "--payload", '{"requestId": 1, "tenantId": "t"}')
    assert shown["event"] == {"name": "payout/approved", "data": {"requestId": 1, "tenantId": "t"}, "tenant": "t"}
    assert tried(file, "--task", "pay", "--payload", "[1]", code=1)["failed"][0]["where"] == "tasks.pay.candidate.data"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "found none, expected one of --source, --event and --task"),
        (["--source", "shopify", "--event", "a"], "found --source and --event, expected one of"),
        (["--source", "shopify"], "--source needs --body FILE"),
        (["--source", "app", "--body", "-"], "--source: found 'app', expected a webhook source: shopify"),
        (["--source", "shopify", "--body", "-", "-H", "x"], "--header: found 'x', expected NAME:VALUE"),
        (["--source", "shopify", "--body", "absent.json"], "absent.json: No such file"),
        (["--event", "absent"], "--event: found 'absent', expected one of payout/approved, shopify/order.created"),
        (["--event", "payout/approved", "--data", "[]"], "--data: expected a JSON object"),
        (["--event", "payout/approved", "--data", "{"], "--data: expected JSON, but"),
        (["--task", "absent"], "--task: found 'absent', expected one of pay, sync-order"),
    ],
)
def test_options_that_make_no_sense_are_refused(file: str, options: list[str], message: str) -> None:
    result = runner.invoke(map_command.app, ["try", file, *options], input="{}")
    assert result.exit_code == 2
    assert message in result.output


def test_people_read_text(file: str) -> None:
    shown = runner.invoke(map_command.app, ["try", file, *WEBHOOK], input='{"id": 5}').output
    assert "delivery id: none" in shown
    assert '"name": "shopify/order.created"' in shown
    assert "task sync-order" in shown
    assert '"order": "5"' in shown
    failed = runner.invoke(map_command.app, ["try", file, *WEBHOOK], input="{}")
    assert "sources.shopify.events[0].data.orderId: found nothing, expected a value at $.id" in failed.output


def test_a_broken_catalogue_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(small(("side: legacy", "side: old")))
    result = runner.invoke(map_command.app, ["try", str(path), "--event", "a"])
    assert result.exit_code == 1
    assert f"{path}:4: platforms.trigger.side" in result.output
