"""What the judge gets to see of an answer: the ids in it, or nothing at all."""

from __future__ import annotations

import gzip

import pytest

from shadow.effects.answered import ids_of

JSON = ("Content-Type", "application/json; charset=utf-8")
TRANSFER = "tr_4f9a81c2d3e4b5a6"


@pytest.mark.parametrize(
    ("headers", "body", "has_it"),
    [
        ([JSON], f'{{"id": "{TRANSFER}", "amount": 5}}'.encode(), True),
        ([], f'{{"id": "{TRANSFER}"}}'.encode(), True),
        ([JSON, ("content-encoding", "gzip")], gzip.compress(f'["{TRANSFER}"]'.encode(), mtime=0), True),
        ([("content-type", "text/plain")], f"ok {TRANSFER}".encode(), True),
        ([("content-type", "application/x-www-form-urlencoded")], f"transfer[id]={TRANSFER}".encode(), True),
        # it was seen to hold none
        ([JSON], b"", False),
        ([JSON], b'{"ok": true}', False),
    ],
)
def test_the_ids_of_an_answer_are_kept(headers: list[tuple[str, str]], body: bytes, has_it: bool) -> None:
    kept = ids_of(body, headers)
    assert kept is not None
    assert (TRANSFER.encode() in kept) is has_it
    assert b"amount" not in kept


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([JSON, ("content-encoding", "br")], b"\x0b\x02"),
        ([JSON], b"<html>"),
        ([], b"\x89PNG"),
        ([("content-type", "image/png")], b"\x89PNG"),
        ([("content-type", "text/plain")], (TRANSFER + " ").encode() * 20_000),
    ],
)
def test_what_can_not_be_read_may_have_any_id_and_is_not_seen(headers: list[tuple[str, str]], body: bytes) -> None:
    assert ids_of(body, headers) is None
