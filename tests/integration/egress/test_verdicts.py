"""From two calls as the gateway records them to the verdict on their pair: notation is no difference, all else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
import pytest

from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.egress.calls import Item
from shadow.judge.loop import JudgeLoop
from shadow.store import codec
from tests.integration.egress.world import Twins, World

LEGACY, CANDIDATE = Side.LEGACY, Side.CANDIDATE
PATH = "open/anything"
Said = tuple[str, bytes | str]
"""A content type and a body."""


def form(*fields: tuple[str, str]) -> Said:
    return "application/x-www-form-urlencoded", urlencode(fields)


def parts(boundary: str, *pieces: tuple[str, str]) -> Said:
    said = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n" for head, text in pieces)
    return f"multipart/form-data; boundary={boundary}", f"{said}--{boundary}--\r\n"


def document(value: Any, content_type: str = "application/json") -> Said:
    return content_type, orjson.dumps(value)


def mail(to: Any, html: str, **more: Any) -> Said:
    return document({"from": "shop@x.test", "to": to, "subject": "Your order", "html": html, **more})


FILE = 'name="f"; filename="a.png"\r\nContent-Type: image/png'

PAYOUT = form(("amount", "12550"), ("destination", "acct_1"), ("metadata[customer_email]", "Ada@X.test"))
MAIL = mail('"Lovelace, Ada" <ada@X.test>', "<p>Hello  Ada, call +49&nbsp;30 1234567 or ada&#64;x.test</p>")
UPLOAD = parts("X", ('name="note"', "mail ada@x.test"), (FILE, "PNG-1"))
QUERY = document({"query": 'query { user(email: "ada@x.test", active: true) { id name } }', "variables": {}})

EQUAL: list[tuple[str, Said, Said]] = [
    (
        "form",
        PAYOUT,
        form(("metadata[customer_email]", "ada@x.test"), ("destination", "acct_1"), ("amount", "12550")),
    ),
    (
        "mail",
        MAIL,
        mail(
            [{"email": "ada@x.test", "name": "Lovelace, Ada"}],
            "<div>\n Hello Ada,\n call +49 30\n1234567 or <b>ada@x.test</b></div>",
        ),
    ),
    ("multipart", UPLOAD, parts("other", (FILE, "PNG-1"), ('name="note"', "mail ada@x.test"))),
    (
        "GraphQL",
        QUERY,
        document({"query": '{ user(active: true,\n email: "ada@x.test") { name id } }', "operationName": None}),
    ),
    (
        "JSON",
        document({"note": "é", "n": 1}),
        ("application/json; charset=UTF-8", '{ "n": 1.0, "note": "\\u00e9" }'),
    ),
    (
        "JSON in a form",
        form(("channel", "#a"), ("blocks", '[{"type": "divider", "block_id": "xY1"}]')),
        form(("blocks", '[{"type":"divider"}]'), ("channel", "#a")),
    ),
]


async def test_what_was_only_written_otherwise_is_a_match(world: World) -> None:
    found = {name: await judged(world, legacy, candidate) for name, legacy, candidate in EQUAL}
    assert found == {name: ("match", []) for name, *_ in EQUAL}


FAULTS: list[tuple[str, Said, Said, str]] = [
    (
        "an amount in a form",
        PAYOUT,
        form(("amount", "12551"), ("destination", "acct_1"), ("metadata[customer_email]", "ada@x.test")),
        "['body']['amount']",
    ),
    (
        "an address nested in a form",
        PAYOUT,
        form(("amount", "12550"), ("destination", "acct_1"), ("metadata[customer_email]", "eve@x.test")),
        "['body']['metadata']['customer_email']",
    ),
    (
        "a recipient",
        MAIL,
        mail("Eve <eve@x.test>", "<p>Hello Ada, call +49 30 1234567 or ada@x.test</p>"),
        "['body']['to'][0]",
    ),
    (
        "a phone number in HTML",
        MAIL,
        mail('"Lovelace, Ada" <ada@x.test>', "<p>Hello Ada, call +49 30 1234568 or ada@x.test</p>"),
        "['body']['html']['lines'][0]",
    ),
    (
        "a file",
        UPLOAD,
        parts("X", ('name="note"', "mail ada@x.test"), (FILE, "PNG-2")),
        "['body']['f']['content']['sha256']",
    ),
    (
        "an argument of a query",
        QUERY,
        document({"query": 'query { user(email: "eve@x.test", active: true) { id name } }'}),
        "['body']['query']",
    ),
    ("a type", document({"n": 12}), document({"n": "12"}), "['body']['n']"),
    ("a content type", document({"n": 12}), document({"n": 12}, "text/plain"), "['content_type']"),
]


async def test_what_says_something_else_is_found_where_it_stands(world: World) -> None:
    for name, legacy, candidate, path in FAULTS:
        verdict, paths = await judged(world, legacy, candidate)
        assert verdict == "mismatch", name
        assert any(found.partition("[0]")[2].startswith(path) for found in paths), (name, paths)


async def test_on_whose_behalf_a_call_is_made_is_compared_and_what_libraries_add_is_not(world: World) -> None:
    for account, expected in (("acct_2", "match"), ("acct_3", "mismatch")):
        twins = await world.twins()
        for side, headers in (
            (LEGACY, {"Stripe-Account": "acct_2", "X-Sdk-Version": "1"}),
            (CANDIDATE, {"stripe-account": account, "x-sdk-version": "2"}),
        ):
            await twins.call(side, path=PATH, headers=headers, json={"amount": 5})
            await _finished(twins, side)
        verdict, paths = await verdict_of(twins)
        assert verdict == expected
        assert all(path.endswith("['headers']['stripe-account']") for path in paths)


A_TRANSFER, ANOTHER = "tr_4f9a81c2d3e4b5a6", "tr_00b1d2c3e4f5a697"
A_CUSTOMER, A_FRIEND = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"


async def test_what_a_write_was_answered_with_is_the_runs_own_and_nothing_else_is(world: World) -> None:
    answers = {"content-type": "application/json"}, orjson.dumps({"id": A_TRANSFER})
    for used, expected in ((A_TRANSFER, "match"), (ANOTHER, "mismatch")):
        twins = await world.twins()
        world.books.answers = [(201, *answers)]
        for side, transfer in ((LEGACY, A_TRANSFER), (CANDIDATE, used)):
            answer = await twins.call(side, json={"requestId": "wd_1"})
            assert answer.json() == {"id": A_TRANSFER}
            await twins.call(side, path="pay/v1/refunds", json={"transfer": transfer})
            await _finished(twins, side)
        verdict, paths = await verdict_of(twins)
        assert verdict == expected, paths


async def test_what_a_run_read_is_never_taken_for_its_own(world: World) -> None:
    read = orjson.dumps({"id": "9", "ref": A_CUSTOMER, "friend": A_FRIEND})
    for used, expected in ((A_CUSTOMER, "match"), (A_FRIEND, "mismatch")):
        twins = await world.twins()
        world.books.answers = [(200, {"content-type": "application/json"}, read)]
        for side, ref in ((LEGACY, A_CUSTOMER), (CANDIDATE, used)):
            assert (await twins.call(side, "GET", "pay/v1/transfers/9")).content == read
            await twins.call(side, path="pay/v1/refunds", json={"ref": ref})
            await _finished(twins, side)
        verdict, paths = await verdict_of(twins)
        assert verdict == expected, paths


async def test_a_run_that_was_refused_what_was_written_down_too_late_is_not_compared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its twin's call lay in the spool of a process that had died: what follows from the refusal is no difference."""
    twins, log = await world.twins(), world.gateway.journal._calls
    write, late = log.write, list[Item]()

    async def kept_back(item: Item) -> None:
        late.append(item)

    monkeypatch.setattr(log, "write", kept_back)
    assert (await twins.call(LEGACY, "GET", "pay/v1/transfers/1")).status_code == 200
    await _finished(twins, LEGACY)
    monkeypatch.setattr(log, "write", write)
    assert (await twins.call(CANDIDATE, "GET", "pay/v1/transfers/1")).status_code == 403
    await _finished(twins, CANDIDATE)
    await world.execute("UPDATE runs SET status = 'failed' WHERE id = %s", twins.run(CANDIDATE))
    for item in late:
        await log.write(item)
    assert await verdict_of(twins, "unanswered: its twin's answer to GET /v1/transfers/{id} at pay was known too late")
    assert await world.rows("SELECT verdict, difference_count FROM pairs") == [("not_comparable", 0)]


async def test_a_call_that_was_refused_as_nobody_knew_whose_it_was_is_no_effect_once_it_is_made_again(
    world: World,
) -> None:
    twins = await world.twins()
    await _refused_while_unknown(twins)
    for side, attempt in ((LEGACY, 2), (CANDIDATE, 1)):
        assert (await twins.call(side, json={"requestId": "wd_1"}, attempt=attempt)).status_code == 201
        await _finished(twins, side)
    assert await verdict_of(twins) == ("match", [])


@pytest.mark.parametrize("side", Side)
async def test_but_what_was_made_again_otherwise_is_no_match(world: World, side: Side) -> None:
    """Other content under the same identity is another call: the first would have been done."""
    twins = await world.twins()
    await _refused_while_unknown(twins, side, amount=5)
    for of in (LEGACY, CANDIDATE):
        attempt = 2 if of is side else 1
        assert (await twins.call(of, json={"requestId": "wd_1", "amount": 6}, attempt=attempt)).status_code == 201
        await _finished(twins, of)
    verdict, _paths = await verdict_of(twins, UNKNOWN)
    assert verdict == "not_comparable"


async def test_and_a_run_that_never_made_it_again_is_not_compared(world: World) -> None:
    twins = await world.twins()
    await _refused_while_unknown(twins)
    await _finished(twins, LEGACY)
    await world.execute("UPDATE runs SET status = 'failed' WHERE id = %s", twins.run(LEGACY))
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_1"})).status_code == 201
    await _finished(twins, CANDIDATE)
    assert await verdict_of(twins, UNKNOWN) == ("not_comparable", [])


async def test_nor_is_one_whose_call_was_attributed_afterwards(world: World) -> None:
    """Its worker has no client package: what the call carries tells whose it is, and told it late."""
    twins = await world.twins()
    key = {"authorization": f"Bearer {world.keys[LEGACY]}"}
    refused = await world.client.post("/egress/pay/v1/transfers", json={"requestId": "wd_1"}, headers=key)
    assert refused.status_code == 403
    await world.execute(
        "UPDATE effects SET run_id = %s, platform_run_id = %s, attributed_by = 'key'",
        twins.run(LEGACY),
        f"run_{twins.delivery}",
    )
    await _finished(twins, LEGACY)
    await world.execute("UPDATE runs SET status = 'failed' WHERE id = %s", twins.run(LEGACY))
    assert (await twins.call(CANDIDATE, json={"requestId": "wd_1"})).status_code == 201
    await _finished(twins, CANDIDATE)
    assert await verdict_of(twins, UNKNOWN) == ("not_comparable", [])


async def test_unless_its_twin_never_made_it_at_all(world: World) -> None:
    """It is one too many whether it was known whose it is or not."""
    twins = await world.twins()
    await _finished(twins, LEGACY)
    await _refused_while_unknown(twins, CANDIDATE)
    await _finished(twins, CANDIDATE)
    verdict, paths = await verdict_of(twins)
    assert (verdict, len(paths)) == ("mismatch", 1)


UNKNOWN = "unknown_run: it was refused POST /v1/transfers at pay, as nobody could say yet whose call it was"


async def _refused_while_unknown(twins: Twins, side: Side = LEGACY, **said: Any) -> None:
    """A run makes its first call before anybody knows it."""
    twins.world.gateway.runs._patience = 0.1
    if side is CANDIDATE:
        # Inngest's id, which is told later.
        named = {"x-shadow-run": "01RUN", "x-shadow-event": "ev_not_yet"}
        assert (await twins.call(side, json={"requestId": "wd_1", **said}, headers=named)).status_code == 403
        await twins.world.execute("UPDATE runs SET platform_run_id = '01RUN' WHERE id = %s", twins.run(side))
        return
    (name,) = await twins.world.rows("DELETE FROM run_aliases RETURNING platform, alias, run_id")
    await twins.world.execute("UPDATE runs SET platform_run_id = NULL")
    assert (await twins.call(LEGACY, json={"requestId": "wd_1", **said})).status_code == 403
    await twins.world.execute("INSERT INTO run_aliases VALUES (%s, %s, %s)", *name)
    await twins.world.execute("UPDATE runs SET platform_run_id = %s WHERE id = %s", *name[1:])


async def judged(world: World, legacy: Said, candidate: Said) -> tuple[str, list[str]]:
    """The verdict on two runs that each made one call, and the paths of the differences."""
    twins = await world.twins()
    await _called(twins, LEGACY, legacy)
    await _called(twins, CANDIDATE, candidate)
    return await verdict_of(twins)


async def verdict_of(twins: Twins, why: str | None = None) -> tuple[str, list[str]]:
    """The verdict on two runs that have ended, and the paths of the differences."""
    world = twins.world
    empty = codec.encode_evidence(b"{}", codec.UNTAGGED)
    bodies: list[tuple[UUID, str, bytes]] = [(twins.event, "evidence", empty)]
    bodies += [(twins.run(side), "output", empty) for side in Side]
    async with world.database.direct() as connection:
        await evidence.keep(connection, bodies)
    judge = JudgeLoop(world.database, world.catalogue)
    later = datetime.now(UTC) + timedelta(hours=2)
    while (await judge.once(later)).judged == 0:
        later += timedelta(hours=1)
    ((verdict, reason),) = await world.rows("SELECT verdict, reason FROM pairs WHERE id = %s", twins.pair)
    assert reason == why
    rows = await world.rows("SELECT path FROM differences WHERE pair_id = %s ORDER BY path", twins.pair)
    return verdict, [row[0] for row in rows]


async def _called(twins: Twins, side: Side, said: Said) -> None:
    content_type, body = said
    await twins.call(side, path=PATH, headers={"content-type": content_type}, content=body)
    await _finished(twins, side)


async def _finished(twins: Twins, side: Side) -> None:
    await twins.world.execute("UPDATE runs SET started_at = now() WHERE id = %s", twins.run(side))
    await twins.finish(side)
