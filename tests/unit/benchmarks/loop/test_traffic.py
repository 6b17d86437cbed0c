"""What producers and workers send in the loop is what the doors and the front take."""

from __future__ import annotations

import hashlib
import hmac

import orjson
import pytest

from benchmarks.loop.catalogue import TASK, catalogue
from benchmarks.loop.traffic import (
    EFFECTS,
    Run,
    born,
    calls,
    effects_report,
    inngest_request,
    outcomes_report,
    watched,
    webhook_request,
)
from benchmarks.loop.wire import Message, Reader
from shadow.catalogue import load
from shadow.catalogue.model import Side
from shadow.intake import inngest_events
from shadow.outcomes.reported import effects_of, runs_of

NOW = 1_780_000_000_000
RUNS = [Run("candidate", f"01RUN{number}", number, f"loop-1-{number}") for number in range(3)]


def message(request: bytes) -> Message:
    """The one request that this is."""
    (only,) = Reader().feed(request)
    return only


def test_an_array_has_each_event_once() -> None:
    events = inngest_events.parse(message(inngest_request(range(5, 15), 1, NOW)).body)
    assert [event.id for event in events] == [f"loop-1-{number}" for number in range(5, 15)]


def test_a_webhook_differs_from_the_next_one() -> None:
    assert message(webhook_request(1, 1)).body != message(webhook_request(2, 1)).body


def test_a_report_has_five_effects_of_each_run() -> None:
    effects = effects_of(message(effects_report(RUNS, NOW)).body)
    assert [effect.run for effect in effects] == [run.name for run in RUNS for _ in range(EFFECTS)]


def test_outcomes_name_their_events(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("loop") / "catalogue.yaml"
    path.write_text(catalogue(9, gateway=False))
    outcomes = runs_of(message(outcomes_report(RUNS, NOW)).body, Side.CANDIDATE, load(path))
    assert [(outcome.task, outcome.event_id) for outcome in outcomes] == [(TASK, run.event) for run in RUNS]


@pytest.mark.parametrize("gateway", [False, True])
def test_the_catalogue_can_be_loaded(tmp_path_factory: pytest.TempPathFactory, *, gateway: bool) -> None:
    path = tmp_path_factory.mktemp("loop") / "catalogue.yaml"
    path.write_text(catalogue(9, gateway=gateway))
    assert bool(load(path).targets) is gateway


def test_both_sides_do_the_same_but_for_ids_of_their_own() -> None:
    legacy, candidate = Run("legacy", "run_7", 7, None), Run("candidate", "01RUN7", 7, "loop-1-7")
    assert born(legacy) != born(candidate)
    said = {
        run.side: [
            (effect.kind, effect.target, effect.operation, effect.data.replace(born(run), b"BORN"))
            for effect in effects_of(message(effects_report([run], NOW)).body)
        ]
        for run in (legacy, candidate)
    }
    assert said["legacy"] == said["candidate"]


def test_a_call_to_the_watcher_is_signed_as_the_platform_signs() -> None:
    call = message(watched(RUNS[1], NOW))
    said = orjson.loads(call.body)
    assert (said["event"]["data"]["event"]["id"], said["event"]["data"]["run_id"]) == (RUNS[1].event, RUNS[1].name)
    canonical = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    assert canonical == call.body
    signature = hmac.new(b"12345678", canonical + b"%d" % (NOW // 1000), hashlib.sha256).hexdigest()
    assert f"t={NOW // 1000}&s={signature}".encode() in call.original


def test_a_run_makes_five_calls() -> None:
    assert len([message(call) for call in calls(RUNS[0], b"key")]) == EFFECTS
