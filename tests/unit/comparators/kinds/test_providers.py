"""Providers as tasks of a shop call them: with defaults alone noise is no difference, and every true fault is one."""

from __future__ import annotations

from base64 import b64encode
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from comparators import JSON, Effect, Ledger, Verdict
from tests.unit.comparators.ledgers import CANDIDATE_START, LEGACY_START, completed, iso, judged

GONE = object()
MORE = object()
HASH, OTHER_HASH = "ab" * 32, "cd" * 32
KNOWN: JSON = {"orderId": "1001", "email": "ada@x.test", "tenantId": "t1"}
Step = str | int


@dataclass(frozen=True)
class Provider:
    """How both sides call a provider."""

    name: str
    operation: str
    legacy: Any
    candidate: Any
    """The same with all the noise that there may be."""
    faults: dict[str, tuple[tuple[Step, ...], Any]] = field(default_factory=dict)
    """What is done to the candidate's body: by name, where, and what stands there instead."""
    kind: str = "http"
    content_type: str = "application/json"

    def ledger(self, body: Any, start: float) -> Ledger:
        if self.kind == "email":
            data = body
        else:
            form = self.content_type.endswith("urlencoded")
            data = {
                "method": "POST",
                "path": "/x",
                "params": {},
                "query": {},
                "content_type": self.content_type,
                "body": urlencode(body, doseq=True) if form else body,
                "status": 200,
            }
        return Ledger(completed({"ok": True}, start), (Effect(self.kind, self.name, self.operation, None, data),))


def damaged(body: Any, where: tuple[Step, ...], what: Any) -> Any:
    """A copy of a body, with something else at that place: nothing, the same once more, or another value."""
    changed = deepcopy(body)
    holder = changed
    for step in where[:-1]:
        holder = holder[step]
    last = where[-1]
    if what is GONE:
        del holder[last]
    elif what is MORE:
        holder.insert(last, deepcopy(holder[last]))
    else:
        assert holder[last] != what, "a fault changes something"
        holder[last] = what
    return changed


def slack(*, blocks: list[dict[str, Any]]) -> Any:
    return {"channel": "#creator-applications", "text": "Ada (@ada, 12,000 followers) applied", "blocks": blocks}


def slack_blocks(*names: str | None) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "New application"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Ada*"}, {"type": "mrkdwn", "text": "12,000"}]},
        {
            "type": "actions",
            "block_id": "decide",
            "elements": [{"type": "button", "action_id": "approve", "value": "cr_9"}],
        },
    ]
    for block, name in zip(blocks, names, strict=False):
        if name is not None:
            block["block_id"] = name
    return blocks


def conversion(start: float, event_id: str, em: Any, value: Any) -> Any:
    return {
        "data": [
            {
                "event_name": "Purchase",
                "event_time": int(start) + 1,
                "event_id": event_id,
                "action_source": "website",
                "event_source_url": "https://shop.test/checkout?order=1001",
                "user_data": {"em": em, "ph": [HASH], "fbc": "fb.1.1554763741205.AbCdEfGh", "external_id": "cust-7"},
                "custom_data": {
                    "currency": "EUR",
                    "value": value,
                    "order_id": "1001",
                    "contents": [{"id": "A-1", "quantity": 1}, {"id": "B-2", "quantity": 2}],
                },
            }
        ]
    }


def hit(start: float, *, text: bool) -> Any:
    micros = int((start + 1.2) * 1_000_000)
    return {
        "client_id": "1234567890.1700000000",
        "timestamp_micros": str(micros) if text else micros,
        "events": [
            {
                "name": "purchase",
                "params": {
                    "transaction_id": "1001",
                    "value": 99.9,
                    "currency": "EUR",
                    "engagement_time_msec": 100,
                    "items": [
                        {"item_id": "A-1", "price": 49.95, "quantity": 1},
                        {"item_id": "B-2", "price": 49.95, "quantity": 1},
                    ],
                },
            }
        ],
    }


LEGACY_HTML = (
    "<html><body><p>Hello Ada,</p><p>Your order <b>1001</b> of 99.90&nbsp;EUR is on its way.</p>"
    '<a href="https://shop.test/o/1001?lang=de&amp;ref=mail">Track it</a>'
    '<img src="https://track.test/open/0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f.gif" width=1 height=1></body></html>'
)
CANDIDATE_HTML = """<!doctype html><html><head><style>td {padding: 0}</style></head><body>
  <table role="presentation"><tr><td>Hello Ada,</td></tr>
  <tr><td>Your order <strong>1001</strong> of 99.90 EUR is on its way.</td></tr>
  <tr><td><a class="btn" href="https://shop.test/o/1001?ref=mail&lang=de">Track it</a></td></tr></table>
  <img alt="" src="https://track.test/open/0190d5f6-aaaa-7bbb-8ccc-1234567890ab.gif">
</body></html>"""
PDF = b64encode(b"%PDF-1.7 invoice").decode()


def text_of(html: str, old: str, new: str) -> str:
    assert old in html
    return html.replace(old, new)


MAIL_FAULTS = {
    "wrong amount": text_of(CANDIDATE_HTML, "99.90", "9.99"),
    "wrong link": text_of(CANDIDATE_HTML, "/o/1001", "/o/1002"),
    "dropped line": text_of(CANDIDATE_HTML, "<td>Hello Ada,</td>", "<td></td>"),
    "escaped twice": text_of(CANDIDATE_HTML, "Track it", "Track &amp;lt;it"),
}


def mail_faults(*where: Step) -> dict[str, tuple[tuple[Step, ...], Any]]:
    return {name: (where, html) for name, html in MAIL_FAULTS.items()}


PROVIDERS = [
    Provider(
        "slack",
        "POST /api/chat.postMessage",
        slack(blocks=slack_blocks("aB3", None)),
        slack(blocks=slack_blocks("xY9", "qq1")),
        {
            "wrong channel": (("channel",), "#creators"),
            "wrong text": (("text",), "Ada (@ada, 120 followers) applied"),
            "dropped block": (("blocks", 1), GONE),
            "dropped field": (("blocks", 1, "fields", 1), GONE),
            "wrong button": (("blocks", 2, "elements", 0, "value"), "cr_8"),
            "renamed actions": (("blocks", 2, "block_id"), "choose"),
            "block twice": (("blocks", 1), MORE),
        },
    ),
    Provider(
        "meta",
        "POST /v19.0/{pixel}/events",
        conversion(LEGACY_START, "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", HASH, 99.9),
        conversion(CANDIDATE_START, "0190d5f6-aaaa-7bbb-8ccc-1234567890ab", [HASH.upper()], 99.90000000000001),
        {
            "wrong value": (("data", 0, "custom_data", "value"), 9990),
            "wrong currency": (("data", 0, "custom_data", "currency"), "USD"),
            "wrong person": (("data", 0, "user_data", "em"), [OTHER_HASH]),
            "address in clear": (("data", 0, "user_data", "em"), ["ada@x.test"]),
            "dropped content": (("data", 0, "custom_data", "contents", 0), GONE),
            "wrong event": (("data", 0, "event_name"), "Lead"),
            "event twice": (("data", 0), MORE),
            "moment of another time": (("data", 0, "event_time"), int(CANDIDATE_START) - 7200),
        },
    ),
    Provider(
        "ga4",
        "POST /mp/collect",
        hit(LEGACY_START, text=True),
        hit(CANDIDATE_START, text=False),
        {
            "wrong value": (("events", 0, "params", "value"), 99.0),
            "wrong transaction": (("events", 0, "params", "transaction_id"), "1002"),
            "value as text": (("events", 0, "params", "value"), "99.9"),
            "another visitor": (("client_id",), "1234567891.1700000000"),
            "dropped item": (("events", 0, "params", "items", 0), GONE),
            "event twice": (("events", 0), MORE),
            "dropped currency": (("events", 0, "params", "currency"), GONE),
        },
    ),
    Provider(
        "stripe",
        "POST /v1/transfers",
        {
            "amount": "12550",
            "currency": "eur",
            "destination": "acct_9",
            "metadata[requestId]": "wd-77",
            "expand[]": "a",
        },
        {
            "metadata[requestId]": "wd-77",
            "destination": "acct_9",
            "expand[0]": "a",
            "currency": "eur",
            "amount": "12550",
        },
        {
            "wrong amount": (("amount",), "12500"),
            "cents against units": (("amount",), "125.50"),
            "wrong currency": (("currency",), "usd"),
            "wrong account": (("destination",), "acct_8"),
            "wrong request": (("metadata[requestId]",), "wd-78"),
            "dropped field": (("metadata[requestId]",), GONE),
        },
        content_type="application/x-www-form-urlencoded",
    ),
    Provider(
        "payouts",
        "POST /v1/transfers",
        {"amount": 125.5, "currency": "EUR", "reference": "wd-77", "createdAt": iso(LEGACY_START + 1)},
        {"createdAt": iso(CANDIDATE_START + 2), "currency": "EUR", "amount": 125.50000000000001, "reference": "wd-77"},
        {
            "wrong amount": (("amount",), 125.49),
            "amount as text": (("amount",), "125.5"),
            "wrong reference": (("reference",), "wd-78"),
            "null for a currency": (("currency",), None),
        },
    ),
    Provider(
        "shopify",
        "POST /admin/api/graphql.json",
        {
            "query": "mutation tag($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { node { id } } }",
            "variables": {"id": "gid://shopify/Order/1001", "tags": ["synced", "vip"]},
        },
        {
            "query": "mutation tag($tags: [String!]!, $id: ID!) {\n  tagsAdd(tags: $tags, id: $id) { node { id } }\n}",
            "variables": {"tags": ["synced", "vip"], "id": "gid://shopify/Order/1001"},
            "operationName": None,
        },
        {
            "wrong order": (("variables", "id"), "gid://shopify/Order/1002"),
            "dropped tag": (("variables", "tags", 1), GONE),
            "another mutation": (("query",), "mutation tag($id: ID!) { tagsRemove(id: $id) { node { id } } }"),
        },
    ),
    Provider(
        "resend",
        "POST /emails",
        {
            "from": "Shop <shop@x.test>",
            "to": ["ada@x.test"],
            "subject": "Your order 1001",
            "html": LEGACY_HTML,
            "attachments": [{"filename": "invoice.pdf", "content": PDF}],
            "headers": {"X-Entity-Ref-ID": "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e70"},
        },
        {
            "from": "Shop <shop@X.TEST>",
            "to": "ada@x.test",
            "subject": "Your  order 1001",
            "html": CANDIDATE_HTML,
            "attachments": [{"content": PDF, "filename": "invoice.pdf"}],
            "headers": {"X-Entity-Ref-ID": "0190d5f6-aaaa-7bbb-8ccc-1234567890ac"},
        },
        {
            **mail_faults("html"),
            "wrong recipient": (("to",), "eve@x.test"),
            "wrong subject": (("subject",), "Your order 1002"),
            "dropped attachment": (("attachments",), []),
            "another attachment": (("attachments", 0, "content"), b64encode(b"%PDF-1.7 other").decode()),
        },
    ),
    Provider(
        "sendgrid",
        "POST /v3/mail/send",
        {
            "personalizations": [{"to": [{"email": "ada@x.test", "name": "Ada"}, {"email": "bob@x.test"}]}],
            "from": {"email": "shop@x.test", "name": "Shop"},
            "subject": "Your order 1001",
            "content": [{"type": "text/html", "value": LEGACY_HTML}],
            "categories": ["review-request"],
        },
        {
            "personalizations": [{"to": [{"email": "bob@X.test"}, {"name": "Ada", "email": "ada@x.test"}]}],
            "from": {"name": "Shop", "email": "shop@x.test"},
            "subject": "Your order 1001",
            "content": [{"type": "text/html", "value": CANDIDATE_HTML}],
            "categories": ["review-request"],
        },
        {
            **mail_faults("content", 0, "value"),
            "wrong recipient": (("personalizations", 0, "to", 0), {"email": "eve@x.test"}),
            "dropped recipient": (("personalizations", 0, "to", 0), GONE),
            "recipient twice": (("personalizations", 0, "to", 0), MORE),
            "mailed twice": (("personalizations", 0), MORE),
            "wrong name": (("personalizations", 0, "to", 1, "name"), "Eve"),
        },
    ),
    Provider(
        "postmark",
        "POST /email",
        {
            "From": "shop@x.test",
            "To": "Ada <ada@x.test>, bob@x.test",
            "Cc": "",
            "Subject": "Grüße",
            "HtmlBody": LEGACY_HTML,
            "TextBody": "Hello Ada,\r\n\r\nyour order is on its way.\r\n",
            "MessageStream": "outbound",
        },
        {
            "From": "shop@x.test",
            "To": 'bob@x.test, "Ada" <ada@x.test>',
            "Cc": "",
            "Subject": "Gru\u0308ße",
            "HtmlBody": CANDIDATE_HTML,
            "TextBody": "Hello Ada,\n\nyour order is on its way.",
            "MessageStream": "outbound",
        },
        {
            **mail_faults("HtmlBody"),
            "a copy": (("Cc",), "eve@x.test"),
            "wrong text": (("TextBody",), "Hello Eve,\n\nyour order is on its way."),
            "wrong sender": (("From",), "billing@x.test"),
            "dropped recipient": (("To",), "bob@x.test"),
        },
    ),
    Provider(
        "smtp",
        "send",
        {
            "from": "bounce@x.test",
            "to": ["ada@x.test", "bob@x.test"],
            "subject": "Your order 1001",
            "text": "Hello Ada",
            "html": LEGACY_HTML,
            "attachments": [{"name": "i.pdf", "type": "application/pdf", "bytes": 9, "sha256": HASH}],
        },
        {
            "from": "bounce@X.test",
            "to": ["bob@x.test", "ada@x.test"],
            "subject": "Your order 1001 ",
            "text": "Hello Ada\n",
            "html": CANDIDATE_HTML,
            "attachments": [{"name": "i.pdf", "type": "application/pdf", "bytes": 9, "sha256": HASH}],
        },
        {
            **mail_faults("html"),
            "wrong recipient": (("to", 0), "eve@x.test"),
            "another attachment": (("attachments", 0, "sha256"), OTHER_HASH),
            "dropped text": (("text",), None),
        },
        kind="email",
    ),
]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_noise_of_a_provider_is_a_match_whichever_side_it_is_on(provider: Provider) -> None:
    legacy, candidate = (
        provider.ledger(provider.legacy, LEGACY_START),
        provider.ledger(provider.candidate, CANDIDATE_START),
    )
    for pair in ((legacy, candidate), (candidate, legacy)):
        judgement = judged(*pair, known=KNOWN)
        assert [difference.sentence for difference in judgement.differences] == []
        assert judgement.verdict is Verdict.match


@pytest.mark.parametrize(
    ("provider", "fault"),
    [(provider, fault) for provider in PROVIDERS for fault in provider.faults],
    ids=lambda value: value.name if isinstance(value, Provider) else str(value).replace(" ", "-"),
)
def test_a_true_fault_at_a_provider_is_found_among_the_noise(provider: Provider, fault: str) -> None:
    legacy = provider.ledger(provider.legacy, LEGACY_START)
    candidate = provider.ledger(damaged(provider.candidate, *provider.faults[fault]), CANDIDATE_START)
    for pair in ((legacy, candidate), (candidate, legacy)):
        judgement = judged(*pair, known=KNOWN)
        assert judgement.verdict is Verdict.mismatch
        assert len(judgement.differences) <= 3, [difference.sentence for difference in judgement.differences]
