"""What workers and platforms tell: reports, the watcher, calls through the gateway, mails, changed rows."""

from __future__ import annotations

import contextlib
import gzip
import struct

import orjson
from pydantic import ValidationError

from api.front.watcher import told as finished
from shadow.catalogue.model import Side
from shadow.containment.guard_told import GuardTold
from shadow.effects.call import BodyRecorder, Unparsable, evidence, parsed_body, parsed_query
from shadow.effects.mail import UnreadableMail, read_mail, without_ours
from shadow.effects.notation import in_normal_form
from shadow.effects.pgoutput import Reader, Unreadable
from shadow.effects.redaction import Redactor
from shadow.effects.traceref import trace_in, trace_of_run
from shadow.egress.answers import Answer
from shadow.model.json_text import parse
from shadow.outcomes.reported import ReportRefused, effects_of, runs_of
from tests.fuzz.doors import WORDS, catalogue
from tests.fuzz.harness import Harness

_CATALOGUE = catalogue()
_REDACTOR = Redactor(b"fuzz" * 8)
_MOST = 64 * 1024


def _effects(data: bytes) -> None:
    try:
        effects = effects_of(data)
    except ReportRefused as error:
        str(error).encode(errors="surrogatepass")
        return
    for effect in effects:
        parse(_REDACTOR.document(effect.data))


def _runs(data: bytes) -> None:
    try:
        runs_of(data, Side.LEGACY, _CATALOGUE)
    except ReportRefused as error:
        str(error).encode(errors="surrogatepass")


def _guard(data: bytes) -> None:
    try:
        GuardTold.model_validate_json(data)
    except ValidationError:
        return


def _watcher(data: bytes) -> None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    if isinstance(document, dict):
        finished("inngest", document, len(data) * 10**9)


def _call(data: bytes) -> None:
    """Query, content type, encoding and body of a call."""
    query, _, rest = data.partition(b"\n")
    kind, _, rest = rest.partition(b"\n")
    encoding, _, body = rest.partition(b"\n")
    recorder = BodyRecorder(_MOST)
    recorder.feed(body)
    try:
        asked = parsed_query(query, without="key")
        content = parsed_body(recorder.seen(), kind.decode("latin-1"), encoding.decode("latin-1"), most=_MOST)
    except Unparsable:
        return
    made = evidence("POST", "/v1/x", {}, asked, content, kind.decode("latin-1"), {})
    encoded = made.encoded()
    orjson.loads(encoded)
    orjson.loads(_REDACTOR.document(encoded))
    Answer(200, ((b"content-encoding", encoding),), body).for_client("")


def _mail(data: bytes) -> None:
    without_ours(data)
    try:
        mail = read_mail(data, "a@x.test", ["b@x.test"])
    except UnreadableMail:
        return
    orjson.loads(orjson.dumps(in_normal_form("email", dict(mail.document))))


def _rows(data: bytes) -> None:
    """Messages, each with its length before it."""
    reader, at = Reader(), 0
    while at + 2 <= len(data):
        (size,) = struct.unpack_from("!H", data, at)
        with contextlib.suppress(Unreadable):
            reader.read(data[at + 2 : at + 2 + size])
        at += 2 + size


def _redaction(data: bytes) -> None:
    once = _REDACTOR.document(data)
    _REDACTOR.names_in(data)
    _REDACTOR.document(once)


def _traces(data: bytes) -> None:
    text = data.decode("latin-1")
    trace_in(text)
    trace_of_run(text)


def _message(kind: bytes, *parts: bytes) -> bytes:
    body = kind + b"".join(parts)
    return struct.pack("!H", len(body)) + body


_RELATION = _message(b"R", struct.pack("!I", 7), b"public\0orders\0d", struct.pack("!H", 1), b"\1id\0", bytes(8))
_INSERT = _message(b"I", struct.pack("!I", 7), b"N", struct.pack("!H", 1), b"t", struct.pack("!I", 2), b"42")
_EFFECT = {"run": "run_1", "kind": "http", "target": "stripe", "operation": "POST /v1/x", "data": {"amount": 1}}
_RUN = {
    "run": "run_1",
    "task": "welcome",
    "status": "completed",
    "output": {"a": "é"},
    "attempts": 2,
    "started_at": "2026-11-24T01:00:00Z",
    "finished_at": 1795484223783,
}
_JSON = b'q=1&key=s\napplication/json\n\n{"to":"a@b.test","amount":12.50}'

HARNESSES = [
    Harness(
        "reports-effects", _effects, [orjson.dumps(_EFFECT), orjson.dumps({"run": "r", "effects": [_EFFECT]})], WORDS
    ),
    Harness("reports-runs", _runs, [orjson.dumps(_RUN), orjson.dumps([_RUN, _RUN])], WORDS),
    Harness("reports-guard", _guard, [b'{"app":"shop","version":"1","denies":true,"secrets":[],"calls":[]}'], WORDS),
    Harness(
        "watcher",
        _watcher,
        [
            b'{"run_id":"01H","function_id":"shop-pay","_inngest":{"status":"Completed"},"result":1,'
            b'"event":{"id":"e","name":"a","ts":1772600767000,"data":{}}}'
        ],
        WORDS,
    ),
    Harness(
        "egress-calls",
        _call,
        [
            _JSON,
            b"\napplication/x-www-form-urlencoded\n\na[b]=1&c[]=2&payload=%7B%7D",
            b"a=1&a=2\nmultipart/form-data; boundary=x\n\n"
            b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
            b"\ntext/plain; charset=utf-16\n\nhello",
            b"\napplication/json\ngzip\n" + gzip.compress(b'{"a":1}', mtime=0),
            b'\napplication/json\n\n{"query":"mutation { a(x: 1) { id } }","variables":{}}',
            b"\napplication/xml\n\n<?xml version='1.0'?><a b='1'>x</a>",
        ],
        [
            *WORDS,
            b"multipart/form-data; boundary=",
            b"application/graphql",
            b"text/html",
            b"deflate",
            b"Content-Disposition:",
        ],
    ),
    Harness(
        "smtp-mails",
        _mail,
        [
            b"X-Shadow-Run: r\r\nSubject: =?utf-8?q?hi?=\r\nTo: b@x.test\r\n"
            b"Content-Type: multipart/alternative; boundary=x\r\n\r\n"
            b"--x\r\nContent-Type: text/html; charset=latin1\r\n\r\n<b>x</b>\r\n--x--\r\n",
            b"Subject: x\n\nhello",
        ],
        [
            b"Content-Transfer-Encoding: base64",
            b"Content-Type: ",
            b"charset=",
            b"boundary=",
            b"=?utf-8?b?",
            b"message/rfc822",
        ],
    ),
    Harness(
        "pgoutput",
        _rows,
        [_RELATION + _INSERT, _RELATION + _message(b"T", struct.pack("!I", 1), b"\0", struct.pack("!I", 7))],
    ),
    Harness(
        "redaction", _redaction, [_JSON[24:], b'{"a":"{\\"password\\":\\"x\\"}","phone":"+49 170 1234567"}'], WORDS
    ),
    Harness("traces", _traces, [b"inngest=traceref:%7B%22a%22%3A1%7D", b"01JDXK4T6ZVNYB5S5S2K5Q0W0A"]),
]
