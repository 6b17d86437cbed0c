"""An HTTP call as evidence: bodies by their content type, the same content with the same digest."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.effects.call import BodyRecorder, SeenBody, Unparsable, evidence, parsed_body, parsed_query


def seen(content: bytes, most: int = 1 << 20) -> SeenBody:
    recorder = BodyRecorder(most)
    for start in range(0, len(content), 7):
        recorder.feed(content[start : start + 7])
    return recorder.seen()


def body(content: bytes, content_type: str, encoding: str = "", most: int = 1 << 20) -> Any:
    return parsed_body(seen(content, most), content_type, encoding, most=most)


MULTIPART = (
    b'--X\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    b'--X\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n{"a": 1}\r\n'
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\r\n--X--\r\n"
)


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (b"", "application/json", None),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "application/vnd.api+json", {"a": 1}),
        (b"a=1&b=x+y&a=2&c=", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": "x y", "c": ""}),
        (b"hello", "text/plain", "hello"),
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
        (b"<a/>", "application/xml", "<a/>"),
    ],
)
def test_bodies_are_parsed_by_their_type(content: bytes, content_type: str, expected: Any) -> None:
    assert body(content, content_type) == expected
    if content:
        assert body(gzip.compress(content), content_type, "gzip") == expected


@pytest.mark.parametrize("number", ["1000000000000000000001", "-92238547758084444444", "1e30", "18446744073709551616"])
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ('{{"wei": {}}}', "application/json"),
        ("payload=[{}]", "application/x-www-form-urlencoded"),
        ('{{"query": "{{ a }}", "variables": {{"wei": {}}}}}', "application/json"),
    ],
)
def test_numbers_past_64_bits_are_kept_like_any_other(number: str, content: str, content_type: str) -> None:
    made = evidence("POST", "/a", {}, {}, body(content.format(number).encode(), content_type), content_type)
    assert repr(int(float(number)))[:5] in made.encoded().decode()


def test_calls_that_differ_beyond_a_floats_precision_differ() -> None:
    made = [
        evidence("POST", "/a", {}, {}, body(b'{"wei": %d}' % wei, "application/json")) for wei in (10**21, 10**21 + 1)
    ]
    assert made[0].digest != made[1].digest
    assert made[0].encoded() != made[1].encoded()


def test_parts_are_shown_without_their_boundary() -> None:
    found = body(MULTIPART, "multipart/form-data; boundary=X")
    assert found["note"] == {"type": "text/plain", "content": "hello"}
    assert found["meta"] == {"type": "application/json", "content": {"a": 1}}
    assert (found["file"]["filename"], found["file"]["type"]) == ("a.png", "image/png")
    assert found["file"]["content"]["bytes"] == 4
    again = body(MULTIPART.replace(b"--X", b"--other"), 'multipart/form-data; boundary="other"')
    assert again == found


def test_what_is_no_text_or_too_long_is_told_by_its_digest() -> None:
    binary = body(b"\x00\x01", "application/octet-stream")
    assert binary["bytes"] == 2
    assert body(b"\x00\x02", "") != binary
    long = body(b"x" * 100, "text/plain", most=50)
    assert long["bytes"] == 100
    # a small body that unpacks to a large one
    assert body(gzip.compress(b"x" * 100_000), "text/plain", "gzip", most=50_000)["bytes"] < 1000
    # an encoding that is not read here
    assert body(b"\x00", "application/json", "br")["bytes"] == 1


@pytest.mark.parametrize(
    ("content", "content_type", "encoding"),
    [
        (b"{no", "application/json", ""),
        (b"NaN", "application/json", ""),
        (b"\xff", "text/plain", ""),
        (b"x", "text/plain; charset=nothing", ""),
        (b"no gzip", "application/json", "gzip"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "application/json", "gzip"),
        (b"no parts", "multipart/form-data", ""),
        (b"\xff=1", "application/x-www-form-urlencoded", ""),
    ],
)
def test_what_is_not_what_it_says_can_not_be_parsed(content: bytes, content_type: str, encoding: str) -> None:
    with pytest.raises(Unparsable):
        body(content, content_type, encoding)


def test_a_query_is_told_without_the_credential() -> None:
    assert parsed_query(b"a=1&key=secret&a=2&empty=", without="key") == {"a": ["1", "2"], "empty": ""}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_calls_that_say_the_same_have_the_same_digest_and_no_others(one: Any, other: Any) -> None:
    digests = [evidence("POST", "/a", {}, {}, said).digest for said in (one, other)]
    same = one == other and repr(one) == repr(other)
    if same:
        assert digests[0] == digests[1]
    if one != other:
        assert digests[0] != digests[1]


def test_the_order_of_members_is_no_difference() -> None:
    spelled = [body(text, "application/json") for text in (b'{"a":1,"b":2}', b'{ "b": 2.0, "a": 1 }')]
    assert len({evidence("POST", "/a", {}, {}, said).digest for said in spelled}) == 1


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_recorder_keeps_all_or_nothing_and_always_the_digest(content: bytes, most: int) -> None:
    found = seen(content, most)
    assert found.size == len(content)
    assert found.content == (content if len(content) <= most else None)
    assert found.sha256 == seen(content).sha256
