"""What is compared and evaluated: JSONPath, the catalogue's expressions, and two ledgers under rules."""

from __future__ import annotations

import re

import atheris
import orjson

from comparators import JSON, Effect, IgnoreRule, Judgement, Ledger, Outcome, Rules, Verdict, judge
from comparators.path import find
from comparators.path import parse as parse_path
from comparators.regular import NotRegular, Regular
from comparators.rules import MoneyRule, TimestampRule
from shadow.catalogue.expressions import Document, ExpressionError, MappingFailed
from shadow.catalogue.expressions import compile as compile_expression
from tests.fuzz.doors import WORDS
from tests.fuzz.harness import Harness

_DOCUMENT: JSON = {"id": 1, "items": [{"sku": "A", "n": 1.5}, {"sku": None}], "a b": {"c": [[], {}, "x"]}, "": True}
_NAMES = ("id", "amount", "currency", "to", "note", "created_at", "items", "tenantId", "email", "__x", "")
_TEXTS = (
    "",
    "a",
    "Grüße",
    "a@x.test",
    "0190d5f2-7c1a-7d3e-9b5f-000000000001",
    "0190d5f6-aaaa-7bbb-8ccc-000000000002",
    "run_cm2x9k4p10001abc9def",
    "2026-03-02T10:00:01.000Z",
    '{"a":[1,{"b":"c"}]}',
    "tr_4f9a81c2d3e4b5a6",
    "https://x.test/a?b=1",
)
_KINDS = ("http", "email", "sql", "state", "event", "odd")
_DEEPEST = 6


def _paths(data: bytes) -> None:
    text = data.decode(errors="replace")
    try:
        parse_path(text)
        found = find(text, _DOCUMENT)
    except ValueError:
        return
    assert all(isinstance(parts, tuple) for parts, _value in found)


def _regular(data: bytes) -> None:
    """What is taken means what it means in Python. Texts are short, as Python's engine may take long."""
    expression, _, rest = data.decode(errors="replace").partition("\0")
    try:
        made = Regular(expression, memory=1 << 18)
    except NotRegular:
        return
    text = rest[:12]
    newer = any(ord(character) > 0x500 for character in expression + text)  # which the two know of other versions
    if len(expression) > 24 or newer or "$" in expression or "i" in expression:
        made.takes(rest)  # might take Python long, or says a little another thing
        return
    pythons = re.compile(expression)
    assert made.takes(text) == (pythons.fullmatch(text) is not None), (expression, text)


def _expressions(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    try:
        expression = orjson.loads(head)
        document = orjson.loads(body) if body else _DOCUMENT
    except orjson.JSONDecodeError:
        expression, document = head.decode(errors="replace"), _DOCUMENT
    try:
        compiled = compile_expression(expression, tables={"t": {"1": "one"}}, headers=True)
        compiled.evaluate(Document(document, {"x-topic": "a"}, {"t": {"1": "one"}}))
    except (ExpressionError, MappingFailed):
        return


class _Made:
    """Values, ledgers and rules, made of the bytes that the fuzzer gives."""

    def __init__(self, data: bytes) -> None:
        self._data = atheris.FuzzedDataProvider(data)

    def _one(self, choices: tuple[str, ...]) -> str:
        number: int = self._data.ConsumeIntInRange(0, len(choices) - 1)
        return choices[number]

    def text(self) -> str:
        if self._data.ConsumeBool():
            return self._one(_TEXTS)
        return str(self._data.ConsumeUnicodeNoSurrogates(12))

    def value(self, level: int = 0) -> JSON:
        match self._data.ConsumeIntInRange(0, 8 if level < _DEEPEST else 5):
            case 0:
                return None
            case 1:
                return bool(self._data.ConsumeBool())
            case 2:
                return int(self._data.ConsumeInt(4))
            case 3:
                number = float(self._data.ConsumeRegularFloat())
                return number if number == number and abs(number) != float("inf") else 0.5
            case 4 | 5:
                return self.text()
            case 6:
                return [self.value(level + 1) for _ in range(self._data.ConsumeIntInRange(0, 3))]
            case _:
                names = [self._one(_NAMES) for _ in range(self._data.ConsumeIntInRange(0, 4))]
                return {name: self.value(level + 1) for name in names}

    def maybe(self) -> str | None:
        return self.text() if self._data.ConsumeBool() else None

    def effect(self) -> Effect:
        return Effect(
            self._one(_KINDS),
            self._one(("stripe", "mail", "database")),
            self._one(
                (
                    "POST /v1/x",
                    "send",
                    "update orders",
                    "delete orders",
                    "PUT /jobs/0190d5f2-7c1a-7d3e-9b5f-000000000001",
                )
            ),
            self.maybe(),
            self.value(),
            self._data.ConsumeIntInRange(1, 3),
            self.maybe(),
            bool(self._data.ConsumeBool()),
            None,
            self.value(),
        )

    def ledger(self) -> Ledger:
        start = 1_772_445_600.0 if self._data.ConsumeBool() else None
        outcome = Outcome(
            self._one(("completed", "completed", "failed", "cancelled", "timed_out", "crashed")),
            self.value(),
            self.maybe(),
            self.maybe(),
            self._data.ConsumeIntInRange(1, 3),
            None,
            start,
            None if start is None else start + 3,
        )
        return Ledger(outcome, tuple(self.effect() for _ in range(self._data.ConsumeIntInRange(0, 5))))

    def rules(self) -> Rules:
        return (
            Rules(),
            Rules(output=False),
            Rules(ignore=(IgnoreRule(path="$..note", scope="effect", reason="fuzz"),)),
            Rules(
                values=(
                    MoneyRule(path="$..amount", scope="effect"),
                    TimestampRule(path="$..created_at", scope="effect"),
                )
            ),
        )[self._data.ConsumeIntInRange(0, 3)]


def _judge(data: bytes) -> None:
    made = _Made(data)
    rules, legacy, candidate, known = made.rules(), made.ledger(), made.ledger(), made.value()
    judgement = judge(legacy, candidate, rules, known=known)
    _holds(judgement)
    assert judge(legacy, candidate, rules, known=known) == judgement, "judged twice, it is not the same"
    same = judge(legacy, legacy, rules, known=known)
    assert same.verdict is not Verdict.mismatch or not _is_clean(legacy), "a ledger differs from itself"
    more = Ledger(legacy.outcome, (*legacy.effects, Effect("http", "fuzz", "POST /never", "once", {"amount": 1})))
    assert judge(legacy, more, rules, known=known).verdict is Verdict.mismatch, "an extra effect was not found"
    judge(legacy, candidate, rules, known=known, explain=True)


def _is_clean(ledger: Ledger) -> bool:
    """Whether nothing in it is done twice, which is told of a candidate whatever legacy did."""
    return len(ledger.effects) < 2


def _holds(judgement: Judgement) -> None:
    assert (judgement.verdict is Verdict.mismatch) == bool(judgement.differences), "a verdict without its differences"


HARNESSES = [
    Harness(
        "jsonpath",
        _paths,
        [b"$.items[*].sku", b"$..c[?@.n > 1]", b"$['a b'].c[-1:]", b"$[?length(@.id) == 1]"],
        [b"$..", b"[?@.", b"length(", b"match(", b"search(", b"count(", b"value(", b"&&", b"||", b"[::-1]"],
    ),
    Harness(
        "expressions",
        _expressions,
        [
            b'{"a":"$.id","b":{"path":"$.items[0].n","as":"string"}}\n\n{"id":1}',
            b'{"lookup":"t","key":"$.id","else":null}',
            b'"header:x-topic"',
            b'{"build":{"path":1}}',
        ],
        [
            *WORDS,
            b'"path"',
            b'"as"',
            b'"optional"',
            b'"lookup"',
            b'"key"',
            b'"else"',
            b'"value"',
            b'"build"',
            b"header:",
        ],
    ),
    Harness(
        "regular-expressions",
        _regular,
        [rb"v\d+\.\d+" + b"\0v1.2", b"[]a-z]{,2}\0]a", rb"(?P<n>\w+)-[\s\x41]" + b"\0ab- ", b"(?s:a|b)*?.\0ab\n"],
        [
            b"(?:",
            b"(?s)",
            b"(?m)",
            b"{,",
            b"{1,2}",
            b"[^",
            b"[]",
            rb"\W",
            rb"\Z",
            rb"\u00e9",
            b"*?",
            b"++",
            b"(?=",
            b"|",
        ],
    ),
    Harness("ledgers", _judge, [bytes(64), bytes(range(256)), b"\xff" * 200]),
]
