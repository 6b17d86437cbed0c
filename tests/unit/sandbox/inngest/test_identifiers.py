"""Ids are those of the real server, checked against recorded ones."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from sandbox.inngest.identifiers import (
    app_uuid,
    function_uuid,
    is_ulid,
    new_job_id,
    new_ulid,
    parse_seed,
    queue_item_reference,
    run_trace_id,
    seeded_ulid,
)

CALLS = Path(__file__).parent / "transcripts" / "calls_to_app.jsonl"


def recorded_trace_ids() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in CALLS.read_text().splitlines():
        headers = json.loads(line)["headers"]
        if "tracestate" in headers:
            reference = re.search(r"traceref=([^,]+)", headers["tracestate"])
            assert reference is not None
            found[headers["x-run-id"]] = json.loads(unquote(reference[1]))["tp"].split("-")[1]
    return found


def test_a_seed_gives_the_ids_which_the_real_server_gave() -> None:
    seed = parse_seed("1795482488675,AAECAwQFBgcICQ==")
    assert seed is not None
    assert [seeded_ulid(seed, 0), seeded_ulid(seed, 1)] == [
        "01M85HH3V3000G40R40M30E20A",
        "01M85HH3V3000G40R40M30E20B",
    ]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "1795482488675",  # no entropy
        "now,AAECAwQFBgcICQ==",  # time is no number
        "1795482488675,AAEC",  # too little entropy
        "1795482488675,***",  # not base64
        "-1,AAECAwQFBgcICQ==",  # before any time
    ],
)
def test_a_malformed_seed_is_ignored(header: str | None) -> None:
    assert parse_seed(header) is None


@given(st.integers(1, 2**48 - 1), st.binary(min_size=10, max_size=10), st.integers(0, 4999))
def test_a_seeded_id_keeps_time_and_entropy_and_adds_the_position(millis: int, entropy: bytes, position: int) -> None:
    seed = parse_seed(f"{millis},{base64.b64encode(entropy).decode()}")
    assert seed == (millis, entropy)
    made = ULID.from_str(seeded_ulid(seed, position))
    assert made.milliseconds == millis
    assert made.bytes[6:12] == entropy[:6]
    tail = int.from_bytes(made.bytes[12:], "big")
    assert (tail - int.from_bytes(entropy[6:], "big")) % 2**32 == position + 1


def test_apps_and_functions_have_the_uuids_of_the_real_server() -> None:
    assert app_uuid("commerce") == "ba5b8388-058a-5897-a0f1-fed813c0bc09"
    uri = "http://localhost:3000/api/inngest?fnId=commerce-watch&stepId=step"
    assert function_uuid("watch", uri) == "2a3f9b03-a78d-5a8c-869c-71c4f96d30d9"


@pytest.mark.parametrize(("run_id", "trace_id"), sorted(recorded_trace_ids().items()))
def test_the_trace_id_of_a_run_follows_from_its_id_as_recorded(run_id: str, trace_id: str) -> None:
    assert run_trace_id(run_id) == trace_id


def test_random_ids_carry_their_time_and_differ() -> None:
    ids = {new_ulid(1_795_484_223_216) for _ in range(50)}
    assert len(ids) == 50
    assert all(is_ulid(each) and ULID.from_str(each).milliseconds == 1_795_484_223_216 for each in ids)


def test_a_job_is_named_in_base_36_and_referred_to_as_the_queue_does() -> None:
    assert re.fullmatch(r"[0-9a-z]+", new_job_id())
    assert queue_item_reference("1h6fv9gfl7jlw") == "MWg2ZnY5Z2ZsN2psdzo6ZGVmYXVsdA=="
