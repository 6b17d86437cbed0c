"""Ids: derived ones are stable and stay in their parent's partition; seeds give the ULIDs that Inngest gives."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import RFC_4122, UUID, SafeUUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.model.ids import Seed, derived_id, first_id_at, id_of, new_id, text_of, time_of

seeds = st.builds(Seed, st.integers(0, (1 << 48) - 1), st.binary(min_size=10, max_size=10))


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_derived_id_is_always_the_same_and_has_its_parents_time(parts: list[str]) -> None:
    parent = new_id()
    child = derived_id(parent, *parts)
    assert child == derived_id(parent, *parts)
    assert child.version == 7
    assert time_of(child) == time_of(parent)


def test_a_derived_id_never_changes_for_what_is_stored_has_it() -> None:
    child = derived_id(UUID("01938b6c-5e00-7000-8000-000000000001"), "process-payout", "legacy")
    assert child == UUID("01938b6c-5e00-707b-85a9-84795db2bb7b")
    assert (str(child), hash(child), child.variant, child.is_safe) == (
        str(UUID(int=child.int)),
        hash(UUID(int=child.int)),
        RFC_4122,
        SafeUUID.unknown,
    )


@given(st.uuids())
def test_the_bytes_of_an_id_are_as_good_as_the_id(identifier: UUID) -> None:
    made = id_of(identifier.bytes)
    assert (made, str(made), hash(made)) == (identifier, str(identifier), hash(identifier))
    assert text_of(identifier.bytes) == str(identifier)


def test_derived_ids_differ_by_parent_and_by_parts() -> None:
    one, other = new_id(), new_id()
    assert len({derived_id(one, "a"), derived_id(one, "b"), derived_id(one, "a", "b"), derived_id(other, "a")}) == 4
    assert derived_id(one, "ab") != derived_id(one, "a", "b")


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_the_first_id_of_a_moment_bounds_what_is_made_from_it_on(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    assert time_of(first_id_at(moment)) == moment
    assert first_id_at(moment) < first_id_at(moment + timedelta(milliseconds=1))


@given(seeds)
def test_a_seeds_header_reads_back(seed: Seed) -> None:
    assert Seed.parse(seed.header()) == seed


@given(seeds, st.integers(0, 5000), st.integers(0, 5000))
def test_an_event_keeps_its_ulid_wherever_its_request_starts(seed: Seed, start: int, position: int) -> None:
    assert seed.shifted(start).ulid(position) == seed.ulid(start + position)


@given(seeds, st.sampled_from([b"\x00\x00\x00\x00", b"\x12\x34\x57\xf0", b"\xff\xff\xfc\x01", b"\xff\xff\xff\xfe"]))
def test_the_ulids_of_a_request_are_those_of_its_positions(seed: Seed, counter: bytes) -> None:
    seed = Seed(seed.milliseconds, seed.entropy[:-4] + counter)  # some that roll over soon
    assert list(islice(seed.ulids(), 2100)) == [seed.ulid(position) for position in range(2100)]


@pytest.mark.parametrize(
    "header",
    [
        "",  # nothing
        "abc," + b64encode(bytes(10)).decode(),  # no number
        "1795486934989",  # no entropy
        "1795486934989," + b64encode(bytes(9)).decode(),  # too short
        "1795486934989,!!!!",  # not base64
        f"{1 << 48}," + b64encode(bytes(10)).decode(),  # beyond a ULID's time
        "-1," + b64encode(bytes(10)).decode(),  # before any time
    ],
)
def test_a_malformed_seed_is_no_seed(header: str) -> None:
    assert Seed.parse(header) is None


def test_the_ulid_is_time_and_entropy_counted_from_one() -> None:
    seed = Seed(1, bytes(6) + b"\x00\x00\x00\xff")
    value = int.from_bytes((1).to_bytes(6, "big") + bytes(6) + (0x100).to_bytes(4, "big"), "big")
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    expected = "".join(alphabet[value >> shift & 31] for shift in range(125, -1, -5))
    assert seed.ulid(0) == expected


def test_new_ids_are_version_7_and_of_now() -> None:
    made: UUID = new_id()
    assert made.version == 7
    assert abs(datetime.now(UTC) - time_of(made)) < timedelta(seconds=5)


def test_before_1970_every_id_is_later() -> None:
    assert first_id_at(datetime(754, 3, 8, tzinfo=UTC)) == UUID(int=0)
