"""Mails that reach the same people and read the same are the same mail, and no others are."""

from __future__ import annotations

from base64 import b64encode

import pytest

from comparators import JSON, canonical
from comparators.kinds import normal
from comparators.kinds.address import recipients
from comparators.kinds.markup import seen
from comparators.kinds.text import line, lines


def mail(**members: JSON) -> JSON:
    return {"from": "shop@x.test", "to": ["ada@x.test"], "subject": "Hi", "html": "<p>Hello Ada</p>", **members}


def api(**members: JSON) -> JSON:
    return {"method": "POST", "path": "/emails", "content_type": "application/json", "body": mail(**members)}


PDF = b"%PDF-1.7"
LAID_OUT = """<!doctype html><html><head><title>T</title><style>p {color: red}</style></head><body>
  <table role="presentation" class="x1"><tr><td style="padding:0">Hello&nbsp;<b>Ada</b>&zwnj;</td></tr></table>
  <!--[if mso]><p>nobody reads this</p><![endif]-->
</body></html>"""

EQUAL: list[tuple[str, JSON, JSON]] = [
    ("one recipient as text", mail(to="ada@x.test"), mail(to=["ada@x.test"])),
    ("recipients in another order", mail(to="b@x.test, a@x.test"), mail(to=["a@x.test", "b@x.test"])),
    ("the case of a domain", mail(to="ada@X.Test"), mail()),
    ("a domain's encoding", mail(to="ada@xn--mnchen-3ya.de"), mail(to="ada@münchen.de")),
    ("a name that is the address", mail(to='"ada@x.test" <ada@x.test>'), mail()),
    ("a name in quotes", mail(to='"Ada" <ada@x.test>'), mail(to=[{"email": "ada@x.test", "name": "Ada"}])),
    ("a comma in a name", mail(to='"L, Ada" <ada@x.test>'), mail(to={"name": "L, Ada", "email": "ada@x.test"})),
    ("an encoded name", mail(to="=?utf-8?q?Ad=C3=A9?= <a@x.test>"), mail(to="Ade\u0301 <a@x.test>")),
    ("an encoded subject", mail(subject="=?UTF-8?B?R3LDvMOfZQ==?="), mail(subject="Grüße")),
    ("a composed letter", mail(subject="Gru\u0308ße"), mail(subject="Grüße")),
    ("blanks in a subject", mail(subject=" Hi  there\n"), mail(subject="Hi there")),
    ("how HTML is laid out", mail(html=LAID_OUT), mail()),
    ("an entity", mail(html="<p>Caf&eacute; &#38; Co</p>"), mail(html="<div>Café &amp; Co</div>")),
    (
        "a link's notation",
        mail(html='<a href="HTTPS://X.test?b=1&amp;a=2">x</a>'),
        mail(html="<a class=c href='https://x.test/?a=2&b=1'>x</a>"),
    ),
    ("line ends of a text", mail(text="Hello \r\n\r\n\r\n\r\nAda\r\n"), mail(text="Hello\n\nAda")),
    (
        "what is other in every mail",
        mail(headers={"X-Entity-Ref-ID": "1", "X-Kind": "order"}),
        mail(headers={"Message-ID": "<1@x>", "X-Kind": "order"}),
    ),
    (
        "attachments in another order",
        mail(attachments=[{"filename": "b", "content": ""}, {"filename": "a", "content": ""}]),
        mail(attachments=[{"filename": "a", "content": ""}, {"filename": "b", "content": ""}]),
    ),
    (
        "an attachment's base64",
        mail(attachments=[{"filename": "a.pdf", "content": b64encode(PDF).decode()}]),
        mail(attachments=[{"filename": "a.pdf", "content": {"type": "Buffer", "data": list[JSON](PDF)}}]),
    ),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_another_notation_of_a_mail_is_the_same_mail(one: JSON, other: JSON) -> None:
    assert normal("email", one) == normal("email", other)
    by_call: list[JSON] = [{"method": "POST", "path": "/emails", "body": body} for body in (one, other)]
    assert normal("http", by_call[0]) == normal("http", by_call[1])
    assert normal("email", by_call[0]) == normal("email", by_call[1])


WRAPPED: list[tuple[str, JSON, JSON, JSON]] = [
    (
        "Mandrill",
        {"key": "k", "message": mail(to=[{"email": "ada@X.test", "type": "to"}, {"email": "b@x.test", "type": "cc"}])},
        {"key": "k", "message": mail(to=[{"email": "b@x.test", "type": "cc"}, {"type": "to", "email": "ada@x.test"}])},
        {"key": "k", "message": mail(to=[{"email": "b@x.test", "type": "bcc"}, {"type": "to", "email": "ada@x.test"}])},
    ),
    (
        "Mailjet",
        {"Messages": [{"To": [{"Email": "ada@X.test", "Name": "Ada"}], "Subject": "Hi", "HTMLPart": "<p>Hi</p>"}]},
        {"Messages": [{"To": [{"Name": "Ada", "Email": "ada@x.test"}], "Subject": "Hi ", "HTMLPart": "<div>Hi"}]},
        {"Messages": [{"To": [{"Name": "Ada", "Email": "ada@x.test"}], "Subject": "Hi", "HTMLPart": "<p>Ho</p>"}]},
    ),
    (
        "SES",
        {
            "Destination": {"ToAddresses": ["ada@X.test", "b@x.test"]},
            "Content": {"Simple": {"Body": {"Html": {"Data": "<p>Hi</p>"}}}},
        },
        {
            "Destination": {"ToAddresses": ["b@x.test", "ada@x.test"]},
            "Content": {"Simple": {"Body": {"Html": {"Data": "<b>Hi</b>"}}}},
        },
        {
            "Destination": {"ToAddresses": ["ada@x.test"]},
            "Content": {"Simple": {"Body": {"Html": {"Data": "<p>Hi</p>"}}}},
        },
    ),
    (
        "Mailgun",
        {
            "to": [{"type": "text/plain", "content": "b@x.test"}, {"type": "text/plain", "content": "ada@x.test"}],
            "subject": {"type": "text/plain", "content": "Hi"},
            "html": {"type": "text/plain", "content": "<p>Hi</p>"},
        },
        {
            "to": {"type": "text/plain", "content": "ada@x.test, b@X.test"},
            "subject": {"type": "text/plain", "content": "Hi"},
            "html": {"type": "text/plain", "content": "<div>Hi</div>"},
        },
        {
            "to": {"type": "text/plain", "content": "ada@x.test, eve@x.test"},
            "subject": {"type": "text/plain", "content": "Hi"},
            "html": {"type": "text/plain", "content": "<p>Hi</p>"},
        },
    ),
]


@pytest.mark.parametrize(("one", "same", "other"), [row[1:] for row in WRAPPED], ids=[row[0] for row in WRAPPED])
def test_a_mail_is_known_in_the_ways_that_providers_wrap_it(one: JSON, same: JSON, other: JSON) -> None:
    said: list[JSON] = [normal("http", {"method": "POST", "path": "/", "body": body}) for body in (one, same, other)]
    assert said[0] == said[1]
    assert canonical(said[0]) != canonical(said[2])
    assert [normal("http", each) for each in said] == said


OTHER: list[tuple[str, JSON, JSON]] = [
    ("another recipient", mail(), mail(to=["bob@x.test"])),
    ("the case of a mailbox", mail(), mail(to=["Ada@x.test"])),
    ("one recipient more", mail(), mail(to=["ada@x.test", "bob@x.test"])),
    ("a recipient twice", mail(), mail(to=["ada@x.test", "ada@x.test"])),
    ("a copy", mail(to=["ada@x.test", "bob@x.test"]), mail(cc=["bob@x.test"])),
    ("a hidden copy", mail(cc=["bob@x.test"]), mail(bcc=["bob@x.test"])),
    ("a display name", mail(to="Ada <ada@x.test>"), mail(to="Eve <ada@x.test>")),
    ("another sender", mail(), mail(**{"from": "other@x.test"})),
    ("a header", mail(headers=[{"Name": "A", "Value": "1"}]), mail(headers=[{"Name": "A", "Value": "2"}])),
    ("another subject", mail(), mail(subject="HI")),
    ("a word", mail(), mail(html="<p>Hello Eve</p>")),
    ("an amount", mail(html="<p>You get 12.50</p>"), mail(html="<p>You get 12.5</p>")),
    ("an escape too many", mail(html="<p>A &amp; B</p>"), mail(html="<p>A &amp;amp; B</p>")),
    ("another target of a link", mail(html='<a href="/a">x</a>'), mail(html='<a href="/b">x</a>')),
    (
        "links swapped",
        mail(html='<a href="/a">x</a><a href="/b">y</a>'),
        mail(html='<a href="/b">x</a><a href="/a">y</a>'),
    ),
    ("another picture", mail(html='<img src="/a.png">'), mail(html='<img src="/b.png">')),
    ("no HTML", mail(), mail(html=None)),
    ("another line", mail(text="a\nb"), mail(text="a b")),
    (
        "another file",
        mail(attachments=[{"filename": "a", "content": "YQ=="}]),
        mail(attachments=[{"filename": "a", "content": "Yg=="}]),
    ),
    (
        "another name of a file",
        mail(attachments=[{"filename": "a", "content": "YQ=="}]),
        mail(attachments=[{"filename": "b", "content": "YQ=="}]),
    ),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_what_reaches_others_or_reads_otherwise_is_another_mail(one: JSON, other: JSON) -> None:
    assert canonical(normal("email", one)) != canonical(normal("email", other))


@pytest.mark.parametrize("data", [row[side] for row in (*EQUAL, *OTHER) for side in (1, 2)])
def test_a_mail_in_its_normal_form_stays(data: JSON) -> None:
    once = normal("email", data)
    assert normal("email", once) == once


def test_every_line_link_and_picture_is_read_in_its_order() -> None:
    html = (
        "<div style='display:none'>Preheader</div><h1>Order&nbsp;<em>1001</em></h1>"
        "<p>One<br>two <a href='https://x.test/o/1'>three</a></p><img src='https://x.test/a.png' alt='A hat'>"
    )
    assert seen(html) == {
        "lines": ["Preheader", "Order 1001", "One", "two three"],
        "links": ["https://x.test/o/1"],
        "images": [{"src": "https://x.test/a.png", "alt": "A hat"}],
    }


def test_html_nested_very_deeply_is_read_all_the_same() -> None:
    assert seen("<div>" * 5000 + "deep") == {"lines": ["deep"]}


def test_an_emoji_of_several_stays_one() -> None:
    assert line("👩\u200d💻 hi\u200b") == "👩\u200d💻 hi"
    assert lines("a\u00a0b\u2028c") == "a b\nc"


def test_what_is_redacted_already_is_an_address_too() -> None:
    told = "~name:1a2b3c4d5e6f7a8b <~email:1a2b3c4d5e6f7a8b@x.test>"
    assert recipients(told) == [{"address": "~email:1a2b3c4d5e6f7a8b@x.test", "name": "~name:1a2b3c4d5e6f7a8b"}]
    assert recipients(recipients(told)) == recipients(told)


@pytest.mark.parametrize("value", [12, {"account": "a"}, [{"email": "a@x.test", "amount": 1}], True])
def test_what_is_no_notation_of_addresses_stays(value: JSON) -> None:
    assert recipients(value) == value


def test_a_templates_data_stays_as_it_is() -> None:
    said: JSON = {"to": ["a@x.test"], "template_id": "d-1", "dynamic_template_data": {"to": "B, A", "text": "x\r\ny"}}
    assert normal("email", said) == said
