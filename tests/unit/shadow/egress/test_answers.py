"""Recorded answers for clients that take no compression: unpacked, unless that would be too much."""

from __future__ import annotations

import gzip

import pytest

from shadow.egress import answers
from shadow.egress.answers import Answer

ZIPPED = ((b"content-type", b"text/plain"), (b"Content-Encoding", b"gzip"))


def test_an_answer_is_unpacked_for_who_takes_it_plain_only() -> None:
    answer = Answer(200, ZIPPED, gzip.compress(b"hello"))
    assert answer.for_client("") == Answer(200, ZIPPED[:1], b"hello")
    assert answer.for_client("gzip, br") is answer


def test_a_bomb_stays_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_UNZIPPED", 1000)
    bomb = Answer(200, ZIPPED, gzip.compress(b"0" * 1001))
    assert bomb.for_client("") is bomb
    assert Answer(200, ZIPPED, gzip.compress(b"0" * 1000)).for_client("").body == b"0" * 1000


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"hello" * 100, mtime=0)[:-9]])
def test_what_is_broken_is_given_as_it_came(body: bytes) -> None:
    answer = Answer(200, ZIPPED, body)
    assert answer.for_client("") is answer
