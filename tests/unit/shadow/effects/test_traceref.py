"""Inngest's trace of a run, against the generator's published vectors and calls that a real server made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shadow.effects.traceref import chacha8rand, trace_in, trace_of_run

SEED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"
RECORDED = Path(__file__).parents[2] / "sandbox" / "inngest" / "transcripts" / "calls_to_app.jsonl"


def test_the_generator_gives_what_its_specification_says() -> None:
    given = chacha8rand(SEED, 2976)
    assert given[:32].hex() == "a516463d06b673b73cbc6aa622af60117c288d41d999258cd65cdc7e037ee07e"
    # Three turns: the key of each is the end of the one before.
    assert given[-32:].hex() == "fa19c615bd23b5edc023cc3ed57fd9024c376244a305afac1fa1ff4bd3c6d9dd"


@pytest.mark.parametrize("count", [0, 1, 16, 255, 256, 257, 991, 992, 993, 2000])
def test_a_shorter_output_is_the_beginning_of_a_longer_one(count: int) -> None:
    assert chacha8rand(SEED, count) == chacha8rand(SEED, 2976)[:count]


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has 5 bytes, expected 32"):
        chacha8rand(b"short", 1)


def test_every_recorded_run_has_the_trace_that_is_computed_for_it() -> None:
    calls = [json.loads(line)["headers"] for line in RECORDED.read_text().splitlines()]
    recorded = {(call["x-run-id"], trace_in(call["tracestate"])) for call in calls if "tracestate" in call}
    assert len(recorded) == 8
    assert recorded == {(run, trace_of_run(run)) for run, _trace in recorded}


def test_what_is_no_ulid_has_no_trace() -> None:
    assert trace_of_run("run_cm4x") is None


@pytest.mark.parametrize(
    "tracestate",
    [
        "",
        "vendor=1",
        "inngest@fn=44fb4df1-553c-5044-bc1b-a17ae200623d",
        "inngest@traceref=",
        "inngest@traceref=%7B",
        "inngest@traceref=%5B1%5D",
        "inngest@traceref=%7B%22tp%22%3A7%7D",
        "inngest@traceref=%7B%22tp%22%3A%2200-short-a583d07a84b937af-01%22%7D",
    ],
)
def test_a_tracestate_that_says_nothing_of_a_run_is_none(tracestate: str) -> None:
    assert trace_in(tracestate) is None


def test_the_entry_is_found_among_others() -> None:
    state = "vendor=x, inngest@traceref=%7B%22tp%22%3A%2200-40aa9a8613603eff20e29c3aa2deda6c-a583d07a84b937af-01%22%7D"
    assert trace_in(state) == "40aa9a8613603eff20e29c3aa2deda6c"
