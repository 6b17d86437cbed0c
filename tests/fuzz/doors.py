"""The doors' parsers: what producers send."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import SecretStr

from api.front.list_query import Cursor, list_query
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Signature, SignatureScheme
from shadow.intake import inngest_events, signatures, superjson, trigger_arrival, webhook
from shadow.intake.inngest_events import EventRefused
from shadow.intake.signatures import SignatureRejected
from shadow.intake.trigger_calls import (
    CallRefused,
    TriggerCall,
    announced_batch,
    batch_calls,
    keyed_batch,
    keyed_line,
    replayed_body,
    streamed_calls,
    trigger_call,
)
from shadow.model.ids import Seed
from tests.fuzz.harness import Attempt, Harness

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECRETS = {SignatureScheme.STANDARD: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
CATALOGUE = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "http://127.0.0.1:9", secret_key: tr_dev_legacy}
  inngest: {kind: inngest, side: candidate, event_key: k, app: shop}
sources:
  shop:
    kind: webhook
    signature: {scheme: shopify, secrets: [hush]}
    delivery_id: header:x-shopify-webhook-id
    tables: {tenants: {a.test: acme}}
    events:
      - when: {"header:x-shopify-topic": orders/create}
        name: shopify/order.created
        id: {path: $.id, as: string}
        tenant: {lookup: tenants, key: "header:x-shopify-shop-domain", else: nobody}
        occurred_at: {path: $.created_at, as: time, optional: true}
        data:
          orderId: {path: $.id, as: string}
          first: {path: "$.items[0].sku", optional: true}
          all: {path: $..sku, optional: true}
      - {name: shopify/other, data: {path: $, optional: true}}
  calls: {kind: trigger.dev, keys: [tr_dev_producer]}
tasks:
  order: {event: shopify/order.created, sources: [shop], legacy: {platform: trigger}, candidate: {platform: inngest}}
  welcome:
    event: creator/applied
    sources: [calls]
    legacy: {platform: trigger}
    candidate: {platform: inngest, data: {name: {path: $.name, optional: true}, all: $}}
"""
WORDS = [
    *(
        b'"%s"' % word.encode()
        for word in [
            "name",
            "data",
            "id",
            "ts",
            "user",
            "v",
            "payload",
            "options",
            "items",
            "task",
            "index",
            "json",
            "meta",
        ]
    ),
    *(
        b'"%s"' % word.encode()
        for word in ["values", "payloadType", "idempotencyKey", "idempotencyKeyTTL", "delay", "tags"]
    ),
    *(b'"%s"' % word.encode() for word in ["application/super+json", "application/store", "text/plain", "undefined"]),
    *(
        b'"%s"' % word.encode()
        for word in ["Date", "Map", "Set", "Error", "bigint", "number", "regexp", "parentRunId", "runCount", "1h30m"]
    ),
    *(b"null true false {} [] [[ ]] -0 1e400 1e-9 \\ud800 \\u0000 9223372036854775808 \n".split(b" ")),
]


def _recorded() -> Iterator[bytes]:
    """Bodies of real exchanges with a running platform."""
    for path in sorted((Path(__file__).parents[1] / "transcripts" / "trigger_dev").glob("*.txt")):
        for found in re.findall(r"^[{\[].*$", path.read_text(errors="replace"), re.MULTILINE):
            yield found.encode()[:20_000]


RECORDED = list(_recorded())[:60]


def catalogue() -> ResolvedCatalogue:
    return parse(CATALOGUE, "fuzz.yaml", {})


def _head_and_body(data: bytes) -> tuple[dict[str, str], bytes]:
    """Header lines up to an empty one, as an HTTP server reads them."""
    head, _, body = data.partition(b"\n\n")
    pairs = (line.partition(b":") for line in head.split(b"\n"))
    return {name.strip().lower().decode("latin-1"): value.strip().decode("latin-1") for name, _, value in pairs}, body


def _webhook(scheme: SignatureScheme) -> Attempt:
    settings = Signature(
        scheme=scheme,
        secrets=(SecretStr(SECRETS.get(scheme, "hush")),),
        header="x-signature" if scheme is SignatureScheme.HMAC else None,
    )
    check, mapper = signatures.verifier(settings), catalogue().webhook("shop")

    def attempt(data: bytes) -> None:
        fields, body = _head_and_body(data)
        with contextlib.suppress(SignatureRejected):  # as nearly always; what comes after is looked at all the same
            check(fields, body, NOW)
        try:
            document = webhook.document(body, fields.get("content-type", ""))
        except webhook.BadBody:
            return
        delivery = webhook.delivery("shop", mapper, body, document, tuple(fields.items()), fields)
        arrival = webhook.arrival(delivery, (), None)
        orjson.loads(arrival.data)

    return attempt


def _inngest(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    Seed.parse(head.decode("latin-1"))
    for part in (body, data):
        try:
            events = inngest_events.parse(part)
        except EventRefused as error:
            str(error).encode(errors="surrogatepass")
            continue
        for index, event in enumerate(events):
            event.dedupe("app", "seed", index)
            event.scheduled_at(NOW)
            orjson.loads(event.data)


def _understood(call: TriggerCall) -> None:
    """All that is asked of a call before it is stored."""
    task = TASKS["welcome"]
    call.scheduled_at(NOW)
    str(call.stored_at)
    mapped = trigger_arrival.mapped(task, call)
    orjson.dumps(mapped.data)


TASKS = catalogue().tasks


def _trigger(data: bytes) -> None:
    fields, body = _head_and_body(data)
    for part in (body, data):
        try:
            _understood(trigger_call("welcome", part, fields))
            orjson.loads(replayed_body(part))
        except CallRefused:
            continue


def _batches(data: bytes) -> None:
    announced_batch(data)
    for task in (None, "welcome"):
        try:
            document, calls = batch_calls(data, task)
        except CallRefused:
            continue
        for call in calls:
            _understood(call)
        orjson.loads(keyed_batch(document, ["key"] * len(calls)))
        keyed_batch(document, [None] * len(calls), range(0, len(calls), 2))


def _streamed(data: bytes) -> None:
    try:
        lines = streamed_calls(data)
    except CallRefused:
        return
    for number, (line, call) in enumerate(lines):
        _understood(call)
        orjson.loads(keyed_line(line, "key", number))


def _superjson(data: bytes) -> None:
    text = data.decode(errors="replace")
    for kind in ("application/super+json", "application/json", "text/plain", "application/store"):
        try:
            superjson.payload(text, kind)
        except ValueError:
            continue


def _list(data: bytes) -> None:
    text = data.decode("latin-1")
    Cursor.of(text)
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in text.split("&"))]
    list_query(pairs, NOW)


_HEADS = {
    SignatureScheme.SHOPIFY: b"x-shopify-topic: orders/create\nx-shopify-hmac-sha256: aGVsbG8=\n"
    b"x-shopify-shop-domain: a.test",
    SignatureScheme.STRIPE: b"stripe-signature: t=1772600767,"
    b"v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
    SignatureScheme.GITHUB: b"x-hub-signature-256: sha256=00\nx-github-delivery: 1",
    SignatureScheme.SLACK: b"x-slack-signature: v0=00\nx-slack-request-timestamp: 1772600767\n"
    b"content-type: application/x-www-form-urlencoded",
    SignatureScheme.STANDARD: b"webhook-id: msg_1\nwebhook-timestamp: 1772600767\nwebhook-signature: v1,aGVsbG8= v1a,x",
    SignatureScheme.HMAC: b"x-signature: 00",
}
_ORDER = (
    b'{"id":5551234,"created_at":"2026-03-04T05:06:07+01:00",'
    b'"items":[{"sku":"A-1","price":"12.50"}],"email":"a@b.test"}'
)
_PAYLOAD = orjson.dumps(
    {
        "json": {"name": "Ada", "at": "2026-03-04T05:06:07Z", "set": [1], "m": [["a", 1]]},
        "meta": {"values": {"at": ["Date"], "set": ["set"], "m": ["map"]}, "v": 1},
    }
).decode()
_CALL = {
    "payload": _PAYLOAD,
    "options": {
        "payloadType": "application/super+json",
        "tags": ["a"],
        "delay": "1h30m",
        "idempotencyKey": "k",
        "idempotencyKeyTTL": "60s",
    },
}

HARNESSES = [
    *(
        Harness(
            f"webhook-{scheme.value}",
            _webhook(scheme),
            [_HEADS[scheme] + b"\n\n" + _ORDER, _HEADS[scheme] + b"\n\na=1&b=%20"],
            WORDS,
        )
        for scheme in SignatureScheme
    ),
    Harness(
        "inngest-events",
        _inngest,
        [
            b'{"name":"payout/approved","data":{"id":1},"id":"e-1","ts":1772600767000,"user":{"id":1},"v":"1"}',
            b'[{"name":"a","data":null},{"name":"b","data":{}}]',
            b'1772600767000,AAAAAAAAAAAAAA==\n\n{"name":"a"}',
        ],
        WORDS,
    ),
    Harness(
        "trigger-calls",
        _trigger,
        [b"idempotency-key: k\nidempotency-key-ttl: 1h\n\n" + orjson.dumps(_CALL), b'{"payload":{"n":1}}', *RECORDED],
        WORDS,
    ),
    Harness(
        "trigger-batches",
        _batches,
        [
            orjson.dumps({"items": [{"task": "welcome", **_CALL}], "parentRunId": "run_1"}),
            b'{"runCount":2,"taskIdentifiers":["welcome"],"idempotencyKey":"k","resumeParentOnCompletion":true}',
            *RECORDED,
        ],
        WORDS,
    ),
    Harness("trigger-items", _streamed, [orjson.dumps({"index": 0, "task": "welcome", **_CALL}) + b"\n"], WORDS),
    Harness(
        "superjson", _superjson, [_PAYLOAD.encode(), b'{"json":[1,null],"meta":{"values":{"1":["undefined"]}}}'], WORDS
    ),
    Harness(
        "run-lists",
        _list,
        [
            b"page[size]=5&filter[status]=COMPLETED,FAILED&filter[createdAt][period]=1d",
            b"eyJzaGFkb3ciOltbMSxudWxsLG51bGxdXSwic2luY2UiOjF9",
        ],
    ),
]
