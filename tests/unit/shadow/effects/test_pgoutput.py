"""Logical decoding's messages, as a real PostgreSQL 18 wrote them (transcripts/pgoutput.json), and spoilt ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.effects.pgoutput import UNCHANGED, Change, Emitted, Message, Reader, RowChange, Unreadable
from shadow.effects.rows import Teller, Transaction, transactions

RECORDED = [
    bytes.fromhex(message)
    for _lsn, message in json.loads((Path(__file__).parent / "transcripts" / "pgoutput.json").read_text())
]
TABLES = {"orders": ("id",), "public.whole": ("id",)}


def read(messages: list[bytes]) -> list[Message]:
    reader = Reader()
    return [said for message in messages for said in reader.read(message)]


def recorded() -> list[Transaction]:
    return transactions(RECORDED, TABLES)


def test_every_recorded_message_is_understood() -> None:
    changes = [message for message in read(RECORDED) if isinstance(message, RowChange)]
    assert [(change.change, change.relation.name) for change in changes] == [
        (Change.INSERT, "orders"),
        (Change.INSERT, "whole"),
        (Change.UPDATE, "orders"),
        (Change.UPDATE, "orders"),  # of the key
        (Change.UPDATE, "whole"),
        (Change.DELETE, "whole"),
        (Change.DELETE, "orders"),
        (Change.TRUNCATE, "orders"),
        (Change.TRUNCATE, "whole"),
    ]


def test_a_large_value_that_an_update_left_alone_is_not_told() -> None:
    update = next(
        message for message in read(RECORDED) if isinstance(message, RowChange) and message.change == "update"
    )
    assert update.new is not None
    assert update.new["big"] is UNCHANGED
    assert update.new["status"] == "paid"


def test_messages_of_the_application_come_along() -> None:
    said = [message for message in read(RECORDED) if isinstance(message, Emitted)]
    assert [(each.transactional, each.prefix) for each in said] == [(True, "shadow"), (False, "elsewhere")]


def test_values_become_json_by_their_type() -> None:
    row = dict(recorded()[0].effects[0].data)
    assert len(row.pop("big")) == 12_800
    assert row == {
        "id": 7,
        "status": "new",
        "total": "12.5",  # exact, as numeric is, whatever its scale
        "tags": {"a": [1]},
        "paid": True,
        "at": "2026-05-01T12:00:00+00:00",
    }


def test_a_transaction_says_whose_it_is_and_what_it_left() -> None:
    first, second, *_rest = recorded()
    teller = Teller(run="01RUN", task="order-sync", attempt=2)
    assert [(effect.operation, effect.identity, effect.teller) for effect in first.effects] == [
        ("upsert orders", "7", teller),
        ("upsert public.whole", "1", teller),
    ]
    assert [(effect.operation, effect.teller) for effect in second.effects] == [("upsert orders", None)]


def test_a_change_of_the_key_is_the_end_of_one_row_and_another() -> None:
    effects = recorded()[2].effects
    assert [(effect.operation, effect.identity) for effect in effects] == [
        ("delete orders", "7"),
        ("upsert orders", "8"),
    ]
    assert effects[0].data == {"id": 7}


def test_a_truncation_has_no_rows() -> None:
    assert [(effect.operation, effect.identity) for effect in recorded()[-1].effects] == [
        ("truncate orders", None),
        ("truncate public.whole", None),
    ]


def test_tables_that_are_not_declared_do_not_count() -> None:
    assert {effect.operation for one in transactions(RECORDED, {"whole": ()}) for effect in one.effects} == {
        "upsert whole",
        "delete whole",
        "truncate whole",
    }


def test_reading_again_gives_the_same_ids() -> None:
    def ids(found: list[Transaction]) -> list[str]:
        return [str(one.effect_id("shop:legacy", ordinal)) for one in found for ordinal in range(len(one.effects))]

    assert ids(recorded()) == ids(recorded())
    assert len(set(ids(recorded()))) == len(ids(recorded()))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b"", "cut short"),
        (b"Z", "of kind 'Z'"),
        (b"B\x00", "cut short"),
        (b"I\x00\x00\x40\x00N\x00\x00", "relation 16384, which was not described"),
        (b"T\x00\x00\x00\x02\x00\x00\x00\x00\x01", "truncation of 2 tables"),
        (b"M\x01" + bytes(8) + b"shadow", "without its end"),
        (RECORDED[0] + b"\x00", "1 bytes too many"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        Reader().read(message)


@pytest.mark.parametrize("message", [RECORDED[-1], next(each for each in RECORDED if each[:1] == b"R")])
def test_what_stands_outside_of_a_transaction_is_refused_or_says_nothing(message: bytes) -> None:
    if message[:1] == b"C":
        with pytest.raises(Unreadable, match="did not begin"):
            transactions([message], TABLES)
    else:
        assert transactions([message], TABLES) == []


@given(st.integers(0, len(RECORDED) - 1), st.integers(0, 200), st.binary(max_size=4))
def test_a_spoilt_message_never_breaks_the_reader_otherwise(index: int, at: int, noise: bytes) -> None:
    spoilt = RECORDED[index][:at] + noise + RECORDED[index][at + len(noise) :]
    with contextlib.suppress(Unreadable):
        transactions([*RECORDED[:index], spoilt, *RECORDED[index + 1 :]], TABLES)


@given(st.binary(max_size=60))
def test_nor_does_anything_else(message: bytes) -> None:
    with contextlib.suppress(Unreadable):
        Reader().read(message)
