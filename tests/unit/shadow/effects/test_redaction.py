"""Redaction: nothing personal or secret stays, equal values stay equal, and no verdict changes."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from comparators import Effect, Ledger, Outcome, Rules, Verdict, judge
from comparators.generated import take_apart
from shadow.catalogue.outside import Redaction
from shadow.effects.redaction import HASH_BITS, Redactor
from shadow.effects.sensitive import FORMS, Kind, has_words, may_have_forms
from shadow.model.json_text import write_json

KEY = b"acme" * 8
ACME = Redactor(KEY)
OTHER = Redactor(b"othr" * 8)

LOCALS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789._+-", min_size=1, max_size=20)
DOMAINS = st.sampled_from(["shop.test", "x.test", "mail.example.co.uk", "Shop.Test"])
EMAILS = st.builds("{}@{}".format, LOCALS, DOMAINS)
SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**12), max_value=10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    EMAILS,
    st.sampled_from(
        [
            "+1 (555) 010-0199",
            "4111 1111 1111 1111",
            "Bearer abc123def456ghi789",
            "tr_1NvQabcdEFGH",
            "sk_live_4eC39HqLyjWD",
        ]
    ),
)
NAMES = st.sampled_from(
    ["email", "to", "authorization", "password", "first_name", "phone", "amount", "id", "name", "customer", "note"]
)
DOCUMENTS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=15,
)


# ---------------------------------------------------------------- its laws


@given(DOCUMENTS)
def test_redacting_twice_changes_nothing(document: Any) -> None:
    once = ACME.value(document)
    assert ACME.value(once) == once


@given(st.text(max_size=200))
def test_so_it_is_with_any_text(text: str) -> None:
    once = ACME.text(text)
    assert ACME.text(once) == once


@given(DOCUMENTS)
def test_a_document_is_redacted_as_its_value_is(document: Any) -> None:
    content = orjson.dumps(document)
    assert json.loads(ACME.document(content)) == ACME.value(json.loads(content))


@given(DOCUMENTS)
def test_what_holds_nothing_to_redact_stays_byte_for_byte(document: Any) -> None:
    content = json.dumps(document, indent=1).encode()
    if ACME.value(json.loads(content)) == json.loads(content):
        assert ACME.document(content) == content


@given(EMAILS, EMAILS)
def test_equal_values_have_equal_hashes_and_others_have_others(one: str, other: str) -> None:
    same = one.lower() == other.lower()
    assert (ACME.text(one) == ACME.text(other)) == same
    assert (ACME.value({"to": [one]}) == ACME.value({"to": [other]})) == same


@given(EMAILS)
def test_another_tenant_has_other_hashes(email: str) -> None:
    assert ACME.text(email) != OTHER.text(email)


@given(SECRETS, st.sampled_from(["Authorization", "x-api-key", "Cookie", "set-cookie", "client_secret", "accessToken"]))
def test_a_secret_by_name_never_stays_in_clear(secret: str, name: str) -> None:
    for document in (
        {name: secret},
        {"headers": {name: f"Bearer {secret}"}},
        {"headers": [[name, secret]]},
        {"headers": [{"name": name, "value": secret}]},
        {"body": json.dumps({"deep": [{name: secret}]})},
        {name: [secret, {"inner": secret}] if "oken" not in name else [secret]},
    ):
        assert secret not in ACME.document(orjson.dumps(document)).decode(), document


@given(LOCALS, DOMAINS)
def test_an_address_never_stays_in_clear_wherever_it_stands(local: str, domain: str) -> None:
    around = "{text: write to <>, please} {url: https://x.test/u?mail=} " + " ".join(Kind)  # a hash names its kind
    assume(len(local) > 2 and local not in around)
    address = f"{local}@{domain}"
    for document in (
        {"email": address},
        {"text": f"write to <{address}>, please"},
        {"url": f"https://x.test/u?mail={address.replace('@', '%40').replace('+', '%2B')}"},
        {address: 1},
        [[address]],
    ):
        redacted = ACME.document(orjson.dumps(document)).decode()
        assert address not in redacted
        assert local not in redacted.replace("https://x.test/u?mail=", "").replace(domain.lower(), "") or len(local) < 5


# ---------------------------------------------------------------- what it looks like


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("email", "Ada@Shop.Test", r"~email:[0-9a-f]{16}@shop\.test"),
        ("to", "Ada L <ada@shop.test>", r"~name:[0-9a-f]{16} <~email:[0-9a-f]{16}@shop\.test>"),
        ("phone", "+1 (555) 010-0199", r"~phone:[0-9a-f]{16}"),
        ("firstName", "Ada", r"~name:[0-9a-f]{16}"),
        ("iban", "DE89 3704 0044 0532 0130 00", r"~iban:[0-9a-f]{16}"),
        ("address1", "1 Main Street", r"~address:[0-9a-f]{16}"),
        ("note", "card 4111-1111-1111-1111 ok", r"card ~card:[0-9a-f]{16} ok"),
        ("note", "Authorization: Bearer abc123def456ghi789", r"Authorization: Bearer ~token:[0-9a-f]{16}"),
        ("note", "https://u:p4ss@h.test/", r"https://~secret:[0-9a-f]{16}@h\.test/"),
        ("note", "/collect?api_secret=abc&v=1", r"/collect\?api_secret=~secret:[0-9a-f]{16}&v=1"),
        ("note", "grant=x&password=hunter2", r"grant=x&password=~secret:[0-9a-f]{16}"),
        ("note", "tr_dev_abcdefgh1234", r"~token:.*"),
        ("password", 1234, r"~secret:[0-9a-f]{16}"),
        ("dateOfBirth", "1990-01-02", r"~birth:[0-9a-f]{16}"),
        ("client_ip", "203.0.113.7", r"~ip:[0-9a-f]{16}"),
    ],
)
def test_a_person_can_read_what_it_was(name: str, value: Any, shown: str) -> None:
    redacted = ACME.value({name: value})
    assert isinstance(redacted, dict)
    assert re.fullmatch(shown, str(redacted[name])), redacted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 12_550),
        ("amount", "125.50"),
        ("currency", "EUR"),
        ("id", "5678901234567"),
        ("order_id", 820982911946154508),
        ("transfer", "tr_1NvQabcdEFGH"),
        ("customer_id", "cus_9s6XKzkNRiz8i3"),
        ("idempotency_key", "payout-req-77"),
        ("page_token", "abc"),
        ("max_tokens", 4096),
        ("created_at", "2026-03-02T10:00:00.000Z"),
        ("ts", 1_772_445_600_123),
        ("ts", 1_772_445_600_123_456),
        ("name", "Blue shirt"),
        ("plan", "Basic subscription plan 2026"),
        ("sku", "SKU-4111"),
        ("uuid", "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f"),
        ("mobile", True),
        ("phone_id", "PH1234567"),
        ("gateway", "4222222222222222"),  # of a card's length and prefix, without its check digit
    ],
)
def test_amounts_ids_times_and_names_of_things_stay(name: str, value: Any) -> None:
    document = {name: value, "product": {"name": "Ada"}}
    assert ACME.value(document) is document


def test_typed_normalisation_comes_first() -> None:
    assert ACME.text("A@X.Test") == ACME.text("a@x.test")
    assert ACME.value({"phone": "+1 (555) 010-0199"}) == ACME.value({"phone": "001 555 0100199"})
    assert ACME.text("4111 1111 1111 1111") == ACME.text("4111-1111-1111-1111")
    assert ACME.value({"iban": "DE89 3704"}) == ACME.value({"iban": "de893704"})
    # but a name in another spelling is another greeting
    assert ACME.value({"first_name": "Ada"}) != ACME.value({"first_name": "ada"})


def test_a_value_has_one_hash_whether_its_name_or_its_form_tells() -> None:
    by_name = ACME.value({"phone": "+15550100199"})
    assert isinstance(by_name, dict)
    assert ACME.text("call +15550100199") == f"call {by_name['phone']}"
    hidden = Redactor(b"acme" * 8, Redaction(paths=("$.contact",))).value({"contact": "a@x.test"})
    assert hidden == {"contact": ACME.text("a@x.test")}


def test_a_number_is_still_told_from_its_text() -> None:
    assert ACME.value({"password": 1234}) != ACME.value({"password": "1234"})


def test_two_members_that_become_one_name_are_both_kept() -> None:
    redacted = ACME.value({"a@x.test": 1, "A@x.test": 2})
    assert isinstance(redacted, dict)
    assert list(redacted.values()) == [1, 2]


def test_hashes_are_as_long_as_is_said() -> None:
    assert len(ACME.text("a@x.test").removeprefix("~email:").partition("@")[0]) * 4 == HASH_BITS


def test_what_is_no_json_is_redacted_as_text() -> None:
    assert b"a@x.test" not in ACME.document(b"plain, from a@x.test")
    assert ACME.document(b"\xff\xfe not text") == b"\xff\xfe not text"


# ---------------------------------------------------------------- the catalogue's rules


def test_the_catalogue_hides_more_and_keeps_some() -> None:
    by = Redactor(b"k" * 32, Redaction(paths=("$.notes[*].text", "$.profile"), keep=("$.support", "$..first_name")))
    redacted = by.value(
        {
            "notes": [{"text": "likes tea", "at": 1}],
            "profile": {"age": 36, "tags": ["vip"], "since": None},
            "support": "help@shop.test",
            "customer": {"first_name": "Ada", "last_name": "L"},
        }
    )
    assert isinstance(redacted, dict)
    shown = json.dumps(redacted)
    assert "likes tea" not in shown
    assert "vip" not in shown
    assert "36" not in redacted["profile"].values()  # type: ignore[union-attr]
    assert redacted["support"] == "help@shop.test"
    assert redacted["customer"]["first_name"] == "Ada"  # type: ignore[index, call-overload]
    assert "~name:" in redacted["customer"]["last_name"]  # type: ignore[index, call-overload, operator]


# ---------------------------------------------------------------- the judge


def redacted_ledger(ledger: Ledger) -> Ledger:
    return Ledger(
        replace(ledger.outcome, output=ACME.value(ledger.outcome.output)),
        tuple(replace(effect, data=ACME.value(effect.data)) for effect in ledger.effects),
    )


def mail(to: str, **more: Any) -> Ledger:
    return Ledger(
        Outcome("completed", {"sent": to}, started_at=1_772_445_600.0, finished_at=1_772_445_603.0),
        (Effect("email", "mail", "send", None, {"to": to, "subject": "Paid", **more}),),
    )


def verdict_of(legacy: Ledger, candidate: Ledger, known: Any = None) -> Verdict:
    redacted = [redacted_ledger(ledger) for ledger in (legacy, candidate)]
    return judge(redacted[0], redacted[1], Rules(), task="t", known=ACME.value(known), reason=None).verdict


@given(EMAILS)
def test_a_redacted_recipient_never_looks_born_in_the_run(email: str) -> None:
    hashed = ACME.text(email).rpartition("@")[0]
    assert take_apart(hashed).tokens == ()


@given(st.sampled_from(["phone", "first_name", "iban", "address1", "ssn", "ip"]), st.text(min_size=6, max_size=40))
def test_nor_does_anything_else_that_is_personal(name: str, value: str) -> None:
    redacted = ACME.value({name: value})
    assert isinstance(redacted, dict)
    if redacted[name] != value:
        assert take_apart(str(redacted[name]).rpartition("@")[0] or str(redacted[name])).tokens == ()


@given(EMAILS, EMAILS)
def test_a_wrong_recipient_is_found(one: str, other: str) -> None:
    known = {"email": one}
    assert verdict_of(mail(one), mail(one.upper()), known) is Verdict.match
    expected = Verdict.match if one.lower() == other.lower() else Verdict.mismatch
    assert verdict_of(mail(one), mail(other), known) is expected
    assert verdict_of(mail(one, about=one), mail(one, about=other), known) is expected


def test_a_wrong_recipient_that_looks_generated_is_found_too() -> None:
    one, other = "u4f9a81c2d3e4b5a6f7081920@x.test", "u0123456789abcdef01234567@x.test"
    assert verdict_of(mail(one), mail(other)) is Verdict.mismatch


def test_secrets_that_were_born_in_the_runs_are_no_difference() -> None:
    def reset(token: str) -> Ledger:
        return mail("a@x.test", reset_token=token, again=token)

    assert verdict_of(reset("aZ3kP9qLm2Xw8RtYv5Nc"), reset("Qw8eR7tY6uI5oP4aS3dF")) is Verdict.match
    # one that the event brought is no new one
    known = {"resetToken": "aZ3kP9qLm2Xw8RtYv5Nc"}
    assert verdict_of(reset("aZ3kP9qLm2Xw8RtYv5Nc"), reset("Qw8eR7tY6uI5oP4aS3dF"), known) is Verdict.mismatch
    # and one that looks like a word is compared as it stands
    assert verdict_of(reset("tomorrow"), reset("yesterday")) is Verdict.mismatch


class TestPeopleInFreeText:
    """Whom the event names by its members is hashed in whatever text its runs write."""

    @staticmethod
    def knowing(event: Any) -> Redactor:
        return Redactor(KEY, names=Redactor(KEY).names_in(orjson.dumps(event)))

    @pytest.mark.parametrize(
        "event",
        [
            {"customer": {"name": "Anna Meier"}},
            {"shipping_address": {"name": "Anna Meier"}},
            {"customerName": "  Anna  Meier "},
            {"to": "Anna Meier <anna@shop.test>"},
        ],
    )
    def test_a_subject_loses_the_name(self, event: Any) -> None:
        name = Redactor(KEY).value({"customer_name": "Anna Meier"})
        assert isinstance(name, dict)
        subject = self.knowing(event).value({"subject": "Hello Anna Meier, order 1001 of EUR 12.50 is on its way"})
        assert subject == {"subject": f"Hello {name['customer_name']}, order 1001 of EUR 12.50 is on its way"}

    @pytest.mark.parametrize("text", ["Hallo Meier!", "ANNA, hello", "<b>Anna</b>", '{"note": "for Anna"}', "Anna\n"])
    def test_parts_that_are_members_of_their_own_are_found_too(self, text: str) -> None:
        shown = self.knowing({"customer": {"first_name": "Anna", "last_name": "Meier"}}).value(text)
        assert isinstance(shown, str)
        assert "~name:" in shown
        assert not re.search("anna|meier", shown, re.IGNORECASE)

    @pytest.mark.parametrize(
        "text",
        [
            "Annapurna",
            "Johanna",
            "anna",
            "Meier & Sons",
            "Annas",
            "EUR",
            "2026-11-26T00:00:00Z",
            "~name:0011223344556677",
        ],
    )
    def test_what_only_looks_like_it_stays(self, text: str) -> None:
        assert self.knowing({"customer": {"first_name": "Anna", "name": "Anna Meier"}}).value(text) == text

    @pytest.mark.parametrize("name", ["order", "7", "", "A", "x" * 101, "Agent 47", "~name:0011223344556677"])
    def test_what_is_no_persons_name_is_not_looked_for(self, name: str) -> None:
        assert self.knowing({"customer": {"name": name}}).value(f"status: {name} 7 order") == f"status: {name} 7 order"

    def test_a_name_in_a_script_without_spaces_is_found(self) -> None:
        shown = self.knowing({"customer": {"name": "山田太郎"}}).value("山田太郎様、ありがとう")
        assert isinstance(shown, str)
        assert shown.startswith("~name:")
        assert shown.endswith("様、ありがとう")

    def test_the_name_of_a_thing_stays(self) -> None:
        assert self.knowing({"product": {"name": "Blue Mug"}}).value("1 x Blue Mug") == "1 x Blue Mug"

    def test_what_the_catalogue_keeps_is_not_looked_for(self) -> None:
        rules = Redaction(keep=("$.customer.name",))
        names = Redactor(KEY, rules).names_in(b'{"customer": {"name": "Anna Meier"}}')
        assert Redactor(KEY, rules, names).value("Hello Anna Meier") == "Hello Anna Meier"

    @given(st.text(max_size=60))
    def test_redacting_twice_changes_nothing(self, text: str) -> None:
        by = self.knowing({"customer": {"name": "Anna Meier", "first_name": "Name"}})
        once = by.value(f"{text} Anna Meier")
        assert by.value(once) == once


# ---------------------------------------------------------------- what is told apart fast

PIECES = st.sampled_from(
    [
        *("+1 (555) 010-0199", "4111 1111 1111 1111", "Bearer abc123def456ghi789", "tr_dev_abcdefghij", "a@b.test"),
        *("https://u:p@h.test/x", "?token=abc", "%40", "eyJhbGciOi.abcdefghij.x", "-----BEGIN PRIVATE KEY-----xx"),
        *("xoxb-1234567890", "whsec_abcdefgh", "signkey-abcdefgh", "shk_" + "a" * 16, "AKIA" + "A" * 16, "=", "~"),
        *("1234 5678 9012 3", "٤١١١١١١١١١١١١١١١", " ", "\n"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=4).map("".join)


@given(TEXTS)
def test_no_text_in_which_a_form_is_found_is_passed_over(text: str) -> None:
    hashed = FORMS.sub(lambda found: found.group() if found.lastgroup == "redacted" else "#", text)
    if len(text) >= 5 and hashed != text:
        assert may_have_forms(text) or not _has_something_to_hash(text)


def _has_something_to_hash(text: str) -> bool:
    return any(found.lastgroup not in ("redacted", None) for found in FORMS.finditer(text))


@given(TEXTS, st.booleans())
def test_a_document_whose_texts_have_words_is_known_by_its_bytes(text: str, escaped: bool) -> None:
    try:
        document = json.dumps({"a": {"b": [text]}}, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        return
    if may_have_forms(text, worded=True) and not may_have_forms(text, worded=False):
        assert has_words(document)


@given(
    st.recursive(
        st.one_of(TEXTS, TEXTS.map(lambda text: json.dumps([text])), st.integers(), st.none()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.one_of(TEXTS, st.sampled_from(["password", "name", "value", "customer", "to"])), inner),
        ),
        max_leaves=6,
    ),
    st.booleans(),
)
def test_what_is_plainly_silent_says_nothing_text_by_text(value: Any, escaped: bool) -> None:
    try:
        document = json.dumps(value, ensure_ascii=escaped).encode()
    except UnicodeEncodeError:
        return
    # A rule that finds nothing has the document gone through text by text.
    thorough = Redactor(KEY, Redaction(paths=("$.nowhere_at_all",)))
    assert ACME.document(document) == thorough.document(document)
    assert ACME.names_in(document) == thorough.names_in(document)


@given(st.text(max_size=20), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_other_encodings_hide_no_words(text: str, encoding: str) -> None:
    try:
        document = json.dumps({"a": text + " Bearer abc123def456ghi789"}, ensure_ascii=False).encode(encoding)
    except UnicodeEncodeError:
        return
    assert b"abc123def456ghi789".decode() not in ACME.document(document).decode(errors="replace")


PEOPLE = st.sampled_from(["Anna", "Anna Meier", "Zoë", 'O"Brien', "A/B", "Björn\tBorg"])


@given(PEOPLE, PEOPLE, st.one_of(TEXTS, st.builds("Hi {} there".format, PEOPLE)), st.booleans())
def test_a_document_is_looked_through_again_only_where_that_changes_it(
    one: str, other: str, note: str, escaped: bool
) -> None:
    try:
        document = json.dumps(
            {"customer": {"name": one}, "firstName": other, "note": note}, ensure_ascii=escaped
        ).encode()
    except UnicodeEncodeError:
        return
    names, redacted = ACME.names_and_document(document)
    assert names == ACME.names_in(document)
    again = Redactor(KEY, names=names).document(document)
    if not names.may_stand_in(redacted):
        assert again == redacted


# ---------------------------------------------------------------- members that are named twice


@pytest.mark.parametrize(
    "document",
    [
        b'{"email":"ada@shop.test","email":null}',
        b'{"password":"hunter2","n":1,"password":""}',
        b'[{"a":{"token":"hunter2hunter2","token":null}}]',
        b'{"email":"ada@shop.test","email":null,"q":"\\u0022\\u0022\\u0022\\u0022"}',
    ],
)
@pytest.mark.parametrize("embedded", [False, True])
def test_what_a_member_said_before_it_is_named_again_does_not_stay(document: bytes, embedded: bool) -> None:
    whole = orjson.dumps({"text": document.decode()}) if embedded else document
    redacted = ACME.document(whole)
    assert b"ada@" not in redacted and b"hunter2" not in redacted
    said = orjson.loads(redacted)
    assert (orjson.loads(said["text"]) if embedded else said) == orjson.loads(document)


@pytest.mark.parametrize("document", ['{ "a" : "x\\"y", "b": ["é", {"c": "\\\\"}] }', '{"a": "\\u00e9"}'])
def test_what_says_nothing_twice_stays_as_it_was_written(document: str) -> None:
    assert ACME.document(document.encode()) == document.encode()
    embedded = orjson.dumps({"text": document})
    assert ACME.document(embedded) == embedded


def test_what_is_kept_takes_no_more_memory_than_it_is_long() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [write_json({"number": number}) for number in range(1000)]
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 200 * len(kept)
