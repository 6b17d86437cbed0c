"""A path names what is below the base URL, however it is spelled, or it is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.egress.address import BadAddress, address


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"/v1/transfers", ("v1", "transfers")),
        (b"v1//transfers/", ("v1", "transfers")),
        (b"/a%2Fb/c%20d", ("a/b", "c d")),
        (b"/caf%C3%A9", ("café",)),
        (b"/v1/...", ("v1", "...")),
        (b"/a..b/.well-known", ("a..b", ".well-known")),
        (b"/", ()),
    ],
)
def test_paths_are_taken_apart(raw: bytes, segments: tuple[str, ...]) -> None:
    found = address(raw)
    assert found.segments == segments
    assert found.raw == (raw if raw.startswith(b"/") else b"/" + raw)  # and forwarded as they were spelled


@pytest.mark.parametrize(
    "raw",
    [
        b"/..",
        b"/v1/../admin",
        b"/v1/./x",
        b"/%2e%2e/admin",
        b"/%2E./admin",
        b"/%252e%252e/admin",
        b"/a%2f..%2fadmin",
        b"/a%5c..%5cadmin",
        b"/..;x=1/admin",
        b"/a\\..\\admin",
        b"//evil.example/x",
        b"/a b",
        b"/a%00b",
        b"/a%0d%0aHost:%20x",
        b"/a#b",
        b"/\xff",
        b"/%ff",
        b"/a%2525252561",
    ],
)
def test_what_would_leave_the_base_url_or_confuse_a_server_is_refused(raw: bytes) -> None:
    with pytest.raises(BadAddress):
        address(raw)


@given(st.lists(st.sampled_from(["..", ".", "a", "%2e", "%2e%2e", ".%2e", "%252e."]), min_size=1, max_size=5))
def test_no_spelling_of_climbing_gets_through(parts: list[str]) -> None:
    climbs = any(part != "a" for part in parts)
    raw = ("/" + "/".join(parts)).encode()
    if climbs:
        with pytest.raises(BadAddress):
            address(raw)
    else:
        assert address(raw).segments == tuple(parts)


@given(st.lists(st.text(st.characters(exclude_categories=["C"], exclude_characters="./\\%;"), min_size=1), max_size=4))
def test_encoded_segments_are_read_as_they_were_meant(segments: list[str]) -> None:
    raw = "/" + "/".join(quote(segment, safe="") for segment in segments)
    assert address(raw.encode()).segments == tuple(segments)
