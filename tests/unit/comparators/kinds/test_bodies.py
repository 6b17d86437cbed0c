"""Calls that ask the same in another notation are the same call, and no others are."""

from __future__ import annotations

import pytest

from comparators import JSON, canonical
from comparators.kinds import normal
from comparators.kinds.form import fields
from comparators.kinds.graphql_query import normal_query
from comparators.kinds.headers import content_type, telling
from comparators.kinds.url import url

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary="


def call(body: JSON, media: str = "application/json", **more: JSON) -> JSON:
    return {"method": "POST", "path": "/v1/x", "content_type": media, "body": body, **more}


def parts(boundary: str, *pieces: tuple[str, str]) -> str:
    said = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n" for head, text in pieces)
    return f"{said}--{boundary}--\r\n"


NOTE, FILE = ('name="note"', "hello"), ('name="file"; filename="a.png"\r\nContent-Type: image/png', "PNG-1")

EQUAL: list[tuple[str, JSON, JSON]] = [
    ("JSON as text", call('{"b": 1.0, "a": "\\u00e9"}'), call({"a": "é", "b": 1})),
    ("a method in lower case", call(None, method="post"), call(None, method="POST")),
    ("an escape that needs none", call(None, path="/v1/%7eada/%c3%a9"), call(None, path="/v1/~ada/%C3%A9")),
    ("a query as text", call(None, query="?b=2&a=1&a=0"), call(None, query={"a": ["1", "0"], "b": "2"})),
    ("a query as pairs", call(None, query=[["b", "2"], ["a", "1"]]), call(None, query={"a": "1", "b": "2"})),
    ("the order of a URL's parameters", {"url": "HTTPS://X.test:443?b=2&a=%7e"}, {"url": "https://x.test/?a=~&b=2"}),
    ("a form's order of fields", call("a=1&b%5Bc%5D=2", FORM), call("b[c]=2&a=1", FORM)),
    ("a form that was recorded as fields", call({"b[c]": "2", "a": "1"}, FORM), call("b[c]=2&a=1", FORM)),
    ("a form's array", call("expand[0]=a&expand[1]=b", FORM), call("expand[]=a&expand[]=b", FORM)),
    ("JSON in a form", call('blocks=[{"a": 1, "b": 2}]', FORM), call('blocks=[{"b":2.0,"a":1}]', FORM)),
    ("a boundary", call(parts("X", NOTE, FILE), MULTIPART + "X"), call(parts("Y", FILE, NOTE), MULTIPART + '"Y"')),
    (
        "parts as they were once recorded",
        call([{"name": "note", "type": "text/plain", "content": "hello"}], MULTIPART + "X"),
        call(parts("X", NOTE), MULTIPART + "X"),
    ),
    (
        "how a GraphQL query is laid out",
        call({"query": "query Q($b: Int, $a: ID!) { order(id: $a, first: $b) { id total } }", "variables": None}),
        call({"query": "query Q($a:ID!,$b:Int){\n# which\norder(first:$b id:$a){total,id}}", "operationName": None}),
    ),
    (
        "GraphQL in a form",
        call({"query": "{a}", "variables": {"n": 1}}, FORM),
        call('query={ a }&variables={"n":1.0}', FORM),
    ),
    ("GraphQL as text", call("{ a(y: 1, x: 2) }", "application/graphql"), call("{a(x:2,y:1)}", "application/graphql")),
    (
        "XML's prefixes and indentation",
        call('<p:a xmlns:p="u" x="1" y="2">\n  <p:b>t</p:b>\n</p:a>', "text/xml"),
        call('<?xml version="1.0"?><a xmlns="u" y="2" x="1"><b>t</b></a>', "text/xml"),
    ),
    ("line ends", call("a\r\nb", "text/plain"), call("a\nb", "text/plain")),
    (
        "header noise",
        call({}, headers={"Content-Type": 'application/json; charset="UTF-8"', "User-Agent": "node", "Sec-Fetch": "x"}),
        call({}, headers=[["content-type", "Application/JSON"], ["traceparent", "00-a-b-01"], ["Accept", "*/*"]]),
    ),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_another_notation_of_a_call_is_the_same_call(one: JSON, other: JSON) -> None:
    assert normal("http", one) == normal("http", other)
    assert canonical(normal("http", one)) == canonical(normal("http", other))


OTHER: list[tuple[str, JSON, JSON]] = [
    ("a number as text", call({"a": 12}), call({"a": "12"})),
    ("null for nothing", call({"a": None}), call({})),
    ("another path", call(None, path="/v1/a%2Fb"), call(None, path="/v1/a/b")),
    ("the order of a repeated parameter", call(None, query="a=1&a=2"), call(None, query="a=2&a=1")),
    ("one parameter more", call(None, query="a=1"), call(None, query="a=1&b=")),
    ("the order of an array in a form", call("a[]=1&a[]=2", FORM), call("a[]=2&a[]=1", FORM)),
    ("an array of one in a form", call("a[]=1", FORM), call("a=1", FORM)),
    ("a nested field of a form", call("m[a]=1", FORM), call("m[b]=1", FORM)),
    ("a form against JSON", call("a=1", FORM), call({"a": 1})),
    ("a content type", call({"a": 1}), call({"a": 1}, "application/vnd.api+json")),
    (
        "a file's content",
        call(parts("X", FILE), MULTIPART + "X"),
        call(parts("X", (FILE[0], "PNG-2")), MULTIPART + "X"),
    ),
    (
        "a part's name",
        call(parts("X", NOTE), MULTIPART + "X"),
        call(parts("X", ('name="not"', "hello")), MULTIPART + "X"),
    ),
    ("a field of a query", call({"query": "{ a { id total } }"}), call({"query": "{ a { id tax } }"})),
    ("an argument of a query", call({"query": "{ a(id: 1) }"}), call({"query": "{ a(id: 2) }"})),
    ("an alias of a query", call({"query": "{ x: a }"}), call({"query": "{ y: a }"})),
    ("a variable", call({"query": "{ a }", "variables": {"n": 1}}), call({"query": "{ a }", "variables": {"n": 2}})),
    ("the order of mutations", call({"query": "mutation { pay mail }"}), call({"query": "mutation { mail pay }"})),
    ("an attribute of XML", call('<a x="1"/>', "text/xml"), call('<a x="2"/>', "text/xml")),
    ("the text of XML", call("<a>1 </a>", "text/xml"), call("<a>1</a>", "text/xml")),
    ("the order of XML", call("<a><b/><c/></a>", "text/xml"), call("<a><c/><b/></a>", "text/xml")),
    ("a header", call({}, headers={"Stripe-Version": "1"}), call({}, headers={"Stripe-Version": "2"})),
    ("text that merely begins like JSON", call("{no"), call("{yes")),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_what_asks_for_something_else_is_another_call(one: JSON, other: JSON) -> None:
    assert canonical(normal("http", one)) != canonical(normal("http", other))


@pytest.mark.parametrize("data", [row[side] for row in (*EQUAL, *OTHER) for side in (1, 2)])
def test_a_call_in_its_normal_form_stays(data: JSON) -> None:
    once = normal("http", data)
    assert normal("http", once) == once


def test_a_form_is_nested_as_stripe_writes_it() -> None:
    assert fields("amount=12550&transfer_data[destination]=acct_1&metadata[order][id]=9&expand[]=a&expand[]=b") == {
        "amount": "12550",
        "transfer_data": {"destination": "acct_1"},
        "metadata": {"order": {"id": "9"}},
        "expand": ["a", "b"],
    }
    assert fields("items[0][price]=p1&items[0][quantity]=2&items[1][price]=p2") == {
        "items": [{"price": "p1", "quantity": "2"}, {"price": "p2"}]
    }
    assert fields("items[][price]=p1&items[][price]=p2") == {"items": [{"price": "p1"}, {"price": "p2"}]}


def test_names_that_contradict_each_other_stay_as_they_are() -> None:
    assert fields("a=1&a[b]=2") == {"a": "1", "a[b]": "2"}
    assert fields("a[b]=1&a[b][c]=2&d=3") == {"a[b]": "1", "a[b][c]": "2", "d": "3"}


@pytest.mark.parametrize("text", ["shoes", "{ unclosed", "", "{" * 5000, "query { a } trailing"])
def test_what_is_no_graphql_is_none(text: str) -> None:
    assert normal_query(text) is None
    assert normal("http", call({"query": text})) == call({"query": text})


def test_xml_with_entities_of_its_own_is_text() -> None:
    text = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    assert normal("http", call(text, "text/xml")) == call(text, "text/xml")


def test_a_content_type_keeps_what_it_says() -> None:
    assert (
        content_type("Text/Plain; Format=flowed; charset=ISO-8859-1") == "text/plain; charset=iso-8859-1; format=flowed"
    )


@pytest.mark.parametrize("text", ["", "no url", "http://[broken", "/a?b", "mailto:ada@x.test", "//x.test", "?a", "#a"])
def test_what_is_hardly_a_url_stays_what_it_is(text: str) -> None:
    assert url(url(text)) == url(text)


def test_what_was_reported_without_a_call_around_it_is_a_body() -> None:
    said: JSON = {"query": "{ a(y: 1, x: 2) }", "variables": {}}
    assert normal("http", said) == {"query": "{\n  a(x: 2, y: 1)\n}"}
    assert normal("http", {"amount": 5}) == {"amount": 5}


def test_a_row_may_have_columns_named_like_a_call() -> None:
    row: JSON = {"method": "post", "body": '{"a":1}', "path": "/%7e"}
    assert normal("sql", row) == row


@pytest.mark.parametrize(
    "name",
    ["stripe-account", "stripe-version", "openai-organization", "x-tenant-id", "x-shopify-api-version", "if-match"],
)
def test_a_header_that_says_on_whose_behalf_or_in_which_version_is_kept(name: str) -> None:
    assert telling({name: "acct_1", "user-agent": "node"}) == {name: "acct_1"}
    assert telling({name: "acct_1"}, without={name}) == {}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authorization",
            "x-account-token",
            "cookie",
            "x-api-key",
            "x-shop-access-token",
            "x-shadow-task",
            "x-version",
        ),
        *("x-sdk-version", "x-stripe-client-user-agent", "x-request-id", "idempotency-key", "x-custom", "accept"),
    ],
)
def test_other_headers_are_up_to_libraries_or_secret(name: str) -> None:
    assert telling({name: "v"}) == {}
