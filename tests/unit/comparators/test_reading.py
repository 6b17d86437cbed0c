"""What a person and a machine read of a difference: sentence, path, identity, signature."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparators import (
    JSON,
    Difference,
    Effect,
    EffectPattern,
    IdentityRule,
    Ledger,
    OrderRule,
    Outcome,
    Rules,
    Severity,
    judge,
    signature_of,
)
from comparators.path import parse
from tests.unit.comparators.ledgers import (
    completed,
    effect,
    judged,
    lacking,
    order_ledger,
    with_data,
    with_effects,
    with_outcome,
    without,
)

IDENTITIES = Rules(
    identities=(
        IdentityRule("email", paths=("$.orderId",)),
        IdentityRule("sql", "database", "upsert *", ("$.order_id", "$.model")),
    )
)


def mail(order: object = "1001", **members: object) -> Ledger:
    data = {"to": "a@x.test", "orderId": order, **members}
    return with_effects(order_ledger(), effect("email", "mail", "send", data))  # type: ignore[arg-type]  # JSON


def sentence(legacy: Ledger, candidate: Ledger, rules: Rules = IDENTITIES) -> str:
    (difference,) = judged(legacy, candidate, rules).differences
    return difference.sentence


def times(ledger: Ledger, count: int) -> Ledger:
    return replace(ledger, effects=ledger.effects * count)


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        (mail(), times(mail(), 2), "candidate sent an email to a@x.test for order 1001 twice; legacy once"),
        (
            times(mail(), 2),
            times(mail(), 3),
            "candidate sent an email to a@x.test for order 1001 3 times; legacy twice",
        ),
        (times(mail(), 2), mail(), "candidate sent an email to a@x.test for order 1001 once; legacy twice"),
        (mail(), with_effects(mail()), "candidate never sent an email to a@x.test for order 1001; legacy did once"),
        (with_effects(mail()), mail(), "candidate sent an email to a@x.test for order 1001; legacy never did"),
        (
            mail(),
            mail(to="b@x.test"),
            'candidate sent an email to a@x.test for order 1001 with to[0] = "b@x.test"; legacy had "a@x.test"',
        ),
        # the type drifted, and the identity still holds
        (
            mail(1001),
            mail("1001"),
            'candidate sent an email to a@x.test for order 1001 with orderId as string "1001"; legacy had number 1001',
        ),
        (
            mail(vars={"a": [1, None]}),
            mail(vars={"a": [1, 2]}),
            "candidate sent an email to a@x.test for order 1001 with vars.a[1] as number 2; legacy had null",
        ),
        (
            mail(note="x" * 99),
            mail(),
            f'candidate sent an email to a@x.test for order 1001 without note; legacy had "{"x" * 56}...',
        ),
        (
            mail(),
            mail(n=1),
            "candidate sent an email to a@x.test for order 1001 with an additional n = 1; legacy had none",
        ),
        (
            with_outcome(mail(), output=1),
            with_outcome(mail(), output=2),
            "candidate returned the whole value = 2; legacy had 1",
        ),
        (
            with_outcome(mail(), output={"a": {"b": 1}}),
            with_outcome(mail(), output={"a": {}}),
            "candidate returned without a.b; legacy had 1",
        ),
        (
            mail(),
            with_outcome(mail(), status="failed", error_name="Boom", error_message="no"),
            "candidate failed (Boom: no); legacy completed",
        ),
        (
            with_outcome(mail(), status="cancelled"),
            with_outcome(mail(), status="timed_out"),
            "candidate timed out; legacy was cancelled",
        ),
    ],
)
def test_a_difference_is_one_readable_sentence(legacy: Ledger, candidate: Ledger, expected: str) -> None:
    assert sentence(legacy, candidate) == expected


def test_the_remaining_sentences() -> None:
    failed = with_outcome(order_ledger(), status="failed", error_message="x", attempts=3)
    assert (
        sentence(failed, with_outcome(failed, attempts=1), Rules(attempts=True))
        == "candidate gave up after 1 attempt; legacy after 3 attempts"
    )
    rules = Rules(before=(OrderRule(EffectPattern("sql"), EffectPattern("event")),))
    reordered = with_effects(order_ledger(), *reversed(order_ledger().effects))
    assert (
        sentence(order_ledger(), reordered, rules)
        == "candidate did event */* before sql */*; legacy did them in the declared order"
    )
    called = effect("http", "pay", "POST /t/tr_4f9a81c2d3e4b5a6", {"x": 1})
    assert (
        sentence(Ledger(completed()), Ledger(completed(), (called,)))
        == "candidate called POST /t/{id} at pay; legacy never did"
    )


CONFIRMATION: JSON = {"to": ["a@x.test"], "template": "confirmation"}


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (effect("email", "mail", "send", CONFIRMATION), "sent the confirmation email to a@x.test"),
        # through a provider's API it is a mail all the same
        (effect("http", "mail", "POST /send", {"body": CONFIRMATION}), "sent the confirmation email to a@x.test"),
        (
            effect("email", "mail", "send", {"to": "a@x.test", "subject": "Welcome"}, "7"),
            'sent the email "Welcome" to a@x.test for 7',
        ),
        (
            effect("email", "mail", "send", {"to": [f"{name}@x.test" for name in "abcde"]}),
            "sent an email to a@x.test, b@x.test, c@x.test and 2 more",
        ),
        (effect("email", "mail", "send", {}), "sent an email"),
        # as a provider nests it, seen by the gateway of a target whose kind is email
        (
            effect(
                "email",
                "mail",
                "POST /v3/mail/send",
                {"body": {"personalizations": [{"to": [{"email": "a@x.test"}]}], "subject": "Welcome"}},
            ),
            'sent the email "Welcome" to a@x.test',
        ),
        (
            effect("http", "bank", "POST /transfers", {"body": {"n": 1}}, "r-7"),
            "called POST /transfers at bank for r-7",
        ),
        (effect("event", "inngest", "order/paid", {"n": 1}), "emitted the event order/paid"),
        (effect("sql", "database", "insert rows", {"n": 1}), "ran insert rows in database"),
        (effect("state", "database", "row", {"n": 1}), "left row in database"),
        (effect("file", "bucket", "upload", {"n": 1}), "performed file upload at bucket"),
    ],
)
def test_a_sentence_names_the_thing(done: Effect, expected: str) -> None:
    once, twice = (with_effects(order_ledger(), *[done] * count) for count in (1, 2))
    assert sentence(once, twice) == f"candidate {expected} twice; legacy once"


@pytest.mark.parametrize(
    ("candidate", "path"),
    [
        (with_data(order_ledger(), 1, note="x"), "$['effects']['sql']['database']['upsert orders']['1001']['note']"),
        # without identity: the place among its like
        (
            with_data(order_ledger(), 0, query={"fields": "id"}),
            "$['effects']['http']['shopify']['GET /orders/1001.json'][0]['query']['fields']",
        ),
        (without(order_ledger(), 4), "$['effects']['event']['inngest']['review/email.scheduled']['1001/1']"),
        (with_outcome(order_ledger(), output={"success": True, "orderId": 5}), "$['output']['orderId']"),
        (with_outcome(order_ledger(), status="crashed"), "$['outcome']['status']"),
        # legacy's index, after an item that the candidate lacks
        (
            with_data(
                order_ledger(),
                1,
                lines=[{"sku": "A-1", "quantity": 1}, {"sku": "B-2", "quantity": 2}],
            ),
            "$['effects']['sql']['database']['upsert orders']['1001']['lines'][2]",
        ),
    ],
)
def test_the_path_is_a_normalised_path_into_the_pair(candidate: Ledger, path: str) -> None:
    (difference,) = judged(order_ledger(), candidate).differences
    assert difference.path == path


def test_identity_is_taken_from_all_paths_of_the_first_rule_that_finds_something() -> None:
    def row(model: str) -> Ledger:
        return with_effects(order_ledger(), effect("sql", "database", "upsert x", {"order_id": 5, "model": model}))

    first, second = judged(row("linear"), row("last"), IDENTITIES).differences
    assert [first.kind, second.kind] == ["effect.missing", "effect.extra"] or [first.kind, second.kind] == [
        "effect.extra",
        "effect.missing",
    ]
    assert {first.path, second.path} == {
        "$['effects']['sql']['database']['upsert x']['5 / linear']",
        "$['effects']['sql']['database']['upsert x']['5 / last']",
    }


def signature(legacy: Ledger, candidate: Ledger, task: str = "t") -> str:
    (difference,) = judge(legacy, candidate, IDENTITIES, task=task).differences
    assert difference.signature == signature_of(task, difference)
    return difference.signature


def test_a_signature_does_not_depend_on_values_ids_and_indexes() -> None:
    base = signature(mail(lines=[{"n": 1}, {"n": 2}]), mail(lines=[{"n": 1}, {"n": 9}]))
    # another order, other values, another line
    assert signature(mail(7, lines=[{"n": 5}]), mail(7, lines=[{"n": 6}])) == base
    # no identity at all
    (difference,) = judge(mail(None, lines=[{"n": 5}]), mail(None, lines=[{"n": 6}]), Rules(), task="t").differences
    assert difference.signature == base


def test_a_signature_depends_on_task_kind_and_place() -> None:
    legacy = mail(n=1, m=1)
    found = {
        signature(legacy, mail(n=2, m=1)),
        signature(legacy, mail(n=1, m=2)),
        signature(legacy, mail(n="1", m=1)),
        signature(legacy, lacking(legacy, 0, "n")),
        signature(legacy, with_effects(legacy)),
        signature(legacy, times(legacy, 2)),
        signature(legacy, mail(n=2, m=1), task="u"),
        signature(legacy, with_outcome(legacy, status="failed")),
        signature(with_outcome(legacy, status="failed"), legacy),
    }
    assert len(found) == 9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PUT /orders/1001", "PUT /orders/1002"),
        ("PUT /orders/1001.json?x=1", "PUT /orders/7.json?x=1"),
        ("PUT /t/tr_4f9a81c2d3e4b5a6", "PUT /t/tr_00b1d2c3e4f5a697"),
        (
            "PUT /o/0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f",
            "PUT /o/0190d5f6-aaaa-7bbb-8ccc-1234567890ab",
        ),
    ],
)
def test_ids_in_an_operation_do_not_split_a_group(one: str, other: str) -> None:
    def called(operation: str) -> str:
        # As if the event knew the id: then the operation keeps it.
        known = operation.rpartition("/")[2]
        ledger = Ledger(completed(), (effect("http", "shopify", operation, {"x": 1}),))
        (difference,) = judge(ledger, Ledger(completed()), Rules(), task="t", known=known).differences
        return difference.signature

    assert called(one) == called(other)


def test_members_named_by_ids_do_not_split_a_group() -> None:
    def totals(name: str) -> str:
        one, other = Ledger(Outcome("completed", {name: 1})), Ledger(Outcome("completed", {name: 2}))
        (difference,) = judge(one, other, Rules(), task="t").differences
        return difference.signature

    assert totals("1001") == totals("1002") == totals("0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f")
    assert totals("vip") != totals("1001")


def test_signatures_are_stable_across_versions() -> None:
    # A change of these splits every group of differences in every installation.
    def located(kind: str, path: str) -> Difference:
        return Difference(kind, path, "completed", "failed", Severity.major, "", "")

    assert signature_of("sync", located("outcome.status", "$['outcome']['status']")) == STATUS
    assert signature_of("sync", located("effect.changed", "$['effects']['a']['b']['c']['1']['d'][0]")) == EFFECT


STATUS = "s1-eed85039ba5ab913e102522e"
EFFECT = "s1-d75190aabe96cdcd4b34d6fe"


def test_severities_are_ordered_and_have_words() -> None:
    assert Severity.critical > Severity.major > Severity.minor
    assert [str(severity) for severity in Severity] == ["minor", "major", "critical"]


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        # two items less, apart from each other
        ([0, 1, 2, 3, 4], [1, 3, 4], [("output.field_dropped", 0), ("output.field_dropped", 2)]),
        ([1, 3, 4], [0, 1, 2, 3, 4], [("output.field_added", 0), ("output.field_added", 2)]),
        # one less, and another changed
        ([0, 1, 2, 3, 4], [0, 9, 2, 4], [("output.field_dropped", 3), ("output.changed", 1)]),
        ([], [1], [("output.field_added", 0)]),
        # one went and another came: the others are in no other order
        ([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [("output.field_dropped", 0), ("output.field_added", 4)]),
        ([0, 1, 2, 3, 4], [9, 0, 1, 2, 3], [("output.field_dropped", 4), ("output.field_added", 0)]),
        # two that changed places are two that changed
        ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [("output.changed", 0), ("output.changed", 1)]),
        # as many as no table of all with all has room for
        (
            list(range(900)),
            [n for n in range(900) if n not in (100, 500)],
            [("output.field_dropped", 100), ("output.field_dropped", 500)],
        ),
    ],
)
def test_an_item_more_or_less_is_one_difference(
    legacy: list[JSON], candidate: list[JSON], expected: list[tuple[str, int]]
) -> None:
    def ledger(items: list[JSON]) -> Ledger:
        return with_outcome(order_ledger(), output=[{"n": item, "name": f"item {item}"} for item in items])

    found = judged(ledger(legacy), ledger(candidate)).differences
    assert {(d.kind, parse(d.path)[1]) for d in found} == set(expected)
