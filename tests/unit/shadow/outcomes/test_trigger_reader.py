"""What Trigger.dev's API says of runs, as recorded from a running server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from shadow.catalogue.model import TriggerPlatform
from shadow.model.ids import new_id
from shadow.outcomes.outcome import RunOutcome, Status
from shadow.outcomes.reader import AskedToWait, Awaited
from shadow.outcomes.trigger_children import TriggerChildren
from shadow.outcomes.trigger_reader import TriggerReader
from shadow.platforms.trigger_api import Refused, TriggerApi
from shadow.store.database import Database
from tests.unit.sandbox.trigger_dev.transcripts import read
from tests.unit.shadow.outcomes.reading import FreePermits, nobody, read_all
from tests.unit.shadow.platforms.platforms import Wire, catalogue

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


def awaited(run: str | None = "run_x", *, polls: int = 0, at: datetime = NOW) -> Awaited:
    return Awaited(new_id(), "sync", run, polls, "o-1", "order/created", None, at, at)


async def lookup(host: str, port: int) -> Sequence[str]:
    return {"store": ["192.0.9.1"], "inside": ["10.0.0.7"], "trigger": ["1.1.1.1"]}[host]


def reader(wire: Wire) -> TriggerReader:
    platform = catalogue().platforms["trigger"]
    assert isinstance(platform, TriggerPlatform)
    return TriggerReader("trigger", TriggerApi(platform, wire.client, lookup=lookup), catalogue())


async def outcome_of(transcript: str) -> RunOutcome | None:
    exchange = read(transcript)
    wire = Wire(lambda request: httpx.Response(exchange.status, content=exchange.answer))
    outcomes = await read_all(reader(wire), [awaited()])
    assert len(outcomes) <= 1
    return outcomes[0] if outcomes else None


@pytest.mark.parametrize(
    ("transcript", "status", "error"),
    [
        ("v2-hello-04-COMPLETED", Status.COMPLETED, None),
        ("fails-06-FAILED", Status.FAILED, "boom on attempt 3"),
        ("crashes-03-CRASHED", Status.CRASHED, "trigger.dev internal error (TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE)"),
        ("expired-02-EXPIRED", Status.EXPIRED, "Run expired because the TTL (5s) was reached"),
        ("v2-timedout", Status.TIMED_OUT, "trigger.dev internal error (MAX_DURATION_EXCEEDED)"),
        ("cancelled-delayed-later", Status.CANCELLED, "Canceled by user"),
    ],
)
async def test_every_end_is_read_whatever_the_booleans_say(transcript: str, status: Status, error: str | None) -> None:
    outcome = await outcome_of(transcript)
    assert outcome is not None
    assert (outcome.status, outcome.error_message) == (status, error)
    assert outcome.finished_at is not None, "also of a run cancelled while delayed, which shows no finishedAt"
    assert (outcome.output is not None) == (status is Status.COMPLETED)


@pytest.mark.parametrize(
    "transcript",
    [
        "v2-hello-02-DEQUEUED",
        "hello-01-QUEUED",
        "hello-02-EXECUTING",
        "prod-waits-v20250716-03-WAITING",
        "e404-retrieve",
    ],
)
async def test_a_run_under_way_or_not_replicated_yet_has_no_outcome(transcript: str) -> None:
    assert await outcome_of(transcript) is None


async def test_a_success_brings_output_attempts_version_and_cost() -> None:
    exchange = read("prod-hello-03-COMPLETED")
    outcome = await outcome_of("prod-hello-03-COMPLETED")
    assert outcome is not None
    assert orjson.loads(outcome.output or b"") == exchange.json["output"]
    assert outcome.attempts == exchange.json["attemptCount"]
    assert outcome.version == exchange.json["version"]
    assert outcome.cost_cents == pytest.approx(exchange.json["costInCents"] + exchange.json["baseCostInCents"])
    assert outcome.started_at is not None


async def test_a_run_that_returned_nothing_returned_null() -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"id": "run_x", "status": "COMPLETED"}))
    (outcome,) = await read_all(reader(wire), [awaited()])
    assert outcome.output == b"null"


@pytest.mark.parametrize(
    ("path", "packet", "output"),
    [
        ("output.json", b'{"json":{"at":"2026-01-01"},"meta":{"values":{"at":["Date"]}}}', {"at": "2026-01-01"}),
        ("output.json", b'{"a":1}', {"a": 1}),
        ("output.txt", b"plain text", "plain text"),
    ],
)
async def test_an_output_in_a_store_is_fetched_and_decoded(path: str, packet: bytes, output: object) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["host"] == "store":
            assert "authorization" not in request.headers, "the address itself is the credential"
            return httpx.Response(200, content=packet)
        return httpx.Response(
            200, json={"id": "run_x", "status": "COMPLETED", "outputPresignedUrl": f"http://store/p/{path}?X-Amz=1"}
        )

    (outcome,) = await read_all(reader(Wire(answer)), [awaited()])
    assert orjson.loads(outcome.output or b"") == output


async def test_who_has_a_store_in_a_private_network_is_told_what_to_say_of_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["host"] != "inside"
        url = "http://inside/o.json?X-Amz-Signature=secret"
        return httpx.Response(200, json={"id": "r", "status": "COMPLETED", "outputPresignedUrl": url})

    with capture_logs() as logs:
        assert await read_all(reader(Wire(answer)), [awaited("r")]) == []
    (line,) = [line for line in logs if line["event"] == "outcomes.output_unread"]
    assert "names inside as the place" in line["why"]
    assert "`private_store: true`" in line["why"]
    assert "secret" not in line["why"]


async def test_an_output_that_cannot_be_fetched_is_waited_for_and_then_left_unknown() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["host"] == "store":
            return httpx.Response(403)
        return httpx.Response(200, json={"id": "r", "status": "COMPLETED", "outputPresignedUrl": "http://store/o.json"})

    assert await read_all(reader(Wire(answer)), [awaited(polls=0)]) == []
    (outcome,) = await read_all(reader(Wire(answer)), [awaited(polls=6)])
    assert (outcome.status, outcome.output) == (Status.COMPLETED, None)


async def test_many_are_looked_up_in_the_list_and_only_the_ended_ones_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/runs":
            assert request.url.params["filter[createdAt][from]"], "without a time the list ends after seven days"
            return httpx.Response(200, json={"data": [{"id": "run_2"}, {"id": "run_5"}, {"id": "run_foreign"}]})
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "status": "COMPLETED"})

    wire = Wire(answer)
    outcomes = await read_all(reader(wire), [awaited(f"run_{number}") for number in range(20)])
    assert sorted(outcome.platform_run_id for outcome in outcomes) == ["run_2", "run_5"]
    assert len(wire.requests) == 3


async def test_every_fourth_time_a_run_is_read_past_the_list() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/runs":
            return httpx.Response(200, json={"data": []})
        return httpx.Response(200, json={"id": "run", "status": "COMPLETED"})

    runs = [awaited(f"run_{number}", polls=3 if number == 7 else 1) for number in range(20)]
    (outcome,) = await read_all(reader(Wire(answer)), runs)
    assert outcome.platform_run_id == "run_7"


async def test_runs_far_apart_are_listed_apart() -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"data": []}))
    old = [awaited(f"run_{number}", at=NOW - timedelta(days=20)) for number in range(4)]
    await read_all(reader(wire), [*old, *(awaited(f"run_n{number}") for number in range(4))])
    since = [int(request.url.params["filter[createdAt][from]"]) for request in wire.requests]
    assert len(since) == 2
    assert int(wire.requests[0].url.params["filter[createdAt][to]"]) < since[1]


async def test_pages_are_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/runs":
            return httpx.Response(200, json={"id": "run_3", "status": "COMPLETED"})
        if "page[after]" not in request.url.params:
            return httpx.Response(200, json={"data": [], "pagination": {"next": "cursor"}})
        return httpx.Response(200, json={"data": [{"id": "run_3"}], "pagination": {}})

    assert len(await read_all(reader(Wire(answer)), [awaited(f"run_{number}") for number in range(5)])) == 1


@pytest.mark.parametrize(("awaited_runs", "shown_on_page", "found"), [(40, 25, 40), (12, 25, 0), (5, 10, 5)])
async def test_a_long_list_is_followed_for_as_long_as_it_costs_less_than_reading_each(
    awaited_runs: int, shown_on_page: int, found: int
) -> None:
    """The newest come first: runs that ended a while ago lie behind all that have ended since."""
    pages = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal pages
        if request.url.path != "/api/v1/runs":
            return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "status": "COMPLETED"})
        pages += 1
        shown = [{"id": f"run_{number}"} for number in range(awaited_runs)] if pages == shown_on_page else []
        return httpx.Response(200, json={"data": shown, "pagination": {"next": "cursor"}})

    outcomes = await read_all(reader(Wire(answer)), [awaited(f"run_{number}") for number in range(awaited_runs)])
    assert len(outcomes) == found
    assert pages == (shown_on_page if found else awaited_runs)


@pytest.mark.parametrize(("status", "requests"), [("COMPLETED", 1), ("EXECUTING", 2)])
async def test_a_child_that_had_ended_when_it_was_found_is_not_asked_for_again(status: str, requests: int) -> None:
    told = [status, "COMPLETED"]
    wire = Wire(lambda request: httpx.Response(200, json={"id": "run_c", "status": told.pop(0), "output": 7}))
    platform = catalogue().platforms["trigger"]
    assert isinstance(platform, TriggerPlatform)
    api = TriggerApi(platform, wire.client)
    children = TriggerChildren("trigger", api, catalogue(), Database("postgresql://127.0.0.1:1/none"))
    await children._read("run_c", FreePermits())
    asking = TriggerReader("trigger", api, catalogue(), children)
    (outcome,) = await read_all(asking, [awaited("run_c")])
    assert (outcome.status, outcome.output) == (Status.COMPLETED, b"7")
    assert len(wire.requests) == requests


async def test_with_no_requests_left_a_run_that_ended_long_ago_is_told_as_the_list_shows_it() -> None:
    shown = {
        "status": "COMPLETED",
        "startedAt": "2026-11-24T01:00:01.000Z",
        "finishedAt": "2026-11-24T01:00:02.000Z",
        "costInCents": 0.5,
        "version": "20261124.1",
    }
    ended = [{"id": "run_failed", "status": "FAILED"}, {"id": "run_old", **shown}]
    wire = Wire(lambda request: httpx.Response(200, json={"data": ended}))
    runs = [awaited(run, at=datetime.now(UTC)) for run in ("run_failed", "run_old", "run_0", "run_1", "run_2")]
    (outcome,) = await read_all(reader(wire), runs, room=0)
    assert (outcome.platform_run_id, outcome.status, outcome.output) == ("run_old", Status.COMPLETED, None)
    assert (outcome.version, outcome.cost_cents) == ("20261124.1", 0.5)
    assert outcome.finished_at == datetime(2026, 11, 24, 1, 0, 2, tzinfo=UTC)
    assert [request.url.path for request in wire.requests] == ["/api/v1/runs"]


async def test_the_requests_that_the_list_leaves_read_what_failed_first() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/runs":
            shown = [{"id": f"run_{number}", "status": "FAILED" if number == 3 else "COMPLETED"} for number in range(5)]
            return httpx.Response(200, json={"data": shown})
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2], "status": "FAILED"})

    runs = [awaited(f"run_{number}", at=datetime.now(UTC)) for number in range(5)]
    wire = Wire(answer)
    await read_all(reader(wire), runs, room=2)
    assert [request.url.path for request in wire.requests] == ["/api/v1/runs", "/api/v3/runs/run_3"]


async def test_what_was_read_before_a_rate_limit_is_kept() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        run = request.url.path.rpartition("/")[2]
        if run == "run_1":
            return httpx.Response(429, headers={"retry-after": "7"})
        return httpx.Response(200, json={"id": run, "status": "COMPLETED"})

    learned: list[RunOutcome] = []
    with pytest.raises(AskedToWait) as limited:
        async for portion in reader(Wire(answer)).read(
            [awaited("run_0"), awaited("run_1"), awaited("run_2")], FreePermits(), nobody
        ):
            learned += portion
    assert limited.value.wait == timedelta(seconds=7)
    assert len(learned) == 2


@pytest.mark.parametrize(
    ("refusal", "raised", "output"),
    [(httpx.Response(503), Refused, b"7"), (httpx.Response(429), AskedToWait, None)],
    ids=["of-one-stretch", "of-any-request"],
)
async def test_what_the_list_had_told_before_it_was_refused_is_kept(
    refusal: httpx.Response, raised: type[Exception], output: bytes | None
) -> None:
    ended = {"id": "run_0", "status": "COMPLETED", "finishedAt": "2026-11-24T01:00:02.000Z"}
    pages = [httpx.Response(200, json={"data": [ended]}), refusal]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/runs":
            return pages.pop(0) if len(pages) > 1 else pages[0]
        return httpx.Response(200, json={**ended, "output": 7})

    runs = [*(awaited(f"run_{number}") for number in range(3)), awaited("run_late", at=NOW + timedelta(hours=5))]
    learned: list[RunOutcome] = []
    with pytest.raises(raised):
        async for portion in reader(Wire(answer)).read(runs, FreePermits(), nobody):
            learned += portion
    assert [(outcome.platform_run_id, outcome.output) for outcome in learned] == [("run_0", output)]
