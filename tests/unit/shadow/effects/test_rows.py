"""What a transaction left of its rows."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from shadow.effects.rows import Teller, transactions

COLUMNS = (("id", 23, True), ("status", 25, False))


def text(value: str) -> bytes:
    return value.encode() + b"\x00"


def relation(described: tuple[tuple[str, int, bool], ...] = COLUMNS) -> bytes:
    columns = b"".join(
        struct.pack("!B", key) + text(name) + struct.pack("!Ii", oid, -1) for name, oid, key in described
    )
    return b"R" + struct.pack("!I", 1) + text("public") + text("orders") + b"d" + struct.pack("!H", 2) + columns


def row(*values: Any) -> bytes:
    told = b""
    for value in values:
        told += b"n" if value is None else b"t" + struct.pack("!I", len(str(value))) + str(value).encode()
    return struct.pack("!H", len(values)) + told


def insert(*values: Any) -> bytes:
    return b"I" + struct.pack("!I", 1) + b"N" + row(*values)


def update(*values: Any) -> bytes:
    return b"U" + struct.pack("!I", 1) + b"N" + row(*values)


def delete(*values: Any) -> bytes:
    return b"D" + struct.pack("!I", 1) + b"K" + row(*values)


def told(content: bytes, prefix: str = "shadow") -> bytes:
    return b"M\x01" + struct.pack("!Q", 5) + text(prefix) + struct.pack("!I", len(content)) + content


def committed(*changes: bytes) -> list[tuple[str, str | None, Any]]:
    """(operation, identity, data) of all that one transaction left."""
    return [(effect.operation, effect.identity, dict(effect.data)) for effect in left(*changes)]


def left(*changes: bytes) -> Any:
    begin = b"B" + struct.pack("!QqI", 9, 1000, 7)
    commit = b"C\x00" + struct.pack("!QQq", 9, 10, 1000)
    return transactions([begin, relation(), *changes, commit], {"orders": ("id",)})[0].effects


def test_an_insert_and_an_update_leave_the_same() -> None:
    assert committed(insert(1, "paid")) == committed(update(1, "paid"))
    assert committed(insert(1, "paid")) == [("upsert orders", "1", {"id": 1, "status": "paid"})]


def test_only_the_last_state_of_a_row_was_seen_by_anybody() -> None:
    assert committed(insert(1, "new"), insert(2, "new"), update(1, "paid")) == [
        ("upsert orders", "2", {"id": 2, "status": "new"}),
        ("upsert orders", "1", {"id": 1, "status": "paid"}),
    ]


def test_a_row_that_came_and_went_was_seen_by_nobody() -> None:
    assert committed(insert(1, "new"), update(1, "paid"), delete(1, None)) == []


def test_a_row_that_was_there_before_and_came_again_has_changed() -> None:
    assert committed(delete(1, None), insert(1, "new")) == [("upsert orders", "1", {"id": 1, "status": "new"})]
    assert committed(delete(1, None), insert(1, "new"), delete(1, None)) == [("delete orders", "1", {"id": 1})]


def test_of_a_deleted_row_only_its_identity_is_told() -> None:
    assert committed(delete(1, None)) == [("delete orders", "1", {"id": 1})]


@pytest.mark.parametrize(
    ("content", "teller"),
    [
        (b'{"run": "r1", "task": "t", "attempt": 2, "event": "e"}', Teller("r1", "t", "e", 2)),
        (b'{"run": "r1", "attempt": "x"}', Teller("r1")),
        (b"run_cm1", Teller("run_cm1")),
        (b'"run_cm1"', Teller("run_cm1")),
        (b"{}", None),
        (b"[1]", None),
        (b"", None),
    ],
)
def test_whose_it_is_may_be_told_as_json_or_as_the_run_alone(content: bytes, teller: Teller | None) -> None:
    assert [effect.teller for effect in left(told(content), insert(1, "new"))] == [teller]


def test_what_was_changed_before_the_first_word_is_the_first_tellers() -> None:
    effects = left(insert(1, "a"), told(b"one"), insert(2, "b"), told(b"two"), insert(3, "c"))
    assert [effect.teller and effect.teller.run for effect in effects] == ["one", "one", "two"]


def test_others_messages_say_nothing() -> None:
    assert [effect.teller for effect in left(told(b"r1", "elsewhere"), insert(1, "new"))] == [None]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("12.50", "12.5"),
        ("12.5", "12.5"),
        ("12.00", "12"),
        ("1200", "1200"),
        ("0.00", "0"),
        ("-0.10", "-0.1"),
        ("123456789012345678901234567890.1230", "123456789012345678901234567890.123"),
        ("NaN", "NaN"),
    ],
)
def test_an_exact_number_is_a_text_whatever_its_scale(written: str, told: str) -> None:
    totals = relation((("id", 23, True), ("total", 1700, False)))
    begin, commit = b"B" + struct.pack("!QqI", 9, 1000, 7), b"C\x00" + struct.pack("!QQq", 9, 10, 1000)
    (transaction,) = transactions([begin, totals, insert(1, written), commit], {"orders": ("id",)})
    assert [dict(effect.data) for effect in transaction.effects] == [{"id": 1, "total": told}]
