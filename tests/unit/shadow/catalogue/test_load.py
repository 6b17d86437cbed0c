# ruff: noqa: E501 - one row a line: a table of problems
"""Reading a catalogue: every kind of problem names its line, its key, what was found and what was expected."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shadow.catalogue import CatalogueError, load, parse
from tests.unit.shadow.catalogue.generated import ENVIRON, generated, resolved, small


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        parse(text, "c.yaml", ENVIRON if environ is None else environ)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # a key that does not exist, with the one that was meant
        (
            "    app: comm",
            "    ap: x\n    app: comm",
            "c.yaml:11: platforms.inngest.ap: found the unknown key 'ap', expected",
        ),
        ("  pay:\n", "  pay:\n    deadlin: 5s\n", "(did you mean 'deadline'?)"),
        # a key that is missing: the line of what it is missing in
        ("    app: commerce\n", "", "c.yaml:6: platforms.inngest.app: found nothing, expected this key"),
        # a wrong kind of platform or source
        (
            "kind: trigger.dev",
            "kind: trigger",
            "c.yaml:3: platforms.trigger.kind: found 'trigger', expected one of http, ",
        ),
        ("    kind: webhook\n", "", "c.yaml:13: sources.shopify.kind: found nothing, expected one of"),
        # a value that is none of those allowed
        (
            "side: legacy",
            "side: legcy",
            "c.yaml:4: platforms.trigger.side: found 'legcy', expected one of candidate, legacy ",
        ),
        (
            "scheme: shopify",
            "scheme: shopfy",
            "c.yaml:15: sources.shopify.signature.scheme: found 'shopfy', expected one of ",
        ),
        # numbers, booleans, durations
        (
            "side: legacy",
            "side: legacy\n    concurrency: lots",
            "c.yaml:5: platforms.trigger.concurrency: found 'lots', expected a whole number",
        ),
        (
            "side: legacy",
            "side: legacy\n    concurrency: 0",
            "c.yaml:5: platforms.trigger.concurrency: found 0, expected a value above 0",
        ),
        (
            "side: legacy",
            "side: legacy\n    timeout: 5 minutes",
            "c.yaml:5: platforms.trigger.timeout: found '5 minutes', expected a duration such as 500ms",
        ),
        (
            "side: legacy",
            "side: legacy\n    timeout: -5",
            "c.yaml:5: platforms.trigger.timeout: found -5, expected a duration such as 500ms",
        ),
        # the wrong shape
        ("sources: [app]", "sources: app", "c.yaml:37: tasks.pay.sources: found text, expected a list"),
        ("sources: [app]", "sources: []", "c.yaml:37: tasks.pay.sources: found an empty list, expected at least one"),
        (
            "    legacy: {platform: trigger}",
            "    legacy: trigger",
            "c.yaml:33: tasks.sync-order.legacy: found text, expected a m",
        ),
        # names that lead nowhere
        (
            "    sources: [app]",
            "    sources: [ap]",
            "c.yaml:37: tasks.pay.sources[0]: found 'ap', expected one of app, calls, shopify (did you mean 'app'?)",
        ),
        ("sources: [app]", "sources: [app, app]", "c.yaml:37: tasks.pay.sources[1]: found 'app' again"),
        (
            "legacy: {platform: trigger}",
            "legacy: {platform: triger}",
            "c.yaml:33: tasks.sync-order.legacy.platform: found 'triger', expected one of inngest, trigger (did you mean",
        ),
        (
            "kind: webhook",
            "kind: webhook\n    forward: trigger",
            "c.yaml:15: sources.shopify.forward: found 'trigger', expected a platform of kind http",
        ),
        (
            "kind: webhook",
            "kind: webhook\n    answer: passthrough",
            "c.yaml:15: sources.shopify.answer: found 'passthrough', expected 'accepted', or a platform in forward",
        ),
        # a candidate is told of an event, and Trigger.dev knows tasks only
        (
            "    candidate: {platform: inngest}",
            "    candidate: {platform: trigger}",
            "c.yaml:34: tasks.sync-order.candidate.platform: found 'trigger' of kind trigger.dev, expected a platform of "
            "kind inngest or http, which starts functions by an event: inngest",
        ),
        # names that stand in URLs
        ("  pay:\n", "  pay+out:\n", "c.yaml:35: tasks.pay+out: found the name 'pay+out', expected letters, digits"),
        ("  pay:\n", '  "pay\\n":\n', "c.yaml:35: tasks.'pay\\n': found the name 'pay\\n', expected letters, digits"),
        # events that Inngest refuses
        (
            "event: payout/approved",
            "event: Inngest/paid",
            "c.yaml:36: tasks.pay.event: found 'Inngest/paid', expected another p",
        ),
        # signatures
        (
            "scheme: shopify,",
            "scheme: hmac,",
            "c.yaml:15: sources.shopify.signature.header: found nothing, expected the header that carries",
        ),
        (
            "scheme: shopify,",
            "scheme: shopify, prefix: x,",
            "c.yaml:15: sources.shopify.signature.prefix: found 'prefix' with the scheme shopify",
        ),
        # expressions
        ("path: $.id,", "path: '$.id[',", "c.yaml:22: sources.shopify.events[0].data.orderId.path: found '$.id['"),
        (
            "as: string",
            "as: strin",
            "c.yaml:22: sources.shopify.events[0].data.orderId.as: found 'strin', expected one of",
        ),
        (
            "lookup: tenants",
            "lookup: tenant",
            "c.yaml:21: sources.shopify.events[0].tenant.lookup: found 'tenant', expected",
        ),
        (
            '"header:x-topic"',
            '"$.[": 1, "header:x-topic"',
            "c.yaml:19: sources.shopify.events[0].when.$.[: found '$.[' (",
        ),
        (
            "legacy: {platform: trigger}",
            'legacy: {platform: trigger, payload: {a: "header:x"}}',
            "c.yaml:33: tasks.sync-order.legacy.payload.a: found 'header:x', expected no header",
        ),
        (
            "legacy: {platform: trigger}",
            "legacy: {platform: trigger, payload: {lookup: tenants, key: $.a}}",
            "c.yaml:33: tasks.sync-order.legacy.payload.lookup: found 'tenants', expected no lookup",
        ),
        # rules speak the same dialect of paths
        (
            "event: payout/approved",
            "event: payout/approved\n    rules: {identities: [{paths: [id]}]}",
            "c.yaml:37: tasks.pay.rules.identities[0].paths[0]: found 'id' (it must begin with $)",
        ),
        # options that are Shadow's business
        (
            "legacy: {platform: trigger}",
            "legacy: {platform: trigger, options: {idempotencyKey: x}}",
            "c.yaml:33: tasks.sync-order.legacy.options.idempotencyKey: found the option",
        ),
        # keys twice, variables badly written, YAML of other sorts
        (
            "    side: legacy\n",
            "    side: legacy\n    side: legacy\n",
            "c.yaml:5: platforms.trigger.side: found this key again, expected it once (line 4 has it)",
        ),
        ("${TRIGGER_KEY}", "${TRIGGER-KEY}", "c.yaml:5: platforms.trigger.secret_key: found ${ that names no variable"),
        ('["${SHOP_SECRET}"]', "[${SHOP_SECRET}]", "c.yaml:15: found bad YAML"),
        ("    side: legacy", "    <<: {}\n    side: legacy", "c.yaml:4: platforms.trigger: found a merge key"),
        ("app-key", "!mine app-key", "c.yaml:25: sources.app.keys[0]: found the tag !mine"),
        ("[app-key]", "&keys [*keys]", "c.yaml:25: sources.app.keys[0]: found an alias of something around it"),
    ],
)
def test_a_problem_names_line_key_found_and_expected(old: str, new: str, expected: str) -> None:
    found = problems(small((old, new)))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "c.yaml:1: found nothing, expected a mapping with platforms, sources and tasks"),
        ("- a", "c.yaml:1: found a list, expected a mapping with platforms, sources and tasks"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: found bad YAML"),
        ("a: \x07", "c.yaml:1: found a character that YAML forbids"),
    ],
)
def test_what_is_no_catalogue_at_all_is_said_to_be_none(text: str, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        small(("side: legacy", "side: x"), ("app: commerce", "ap: commerce"), ("sources: [app]", "sources: 5"))
    )
    assert [line.split(":")[1] for line in found] == ["4", "6", "11", "37"]


def test_variables_that_are_not_set_are_told_all_at_once_and_with_other_problems() -> None:
    found = problems(small(("app: commerce", "app: commerce\n    ap: x")), {"EVENT_KEY": "e"})
    assert found == [
        "c.yaml:5: platforms.trigger.secret_key: found ${TRIGGER_KEY}, which is not set, "
        "expected the environment variable TRIGGER_KEY (or a default: ${TRIGGER_KEY:-...})",
        "c.yaml:12: platforms.inngest.ap: found the unknown key 'ap', expected one of api_url, app, batch_size, budget, "
        "concurrency, dev, event_key, event_url, front_url, kind, poll_every, side, signing_key, timeout, tls (did you "
        "mean 'app'?)",
        "c.yaml:16: sources.shopify.signature.secrets[0]: found ${SHOP_SECRET}, which is not set, "
        "expected the environment variable SHOP_SECRET (or a default: ${SHOP_SECRET:-...})",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${TRIGGER_KEY}", "tr_secret_value"),
        ("a-${TRIGGER_KEY}-b", "a-tr_secret_value-b"),
        ("${ABSENT:-spare}", "spare"),
        # as in a shell, the default also stands in for an empty variable
        ("${EMPTY:-spare}", "spare"),
        ("$${TRIGGER_KEY}", "${TRIGGER_KEY}"),
        ("a$b", "a$b"),
    ],
)
def test_variables_are_put_into_text(written: str, read: str) -> None:
    catalogue = parse(small(("${TRIGGER_KEY}", written)), "c.yaml", {**ENVIRON, "EMPTY": ""})
    platform = catalogue.platforms["trigger"]
    assert platform.kind == "trigger.dev"
    assert platform.secret_key.get_secret_value() == read


def test_a_number_may_come_from_a_variable() -> None:
    catalogue = parse(
        small(("side: legacy", "side: legacy\n    concurrency: ${MANY}")), "c.yaml", {**ENVIRON, "MANY": "7"}
    )
    assert catalogue.platforms["trigger"].concurrency == 7


def test_an_empty_secret_is_refused_as_it_would_let_anybody_in() -> None:
    assert problems(small(), {**ENVIRON, "TRIGGER_KEY": ""}) == [
        "c.yaml:5: platforms.trigger.secret_key: found an empty text, expected some text"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${TRIGGER_KEY}", "[sk_hidden]"),
        ("${TRIGGER_KEY}", "5551234"),
        ("[app-key]", "sk_hidden"),
        ("[app-key]", "[[sk_hidden]]"),
        ("    event_key: ${EVENT_KEY}", "    event_ky: sk_hidden"),
        # in the place of a whole section
        ("  app:\n    kind: inngest\n    keys: [app-key]\n", "  app: sk_hidden\n"),
        # a variable's value in a field that is not secret: the file's text is shown instead
        ("side: legacy", "side: ${HIDDEN}"),
        ("${TRIGGER_KEY}", "${sk_hidden"),
    ],
)
def test_no_problem_shows_a_secret(old: str, new: str) -> None:
    text = "\n".join(problems(small((old, new)), {**ENVIRON, "HIDDEN": "sk_hidden"}))
    assert "hidden" not in text.replace("${HIDDEN}", "")
    assert "5551234" not in text


def test_two_tasks_with_the_same_legacy_task_are_refused_with_both_lines() -> None:
    found = problems(
        small(
            (
                "sources: [app]\n    legacy: {platform: trigger}",
                "sources: [app]\n    legacy: {platform: trigger, task: sync-order}",
            )
        )
    )
    assert found == [
        "c.yaml:38: tasks.pay.legacy.task: found 'sync-order' on trigger, expected a legacy task of its own "
        "(taken by tasks.sync-order in line 30)"
    ]


def test_two_tasks_with_the_same_function_are_refused_with_both_lines() -> None:
    found = problems(
        small(more="    # pay's\n").replace(
            "candidate: {platform: inngest}\n  pay", "candidate: {platform: inngest, function: commerce-pay}\n  pay"
        )
    )
    assert found == [
        "c.yaml:39: tasks.pay.candidate.platform: found 'commerce-pay', expected a function of its own "
        "(taken by tasks.sync-order in line 30)"
    ]


def test_a_task_that_is_called_may_not_share_its_event() -> None:
    found = problems(small(("payout/approved\n    sources: [app]", "shopify/order.created\n    sources: [calls]")))
    assert len(found) == 1
    assert found[0].startswith("c.yaml:36: tasks.pay.event: found 'shopify/order.created', shared with another task")
    assert found[0].endswith("(shared with tasks.sync-order in line 30)")


def test_a_category_must_be_declared_where_any_is() -> None:
    text = small(("event: payout", "category: payout\n    event: payout"))
    assert parse(text, "c.yaml", ENVIRON).tasks["pay"].category == "payout"
    assert problems(text + "categories: {payouts: {}}\n") == [
        "c.yaml:36: tasks.pay.category: found 'payout', expected one of payouts (did you mean 'payouts'?)"
    ]


def test_scalars_are_those_of_json() -> None:
    catalogue = resolved(
        (
            "legacy: {platform: trigger}",
            "legacy: {platform: trigger, payload: {value: {value: [on, 12:30, 2026-01-01, 1e3, ~, '5']}, x: 1}}",
        ),
    )
    payload = catalogue.tasks["sync-order"].legacy.payload.source
    assert payload["value"]["value"] == ["on", "12:30", "2026-01-01", 1000.0, None, "5"]


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(small(("side: legacy", "side: x")))
    with pytest.raises(CatalogueError, match=r"mine\.yaml:4:"):
        load(file, ENVIRON)


def test_bytes_that_are_no_text_are_a_problem_with_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(CatalogueError, match=r"mine\.yaml:2: found bytes that are no UTF-8"):
        load(file, ENVIRON)


def test_199_tasks_load_in_well_under_a_second() -> None:
    text = generated(199)
    started = time.process_time()
    catalogue = parse(text, "c.yaml", ENVIRON)
    assert time.process_time() - started < 0.8
    assert len(catalogue.tasks) == 199
