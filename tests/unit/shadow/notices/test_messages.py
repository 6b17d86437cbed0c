"""A notice in each channel's shape: signed as Standard Webhooks says, escaped as Slack asks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from shadow.notices.messages import Told, escaped, link, slack, trial, webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MADE = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
TOLD = Told(
    UUID("0199a9f0-0000-7000-8000-000000000001"),
    UUID("0199a9f0-0000-7000-8000-000000000002"),
    "gate_opened",
    "The gate of order-sync opened",
    "order-sync",
    "orders",
    {"pairs": 299, "upper_bound": 0.01, "note": None},
    MADE,
)


def sent_to_slack(told: Told, base: str | None = None) -> Any:
    return json.loads(slack(told, base).body)


def test_a_webhook_gets_the_notice_as_json() -> None:
    message = webhook(TOLD, "https://shadow.example.com/", None, MADE)
    assert json.loads(message.body) == {
        "id": "0199a9f0-0000-7000-8000-000000000002",
        "kind": "gate_opened",
        "title": "The gate of order-sync opened",
        "task": "order-sync",
        "route": "orders",
        "facts": {"pairs": 299, "upper_bound": 0.01, "note": None},
        "made_at": "2026-11-26T09:30:00+00:00",
        "link": "https://shadow.example.com/pages/tasks/order-sync",
    }
    assert dict(message.headers) == {
        "content-type": "application/json",
        "webhook-id": "0199a9f0-0000-7000-8000-000000000001",
        "webhook-timestamp": str(int(MADE.timestamp())),
    }


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=9))])
def test_a_signed_one_verifies_whatever_the_zone_of_the_clock(zone: timezone) -> None:
    message = webhook(TOLD, None, SECRET, datetime.now(zone))
    assert Webhook(SECRET).verify(message.body, dict(message.headers))["kind"] == "gate_opened"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(message.body + b" ", dict(message.headers))


@pytest.mark.parametrize(
    ("kind", "task", "leads_to"),
    [
        ("leak", "a/b", "/pages/tasks/a%2Fb"),
        ("gate_opened", None, "/pages/"),
        ("moved", None, "/pages/audit"),
        ("moved_back", "a&b", "/pages/audit?task=a%26b"),
    ],
)
def test_a_message_links_to_the_page_that_shows_more(kind: str, task: str | None, leads_to: str) -> None:
    assert link(replace(TOLD, kind=kind, task=task), "https://shadow") == f"https://shadow{leads_to}"
    assert link(replace(TOLD, kind=kind, task=task), None) is None


def test_slack_shows_title_facts_time_and_a_link() -> None:
    message = sent_to_slack(TOLD, "https://shadow")
    title, facts, context = message["blocks"]
    assert message["text"] == "The gate of order-sync opened"
    assert title["text"]["text"] == "*The gate of order-sync opened*"
    assert [field["text"] for field in facts["fields"]] == [
        "*task*\norder-sync",
        "*route*\norders",
        "*pairs*\n299",
        "*upper bound*\n0.01",
    ]
    assert [element["text"] for element in context["elements"]] == [
        "2026-11-26 09:30:00 UTC",
        "<https://shadow/pages/tasks/order-sync|more>",
    ]


def test_nothing_in_a_slack_message_is_a_mention_or_a_link_of_its_own() -> None:
    said = "<!channel> <https://evil.example|click> & @here"
    message = sent_to_slack(replace(TOLD, title=said, task=said, facts={said: said, "deep": {"a": said}}))
    text = json.dumps(message)
    assert "<" not in text
    assert "&lt;!channel&gt;" in text
    texts = [field for block in message["blocks"] for field in block.get("fields", [])]
    assert all(field["verbatim"] for field in texts)


def test_slack_gets_no_more_than_it_takes() -> None:
    facts = {f"fact {number}": "<" * 5000 for number in range(30)}
    message = sent_to_slack(replace(TOLD, title="&" * 9000, facts=facts))
    title, shown, _context = message["blocks"]
    assert len(shown["fields"]) == 10
    assert all(len(field["text"]) <= 2000 for field in shown["fields"])
    assert 2800 < len(title["text"]["text"]) <= 3000


@given(st.text(max_size=200), st.integers(8, 100))
def test_escaping_leaves_no_control_and_cuts_at_the_end_only(text: str, most: int) -> None:
    found = escaped(text, most)
    assert len(found) <= most
    assert "<" not in found
    assert ">" not in found
    read = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert read == text or (read.endswith("...") and text.startswith(read[:-3]))


def test_a_trial_says_that_it_is_none_of_the_real_ones() -> None:
    told = trial(TOLD.notice, "ops", MADE)
    assert (told.kind, told.task, dict(told.facts)) == ("test", None, {})
    assert told.delivery == trial(TOLD.notice, "ops", MADE).delivery
