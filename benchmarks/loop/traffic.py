"""The requests of the loop, as bytes: what producers send to the doors and workers to the front. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.loop.catalogue import EVENT, EVENT_KEY, FUNCTION, REPORT_KEYS, SECRET, SIGNING_KEY, TASK

EFFECTS = 5
"""Of each run, on either side."""
TENANTS = 20
_NOTE = b"n" * 600


@dataclass(frozen=True, slots=True)
class Run:
    """One execution on a stand-in platform."""

    side: str
    name: str
    """As its platform calls it."""
    number: int
    """Of the event, which its data names."""
    event: str | None
    """The event's id, as the run sees it."""


def _data(number: int) -> bytes:
    return b'{"amount":%d,"note":"%s","requestId":"wd_%d","tenantId":"tenant-%d"}' % (
        number % 9973,
        _NOTE,
        number,
        number % TENANTS,
    )


def inngest_request(numbers: Sequence[int], salt: int, milliseconds: int) -> bytes:
    """What an SDK's `send` of an array of events of about 0.8 kB each looks like."""
    events = b",".join(
        b'{"name":"%s","id":"loop-%d-%d","ts":%d,"data":%s}'
        % (EVENT.encode(), salt, number, milliseconds, _data(number))
        for number in numbers
    )
    return _request(b"/e/" + EVENT_KEY.encode(), b"", b"[" + events + b"]")


def webhook_request(number: int, salt: int) -> bytes:
    """A signed Shopify delivery, distinct by its delivery id."""
    body = _data(number)
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest())
    headers = (
        b"X-Shopify-Topic: payouts/approved\r\nX-Shopify-Shop-Domain: acme.myshopify.com\r\n"
        b"X-Shopify-Webhook-Id: %d-%d\r\nX-Shopify-Hmac-Sha256: %s\r\n" % (salt, number, signature)
    )
    return _request(b"/webhooks/shopify", headers, body)


def effects_report(runs: Sequence[Run], milliseconds: int) -> bytes:
    """All that those runs of one side did, in one report."""
    return _report(b"/shadow/effects", runs, b",".join(_effects(run, milliseconds) for run in runs))


def outcomes_report(runs: Sequence[Run], milliseconds: int) -> bytes:
    """How those runs of one side ended, in one report."""
    return _report(b"/shadow/runs", runs, b",".join(_outcome(run, milliseconds) for run in runs))


def watched(run: Run, milliseconds: int) -> bytes:
    """The candidate platform's signed call to the watcher: how one run ended, and with which event it began.

    The members are in the order in which the signature takes them.
    """
    told = (
        b'{"data":{"_inngest":{"status":"Completed"},"event":{"data":%s,"id":"%s","name":"%s","ts":%d},"events":[],'
        b'"function_id":"%s","result":%s,"run_id":"%s"},"id":"01END%s","name":"inngest/function.finished","ts":%d}'
    ) % (
        _data(run.number),
        (run.event or "").encode(),
        EVENT.encode(),
        milliseconds - 500,
        FUNCTION.encode(),
        _output(run),
        run.name.encode(),
        run.name[-21:].encode(),
        milliseconds,
    )
    body = (
        b'{"ctx":{"attempt":0,"disable_immediate_execution":true,"env":"bench",'
        b'"fn_id":"0a70fb5c-9d2c-4a0b-8a30-6f4b7a5a4b7e","run_id":"01WATCH%s","stack":{"current":0,"stack":[]},'
        b'"use_api":false},"event":%s,"events":[%s],"steps":{},"use_api":false,"version":1}'
    ) % (run.name[-19:].encode(), told, told)
    moment = b"%d" % (milliseconds // 1000)
    signature = hmac.new(SIGNING_KEY.removeprefix("signkey-test-").encode(), body + moment, hashlib.sha256).hexdigest()
    headers = b"X-Inngest-Signature: t=%s&s=%s\r\nX-Inngest-Server-Kind: cloud\r\n" % (moment, signature.encode())
    return _request(b"/shadow/inngest?fnId=shadow-watch&stepId=step", headers, body)


def calls(run: Run, key: bytes) -> list[bytes]:
    """What a run does to the world, as calls through the gateway.

    Args:
        key: an egress key of its side.
    """
    headers = (
        b"Authorization: Bearer %s\r\nX-Shadow-Run: %s\r\nX-Shadow-Task: %s\r\nX-Shadow-Attempt: 1\r\n"
        % (key, run.name.encode(), (TASK if run.side == "legacy" else FUNCTION).encode())
    )  # fmt: skip
    if run.event is not None:
        headers += b"X-Shadow-Event: %s\r\n" % run.event.encode()
    number = run.number
    made = [
        _request(
            b"/egress/pay/v1/transfers",
            headers,
            b'{"requestId":"wd_%d","amount":%d,"currency":"EUR","destination":"acct_%d"}'
            % (number, number % 9973, number % 97),
        )
    ]
    made += [
        _request(
            b"/egress/pay/v1/notes/%d" % part,
            headers,
            b'{"requestId":"wd_%d","part":%d,"text":"Payout %d of tenant-%d is under way"}'
            % (number, part, number, number % TENANTS),
        )
        for part in range(1, EFFECTS)
    ]
    return made


def born(run: Run) -> bytes:
    """An id that the run makes by itself: another on each side, and the same wherever the run uses it."""
    digest = hashlib.blake2b(run.name.encode(), digest_size=16).hexdigest().encode()
    return b"%s-%s-4%s-8%s-%s" % (digest[:8], digest[8:12], digest[13:16], digest[17:20], digest[20:])


def _effects(run: Run, milliseconds: int) -> bytes:
    number, reference = run.number, born(run)
    return (
        b'{"run":"%(run)s","task":"%(task)s"%(event)s,"attempt":1,"effects":['
        b'{"id":"1","kind":"http","target":"pay","operation":"POST /v1/transfers","identity":"wd_%(n)d",'
        b'"occurred_at":%(at)d,"data":{"method":"POST","path":"/v1/transfers","content_type":"application/json",'
        b'"body":{"requestId":"wd_%(n)d","amount":%(amount)d,"currency":"EUR","reference":"%(reference)s"},'
        b'"status":200}},'
        b'{"id":"2","kind":"sql","target":"app","operation":"payouts","identity":"wd_%(n)d","occurred_at":%(at)d,'
        b'"data":{"id":"wd_%(n)d","tenant":"tenant-%(tenant)d","amount":%(amount)d,"state":"paid",'
        b'"reference":"%(reference)s"}},'
        b'{"id":"3","kind":"email","target":"mail","operation":"send","identity":"wd_%(n)d","occurred_at":%(at)d,'
        b'"data":{"from":"pay@example.com","to":["creator-%(n)d@example.com"],"subject":"Your payout",'
        b'"text":"Your payout wd_%(n)d of %(amount)d EUR is under way."}},'
        b'{"id":"4","kind":"http","target":"slack","operation":"POST /api/chat.postMessage","identity":"wd_%(n)d",'
        b'"occurred_at":%(at)d,"data":{"method":"POST","path":"/api/chat.postMessage",'
        b'"content_type":"application/json","body":{"channel":"#payouts","text":"wd_%(n)d: %(amount)d EUR"},'
        b'"status":200}},'
        b'{"id":"5","kind":"http","target":"ga4","operation":"POST /mp/collect","identity":"wd_%(n)d",'
        b'"occurred_at":%(at)d,"data":{"method":"POST","path":"/mp/collect","content_type":"application/json",'
        b'"body":{"client_id":"tenant-%(tenant)d","events":[{"name":"payout","params":{"value":%(amount)d,'
        b'"currency":"EUR","transaction_id":"wd_%(n)d"}}]},"status":204}}]}'
    ) % {
        b"run": run.name.encode(),
        b"task": TASK.encode(),
        b"event": _event(run),
        b"n": number,
        b"tenant": number % TENANTS,
        b"amount": number % 9973,
        b"reference": reference,
        b"at": milliseconds,
    }


def _outcome(run: Run, milliseconds: int) -> bytes:
    return (
        b'{"run":"%s","task":"%s","status":"completed","attempts":1,"output":%s,"started_at":%d,"finished_at":%d%s}'
    ) % (run.name.encode(), TASK.encode(), _output(run), milliseconds - 200, milliseconds, _event(run))


def _event(run: Run) -> bytes:
    """The member that names the event, of a run that knows it."""
    return b"" if run.event is None else b',"event":"%s"' % run.event.encode()


def _output(run: Run) -> bytes:
    return b'{"requestId":"wd_%d","success":true}' % run.number


def _report(path: bytes, runs: Sequence[Run], parts: bytes) -> bytes:
    (side,) = {run.side for run in runs}
    return _request(path, b"Authorization: Bearer %s\r\n" % REPORT_KEYS[side].encode(), b"[" + parts + b"]")


def _request(path: bytes, headers: bytes, body: bytes) -> bytes:
    return (b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s") % (
        path,
        headers,
        len(body),
        body,
    )
