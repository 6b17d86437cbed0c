"""What becomes of calls: forwarded with authority, replayed, stubbed or refused without; all of it recorded."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time
from uuid import UUID

import orjson
import psycopg
import pytest

from shadow.catalogue.model import Side
from shadow.causes.parents import Told, known_parents
from shadow.egress import containing
from shadow.egress.calls import Answered, Call, Item
from shadow.egress.journal import CATCH_UP_SECONDS
from shadow.egress.strangers import Strangers
from shadow.egress.twin import Asked, Found
from tests.integration.egress.world import World, until

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE
WAITS = {"x-shadow-accepts": "wait"}


async def test_a_call_with_authority_reaches_the_target_with_the_real_credential_and_nothing_of_ours(
    world: World,
) -> None:
    twins = await world.twins()
    answer = await twins.call(
        LEGACY, json={"requestId": "wd_1", "amount": 100}, headers={"idempotency-key": "k1", "x-trace": "t"}
    )
    assert (answer.status_code, answer.json(), answer.headers["x-target"]) == (201, {"id": "tr_1"}, "1")
    assert "x-shadow-gateway" not in answer.headers
    ((method, path, headers, body),) = world.books.calls
    assert (method, path) == ("POST", "/base/v1/transfers")
    assert orjson.loads(body) == {"requestId": "wd_1", "amount": 100}
    assert headers["authorization"] == "Bearer sk_live_real"
    assert headers["x-account"] == "acct_1"
    assert headers["x-trace"] == "t"
    assert headers["idempotency-key"] == "k1"
    assert not [name for name in headers if name.startswith("x-shadow-")]
    assert headers["host"].startswith("127.0.0.1:")
    assert await world.effects() == [("legacy", "POST /v1/transfers", "forward", 201, "wd_1")]
    ((run, name, key, writes, attributed),) = await world.rows(
        "SELECT run_id, platform_run_id, idempotency_key, writes, attributed_by FROM effects"
    )
    assert (run, name, key, writes, attributed) == (
        twins.run(LEGACY),
        f"run_{twins.delivery}",
        "k1",
        True,
        "headers",
    )
    assert orjson.loads(await world.body("data")) == {
        "method": "POST",
        "path": "/v1/transfers",
        "params": {},
        "content_type": "application/json",
        "query": {},
        "body": {"requestId": "wd_1", "amount": 100},
    }
    assert orjson.loads(await world.body("answer")) == {"id": "tr_1"}


async def test_a_contained_write_gets_the_twins_answer_and_never_leaves(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.status_code, answer.json()) == (201, {"id": "tr_1"})
    assert (answer.headers["x-shadow-gateway"], answer.headers["x-target"]) == ("replay", "1")
    assert len(world.books.calls) == 1
    assert (await world.effects())[1] == ("candidate", "POST /v1/transfers", "replay", 201, "wd_1")


async def test_an_extra_write_is_recorded_and_answered_like_the_first_or_by_the_stub(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await twins.finish(LEGACY)
    first = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    again = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    other = await twins.call(CANDIDATE, json={"requestId": "wd_2"})
    assert first.json() == again.json() == {"id": "tr_1"}
    assert (other.status_code, other.json()) == (201, {"id": "tr_stub", "requestId": "wd_2"})
    assert other.headers["x-shadow-gateway"] == "stub"
    assert [row[2] for row in await world.effects()] == ["forward", "replay", "replay", "stub"]
    assert len(world.books.calls) == 1


async def test_a_write_with_neither_answer_nor_stub_is_refused(world: World) -> None:
    twins = await world.twins()
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, path="pay/v1/refunds", json={})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (403, "refused")
    assert answer.headers["content-type"] == "application/problem+json"
    assert await world.effects() == [("candidate", "POST /v1/refunds", "refuse", 403, None)]
    assert world.books.calls == []


async def test_the_answers_of_the_twins_last_attempt_count(world: World) -> None:
    twins = await world.twins()
    world.books.answers = [(500, {}, b"boom")]
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await twins.call(LEGACY, json={"requestId": "wd_1"}, attempt=2)
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.status_code, answer.json()) == (201, {"id": "tr_2"})


async def test_each_occurrence_gets_its_own_answer(world: World) -> None:
    twins = await world.twins()
    for amount in (1, 2, 3):
        await twins.call(LEGACY, path="pay/v1/refunds", json={"amount": amount})
    await twins.finish(LEGACY)
    answers = await asyncio.gather(
        *(twins.call(CANDIDATE, path="pay/v1/refunds", json={"amount": amount}) for amount in (3, 1, 2))
    )
    assert [answer.json()["id"] for answer in answers] == ["tr_3", "tr_1", "tr_2"]
    retried = await twins.call(CANDIDATE, path="pay/v1/refunds", json={"amount": 1}, attempt=2)
    assert retried.json()["id"] == "tr_1"


async def test_reads_are_replayed_by_default(world: World) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, "GET", "pay/v1/transfers/tr_9")
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, "GET", "pay/v1/transfers/tr_9")
    assert (answer.json(), answer.headers["x-shadow-gateway"]) == ({"id": "tr_1"}, "replay")
    unread = await twins.call(CANDIDATE, "GET", "pay/v1/transfers/tr_8")
    assert unread.status_code == 403
    assert len(world.books.calls) == 1


async def test_reads_are_forwarded_where_the_task_says_so_within_their_own_quota(world: World) -> None:
    twins = await world.twins("digest")
    answers = [await twins.call(CANDIDATE, "GET", f"shop/orders/{number}?fields=all") for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" in answers[2].headers
    assert [path for _method, path, _headers, _body in world.books.calls] == [
        "/shop/orders/0?fields=all&api_key=real",
        "/shop/orders/1?fields=all&api_key=real",
    ]
    # a write is not, whatever the policy
    await twins.finish(LEGACY)
    assert (await twins.call(CANDIDATE, "POST", "shop/orders", json={})).status_code == 403
    assert world.books.writes == []
    # a real call is not held back by them
    assert (await twins.call(LEGACY, "GET", "shop/orders/9")).status_code == 200


async def test_a_call_waits_for_its_twins_answer(world: World) -> None:
    twins = await world.twins("digest")
    waiting = asyncio.create_task(twins.call(CANDIDATE, json={"requestId": "wd_1"}))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    begun = time.monotonic()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    answer = await waiting
    assert time.monotonic() - begun < 0.4
    assert (answer.json(), answer.headers["x-shadow-gateway"]) == ({"id": "tr_1"}, "replay")
    assert (await world.rows("SELECT incomparable FROM pairs"))[0][0] is None


async def test_a_call_that_waited_for_too_long_is_stubbed_and_the_pair_says_so(world: World) -> None:
    twins = await world.twins("digest")
    begun = time.monotonic()
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert 1.5 < time.monotonic() - begun < 2.5
    assert (answer.headers["x-shadow-gateway"], answer.json()["id"]) == ("stub", "tr_stub")
    assert (await world.rows("SELECT incomparable FROM pairs")) == [("held too long: stubbed from effect 1 on",)]
    ((waited,),) = await world.rows("SELECT waited_ms FROM effects")
    assert waited > 1500
    assert world.books.calls == []


async def test_who_accepts_a_wait_is_asked_to_come_back(world: World) -> None:
    twins = await world.twins("digest")
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers={"x-shadow-accepts": "wait"})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (425, "wait")
    assert await world.effects() == []
    # A run has few attempts: they last through half a minute.
    waits = [
        int((await twins.call(CANDIDATE, attempt=attempt, json={}, headers=WAITS)).headers["retry-after"])
        for attempt in (1, 2, 3, 4, 50)
    ]
    assert waits == [2, 4, 8, 16, 30]


async def test_a_call_without_a_counterpart_waits_while_its_twins_may_lie_in_a_spool(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = await world.twins()
    await twins.finish(LEGACY)
    journal = world.gateway.journal
    monkeypatch.setattr(journal, "_back_at", time.monotonic())
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers=WAITS)).status_code == 425
    monkeypatch.setattr(journal, "_back_at", time.monotonic() - CATCH_UP_SECONDS)
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers=WAITS)
    assert answer.headers["x-shadow-gateway"] == "stub"


async def test_a_call_of_a_run_whose_twin_has_ended_does_not_wait(world: World) -> None:
    twins = await world.twins("digest")
    waiting = asyncio.create_task(twins.call(CANDIDATE, json={"requestId": "wd_1"}))
    await asyncio.sleep(0.2)
    await twins.finish(LEGACY)
    assert (await waiting).headers["x-shadow-gateway"] == "stub"
    assert (await world.rows("SELECT incomparable FROM pairs"))[0][0] is None


async def test_keys_are_found_wherever_an_sdk_puts_them(world: World) -> None:
    twins = await world.twins()
    key = world.keys[LEGACY]
    basic = base64.b64encode(f"{key}:".encode()).decode()
    ways: list[tuple[str, dict[str, str]]] = [
        ("/egress/pay/v1/x", {"x-shadow-key": key}),
        ("/egress/pay/v1/x", {"authorization": key}),
        ("/egress/pay/v1/x", {"authorization": f"Basic {basic}"}),
        (f"/egress/pay/~{key}/v1/x", {}),
        (f"/egress/shop/orders/1?api_key={key}", {}),
        ("/egress/shop/orders/1", {"authorization": f"Bearer {key}"}),
    ]
    for path, headers in ways:
        answer = await world.client.get(path, headers={**twins.headers(LEGACY), **headers})
        assert answer.status_code == 200, (path, headers)
    for _method, path, headers, _body in world.books.calls:
        assert key not in path
        assert not [value for value in headers.values() if key in value or basic in value]
    none = await world.client.get("/egress/pay/v1/x", headers={**twins.headers(LEGACY), "authorization": "Bearer x"})
    assert none.status_code == 401
    assert len(world.books.calls) == len(ways)


async def test_what_is_unknown_is_refused(world: World) -> None:
    twins = await world.twins()
    assert (await twins.call(LEGACY, path="nowhere/v1/x")).status_code == 404
    assert (await twins.call(LEGACY, "PUT", "shop/orders/1")).status_code == 403  # undeclared there
    assert (await twins.call(LEGACY, path="public/v1/x")).status_code == 403  # at a private address
    headers = {"x-shadow-key": world.keys[LEGACY]}
    begun = time.monotonic()
    assert (await world.client.post("/egress/pay/v1/x", headers=headers)).status_code == 403
    assert time.monotonic() - begun < 1
    unknown = {**headers, "x-shadow-run": "run_unknown", "x-shadow-task": "payout"}
    assert (await world.client.post("/egress/pay/v1/x", headers=unknown)).status_code == 403
    assert world.books.calls == []
    assert [row[2] for row in await world.effects()] == ["refuse", "refuse", "refuse"]


async def test_a_worker_that_can_wait_comes_back_for_a_run_that_may_be_known_in_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform does not say now which run it is, or its event lies on the disk of a process that is no more."""
    twins = await world.twins()
    (name,) = await world.rows("DELETE FROM run_aliases RETURNING platform, alias, run_id")
    await world.execute("UPDATE runs SET platform_run_id = NULL")
    answer = await twins.call(LEGACY, attempt=2, json={"requestId": "wd_1"}, headers=WAITS)
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-shadow-gateway"]) == (425, "4", "wait")
    assert f"no run is known by run 'run_{twins.delivery}'" in answer.json()["detail"]
    assert await world.effects() == []
    assert (await twins.call(LEGACY, json={"requestId": "wd_1"})).status_code == 403  # it can't wait

    await world.execute("INSERT INTO run_aliases VALUES (%s, %s, %s)", *name)
    assert (await twins.call(LEGACY, json={"requestId": "wd_1"}, headers=WAITS)).status_code == 201
    assert len(world.books.calls) == 1

    monkeypatch.setattr(world.gateway.runs, "_strangers", Strangers(new_seconds=0))
    foreign = WAITS | {"x-shadow-run": "run_of_nobody"}
    assert (await twins.call(LEGACY, json={"requestId": "wd_1"}, headers=foreign)).status_code == 403
    assert len(world.books.calls) == 1


async def test_numbers_past_64_bits_go_through_and_are_recorded(world: World) -> None:
    twins = await world.twins()
    wei = b'{"requestId": "wd_1", "wei": 1000000000000000000001}'
    json = {"content-type": "application/json"}
    real = await twins.call(LEGACY, content=wei, headers=json)
    assert (real.status_code, world.books.calls[0][3]) == (201, wei)
    assert (await twins.call(CANDIDATE, content=wei, headers=json)).content == real.content
    await twins.finish(LEGACY)
    stub = await twins.call(CANDIDATE, content=b'{"requestId": 1000000000000000000001}', headers=json)
    assert (stub.headers["x-shadow-gateway"], stub.json()["requestId"]) == ("stub", 10**21 + 1)
    assert [row[2] for row in await world.effects()] == ["forward", "replay", "stub"]


async def test_a_body_that_is_not_what_it_says_is_refused_without_authority_only(world: World) -> None:
    twins = await world.twins()
    await twins.finish(LEGACY)
    json = {"content-type": "application/json"}
    assert (await twins.call(CANDIDATE, content=b"{no", headers=json)).status_code == 400
    assert world.books.calls == []
    assert (await twins.call(LEGACY, content=b"{no", headers=json)).status_code == 201


async def test_a_key_with_a_run_of_the_other_side_is_refused_and_an_incident(world: World) -> None:
    twins = await world.twins()
    headers = {**twins.headers(LEGACY), "x-shadow-key": world.keys[CANDIDATE]}
    for _ in range(2):
        assert (await world.client.post("/egress/pay/v1/transfers", headers=headers)).status_code == 403
    assert await world.rows("SELECT kind, task, side, run_id, target FROM incidents") == [
        ("wrong_side", "payout", "candidate", twins.run(LEGACY), "pay")
    ]
    assert world.books.calls == []


@pytest.mark.parametrize("path", ["..", "%2e%2e/admin", "v1/..%2f..%2fadmin", "v1/%252e%252e/x", "/evil.example/x"])
async def test_no_path_leaves_the_base_url(world: World, path: str) -> None:
    twins = await world.twins()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
    lines = [f"{name}: {value}" for name, value in twins.headers(LEGACY).items()]
    head = "\r\n".join([f"GET /egress/pay/{path} HTTP/1.1", "Host: x", f"X-Shadow-Key: {world.keys[LEGACY]}", *lines])
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert world.books.calls == []


async def test_a_redirect_is_the_workers_to_follow(world: World) -> None:
    twins = await world.twins()
    world.books.answers = [(302, {"location": "http://169.254.169.254/"}, b"")]
    answer = await twins.call(LEGACY, "GET", "pay/v1/x")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.169.254/")
    assert len(world.books.calls) == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("DELETE", 204)])
async def test_answers_without_a_body(world: World, method: str, status: int) -> None:
    twins = await world.twins()
    world.books.answers = [(status, {"etag": "x"}, b"123")]
    answer = await twins.call(LEGACY, method, "pay/v1/x")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (status, b"", "x")
    await twins.finish(LEGACY)
    again = await twins.call(CANDIDATE, method, "pay/v1/x")
    assert (again.status_code, again.content, again.headers["etag"]) == (status, b"", "x")
    assert again.headers["x-shadow-gateway"] == "replay"


async def test_a_compressed_answer_is_replayed_to_who_can_take_it_and_unpacked_for_who_can_not(world: World) -> None:
    twins = await world.twins()
    packed = gzip.compress(b'{"id": "tr_1"}')
    world.books.answers = [(200, {"content-encoding": "gzip", "content-type": "application/json"}, packed)]
    first = await twins.call(LEGACY, json={"requestId": "a"}, headers={"accept-encoding": "br, gzip"})
    assert first.json() == {"id": "tr_1"}
    assert world.books.calls[0][2]["accept-encoding"] == "gzip"
    await twins.finish(LEGACY)
    for accepted in ("gzip", "identity"):
        again = await twins.call(CANDIDATE, json={"requestId": "a"}, headers={"accept-encoding": accepted})
        assert again.json() == {"id": "tr_1"}
        assert ("content-encoding" in again.headers) is (accepted == "gzip")


async def test_a_target_that_is_not_there_is_a_502_that_is_recorded(world: World) -> None:
    twins = await world.twins()
    answer = await twins.call(LEGACY, path="dead/v1/x", json={})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (502, "unreachable")
    assert [row[2:4] for row in await world.effects()] == [("forward", 502)]


async def test_a_target_that_hangs_is_a_504(world: World) -> None:
    twins = await world.twins()
    world.books.pause = 5
    answer = await twins.call(LEGACY, json={"requestId": "wd_1"})
    assert answer.status_code == 504
    assert [row[2:4] for row in await world.effects()] == [("forward", 504)]


async def test_large_bodies_stream_both_ways_and_only_their_digest_is_kept(world: World) -> None:
    twins = await world.twins()
    large = b"x" * 300_000
    world.books.answers = [(200, {}, large)]

    async def upload() -> object:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000]

    answer = await twins.call(LEGACY, path="pay/v1/files", content=upload())
    assert answer.content == large
    assert world.books.calls[0][3] == large
    document = orjson.loads(await world.body("data"))
    assert document["body"]["bytes"] == 300_000
    assert await world.body("answer") is None
    await twins.finish(LEGACY)
    # No answer was kept that could be given: it is as if there were none.
    assert (await twins.call(CANDIDATE, path="pay/v1/files", content=upload())).status_code == 403
    digests = {bytes(row[0]) for row in await world.rows("SELECT digest FROM effects")}
    assert len(digests) == 1


async def test_a_worker_that_leaves_takes_its_call_with_it_and_the_intent_stays(world: World) -> None:
    twins = await world.twins()
    world.books.pause = 3
    call = asyncio.create_task(twins.call(LEGACY, json={"requestId": "wd_1"}))
    await world.books.called.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0.2)
    assert await world.effects() == [("legacy", "POST /v1/transfers", "forward", None, "wd_1")]


@pytest.mark.parametrize(("slow", "status", "calls"), [(Call, 503, 0), (Answered, 201, 1)])
async def test_a_worker_that_leaves_while_something_is_written_down_leaves_no_call_without_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, slow: type[Item], status: int, calls: int
) -> None:
    """Before its call leaves nothing was done, and the ledger says so; after it what the target said is kept."""
    twins = await world.twins()
    log, reached, goes_on = world.gateway.journal._calls, asyncio.Event(), asyncio.Event()
    write = log.write

    async def slowly(item: Item) -> None:
        writing = asyncio.ensure_future(write(item))  # it is on its way to the disk, whoever waits for it
        if isinstance(item, slow) and not reached.is_set():
            reached.set()
            await goes_on.wait()
        await writing

    monkeypatch.setattr(log, "write", slowly)
    call = asyncio.create_task(twins.call(LEGACY, json={"requestId": "wd_1"}))
    await reached.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    async def kept() -> bool:
        return await world.effects() == [("legacy", "POST /v1/transfers", "forward", status, "wd_1")]

    await until(kept)
    assert len(world.books.calls) == calls
    # whoever does the same without authority is told the same
    await twins.finish(LEGACY)
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.status_code, answer.headers["x-shadow-gateway"]) == (status, "replay")


async def test_one_slow_look_at_the_database_is_not_taken_for_its_absence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = await world.twins()
    await twins.call(LEGACY, json={"requestId": "wd_1"})
    await twins.finish(LEGACY)
    monkeypatch.setattr(containing, "DATABASE_SECONDS", 0.0)  # whatever fails has taken as long
    look, failures = world.gateway.containing._twins.look, [TimeoutError()]

    async def slow(asked: Asked, made: UUID) -> Found:
        if failures:
            raise failures.pop()
        return await look(asked, made)

    monkeypatch.setattr(world.gateway.containing._twins, "look", slow)
    answer = await twins.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.headers["x-shadow-gateway"], world.gateway.journal.away) == ("replay", False)
    # two in a row are
    failures[:] = [TimeoutError(), TimeoutError()]
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_2"})).headers["x-shadow-gateway"] == "stub"
    assert world.gateway.journal.away


async def test_a_database_that_was_slow_and_then_refuses_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would know that it came back, and that calls of its twin may still lie in a spool."""
    twins, noticed = await world.twins(), []

    async def refused(_asked: Asked, _made: UUID) -> Found:
        raise psycopg.OperationalError

    monkeypatch.setattr(world.gateway.containing._twins, "look", refused)
    monkeypatch.setattr(world.gateway.journal, "found_away", lambda: noticed.append(True))
    monkeypatch.setattr(containing, "DATABASE_SECONDS", 0.0)
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers=WAITS)).status_code == 425
    assert noticed == []
    monkeypatch.setattr(containing, "DATABASE_SECONDS", 60.0)
    await twins.call(CANDIDATE, json={"requestId": "wd_1"}, headers=WAITS)
    assert noticed == [True]


async def test_many_at_once_each_get_their_own(world: World) -> None:
    pairs = [await world.twins() for _ in range(20)]
    sent = [(twins, number) for twins in pairs for number in range(5)]
    first = await asyncio.gather(*(t.call(LEGACY, json={"requestId": f"wd_{n}"}) for t, n in sent))
    for twins in pairs:
        await twins.finish(LEGACY)
    again = await asyncio.gather(*(t.call(CANDIDATE, json={"requestId": f"wd_{n}"}) for t, n in sent))
    assert [answer.json() for answer in again] == [answer.json() for answer in first]
    assert len(world.books.calls) == len(sent)
    assert len({answer.json()["id"] for answer in first}) == len(sent)


async def test_a_second_run_of_a_known_event_has_nothing_of_the_first_ones_authority(world: World) -> None:
    """Somebody runs a function again on Inngest: another run, of the same event."""
    twins = await world.twins(real=Side.CANDIDATE)
    assert (await twins.call(Side.CANDIDATE, headers={"x-shadow-run": "01FIRST"}, json={})).status_code == 201
    await world.execute("UPDATE runs SET platform_run_id = '01FIRST' WHERE id = %s", twins.run(Side.CANDIDATE))
    again = await twins.call(Side.CANDIDATE, headers={"x-shadow-run": "01AGAIN"}, json={})
    assert again.status_code == 403
    assert len(world.books.writes) == 1
    # What it emits is not taken for the first one's either.
    async with world.database.direct() as connection:
        wanted = [(Side.CANDIDATE, Told(run, "payout", twins.delivery)) for run in ("01FIRST", "01AGAIN", None)]
        parents = await known_parents(connection, world.catalogue, wanted)
    assert [parent and parent.run_id for parent in parents] == [
        twins.run(Side.CANDIDATE),
        None,
        twins.run(Side.CANDIDATE),
    ]


async def test_a_key_of_legacys_makes_no_candidates_worker_its_twin(world: World) -> None:
    """An event has a run on either side. Legacy's has a name of its own, and goes by no other."""
    twins = await world.twins()
    answer = await world.client.post(
        "/egress/pay/v1/transfers",
        json={"requestId": "wd_1"},
        headers={**twins.headers(CANDIDATE), "authorization": f"Bearer {world.keys[LEGACY]}"},
    )
    assert answer.status_code == 403
    assert world.books.calls == []


async def test_no_key_of_ours_reaches_a_target_whichever_of_several_was_taken(world: World) -> None:
    twins = await world.twins()
    more = {"x-shadow-key": world.keys[LEGACY], "authorization": f"Bearer {world.keys[CANDIDATE]}"}
    assert (await twins.call(LEGACY, path="open/x", json={}, headers=more)).status_code == 201
    ((_method, path, headers, _body),) = world.books.calls
    assert "shk_" not in path + str(headers)


@pytest.mark.parametrize("real", [LEGACY, CANDIDATE])
async def test_a_repeated_event_is_answered_as_the_run_was_that_had_authority_when_it_was_new(
    world: World, real: Side
) -> None:
    twins, again = await world.twins(real=real), await world.twins(real=None)
    if real is CANDIDATE:
        await world.execute("UPDATE runs SET platform_run_id = %s WHERE id = %s", "cand_1", twins.run(CANDIDATE))
    true = (await twins.call(real, json={"requestId": "wd_1"})).json()
    await twins.finish(real)
    await world.execute("UPDATE events SET purpose = 'canary', repeats = %s WHERE id = %s", twins.event, again.event)
    answer = await again.call(CANDIDATE, json={"requestId": "wd_1"})
    assert (answer.json(), answer.headers["x-shadow-gateway"]) == (true, "replay")
    # what it never did is answered by the stub, as ever
    other = await again.call(CANDIDATE, json={"requestId": "wd_2"})
    assert (other.json()["id"], other.headers["x-shadow-gateway"]) == ("tr_stub", "stub")
    assert len(world.books.calls) == 1
