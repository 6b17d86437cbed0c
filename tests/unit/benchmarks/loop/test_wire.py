"""HTTP messages out of a stream of bytes, however it is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loop.wire import Reader, answer

STREAM = b"POST /a HTTP/1.1\r\nX-Name: Value\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n" + answer(
    200, b"{}"
)


@given(st.sets(st.integers(1, len(STREAM) - 1)))
def test_messages_are_the_same_however_the_stream_is_cut(cuts: set[int]) -> None:
    reader = Reader()
    bounds = [0, *sorted(cuts), len(STREAM)]
    found = [message for start, end in pairwise(bounds) for message in reader.feed(STREAM[start:end])]
    assert [(message.start, message.body) for message in found] == [
        (b"POST /a HTTP/1.1", b"abc"),
        (b"GET /b HTTP/1.1", b""),
        (b"HTTP/1.1 200 OK", b"{}"),
    ]


def test_a_head_is_kept_as_it_came_and_in_lower_case() -> None:
    (message, *_rest) = Reader().feed(STREAM)
    assert b"X-Name: Value" in message.original
    assert b"x-name: value" in message.head
