"""Sealed bodies open for their own key and place, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.model.ids import first_id_at, new_id
from shadow.sealing.sealed import Tampered, TenantKey, key_of
from shadow.store import codec

KEY = TenantKey(new_id(), "acme", b"k" * 32)
OTHER = TenantKey(new_id(), "acme", b"o" * 32)
BODY = new_id().bytes


@given(st.binary(max_size=3000), st.uuids(), st.sampled_from(["data", "request", "answer"]))
def test_what_is_sealed_opens_again(content: bytes, body: UUID, part: str) -> None:
    stored = KEY.seal(body.bytes, part, content)
    assert KEY.open(body.bytes, part, stored) == content
    assert codec.is_sealed(stored)
    assert key_of(stored) == KEY.id
    assert len(content) < 8 or content not in stored


def test_it_is_sealed_anew_each_time() -> None:
    assert KEY.seal(BODY, "data", b"x") != KEY.seal(BODY, "data", b"x")


@pytest.mark.parametrize(
    ("key", "body", "part"),
    [
        (KEY, new_id().bytes, "data"),  # passed off as another event's
        (KEY, BODY, "headers"),  # as another part of the same
        (OTHER, BODY, "data"),  # under another key
        (KEY, first_id_at(datetime(2020, 1, 1, tzinfo=UTC)).bytes, "data"),  # as that of another day
    ],
    ids=["another event", "another part", "another key", "another day"],
)
def test_it_opens_nowhere_else(key: TenantKey, body: bytes, part: str) -> None:
    with pytest.raises(Tampered, match=part):
        key.open(body, part, KEY.seal(BODY, "data", b"secret"))


@given(st.integers(min_value=17, max_value=60), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(position: int, by: int) -> None:
    stored = bytearray(KEY.seal(BODY, "data", b"0123456789abcdef"))
    stored[position] ^= by
    with pytest.raises(Tampered):
        KEY.open(BODY, "data", bytes(stored))


def test_days_that_take_turns_are_sealed_by_their_own_ciphers() -> None:
    """Also the first and the last that an id can tell."""
    day = timedelta(days=1)
    midnight = datetime(2026, 11, 26, tzinfo=UTC)
    moments = [
        midnight - timedelta(milliseconds=1),
        midnight,
        midnight + day - timedelta(milliseconds=1),
        midnight + day,
    ]
    bodies = [first_id_at(moment).bytes for moment in moments] + [bytes(16), b"\xff" * 16]
    order = [*bodies, *reversed(bodies), *bodies]
    used = TenantKey(KEY.id, "acme", b"k" * 32)
    stored = [used.seal(body, "data", b"x") for body in order]
    for body, one in zip(order, stored, strict=True):
        assert TenantKey(KEY.id, "acme", b"k" * 32).open(body, "data", one) == used.open(body, "data", one) == b"x"
    assert len(used._ciphers) == 5


def test_the_evidence_key_is_another_and_its_tag_fits_its_place() -> None:
    assert KEY.evidence not in (b"k" * 32, OTHER.evidence)
    stored = codec.encode_evidence(b"{}", KEY.tag)
    assert codec.evidence_tag(stored) == KEY.tag != OTHER.tag
    assert codec.decode(stored) == b"{}"


def test_a_codec_does_not_open_what_is_sealed() -> None:
    with pytest.raises(codec.BodyIsSealed):
        codec.decode(KEY.seal(BODY, "data", b"x"))
