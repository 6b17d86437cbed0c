"""Who may see pages, how long, and that no other site can act in anybody's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from api.control import ControlServices
from api.pages.application import pages_app
from api.pages.headers import WithHeaders
from shadow.access import sessions, tokens
from shadow.access.tokens import Scope
from shadow.model.ids import new_id
from shadow.store.database import Database, Work
from tests.integration.pages.conftest import sign_in, token
from tests.integration.pages.migration import catalogue

ADDRESSES = ["/pages/", "/pages/tasks/order-sync", "/pages/pairs", "/pages/signatures", "/pages/audit"]


async def test_whoever_asks_for_nothing_in_particular_gets_to_the_pages(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/")).headers["location"] == "/pages/"


@pytest.mark.parametrize("address", [*ADDRESSES, "/pages/pairs?task=order-sync&verdict=match"])
async def test_nobody_sees_a_page_without_signing_in(stranger: httpx.AsyncClient, address: str) -> None:
    answer = await stranger.get(address)
    assert answer.status_code == 303
    where = urlsplit(answer.headers["location"])
    assert where.path == "/pages/sign-in"
    assert parse_qs(where.query)["next"] == [address]


async def test_signing_in_leads_to_the_page_that_was_wanted(database: Database, stranger: httpx.AsyncClient) -> None:
    wanted = "/pages/pairs?task=order-sync"
    secret = await token(database, "bob", Scope.READ)
    answer = await stranger.post("/pages/sign-in", data={"token": f" {secret}\n", "next": wanted})
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    page = await stranger.get(wanted)
    assert page.status_code == 200
    assert "bob" in page.text
    assert secret not in page.text


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/pages/\\evil", "/v1/tasks", "/pages//x"]
)
async def test_signing_in_leads_nowhere_else(database: Database, stranger: httpx.AsyncClient, wanted: str) -> None:
    secret = await token(database, "bob", Scope.READ)
    answer = await stranger.post("/pages/sign-in", data={"token": secret, "next": wanted})
    assert answer.headers["location"] == "/pages/"


async def test_a_token_that_is_wrong_is_told_beside_the_field_and_nowhere_else(
    stranger: httpx.AsyncClient,
) -> None:
    with capture_logs() as logs:
        answer = await stranger.post("/pages/sign-in", data={"token": "shadow_wrong-as-can-be"})
    assert [one["event"] for one in logs] == ["pages.sign_in_refused"]
    assert answer.status_code == 422
    assert 'aria-describedby="token-problem"' in answer.text
    assert "unknown, expired or revoked" in answer.text
    assert "wrong-as-can-be" not in answer.text + str(logs)
    assert "set-cookie" not in answer.headers


async def test_a_token_that_may_not_read_signs_nobody_in(database: Database, stranger: httpx.AsyncClient) -> None:
    secret = await token(database, "mover", Scope.OPERATE)
    answer = await stranger.post("/pages/sign-in", data={"token": secret})
    assert answer.status_code == 422
    assert "may not read" in answer.text


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    database: Database, stranger: httpx.AsyncClient
) -> None:
    secret = await token(database, "bob", Scope.READ)
    plain = (await stranger.post("/pages/sign-in", data={"token": secret})).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/pages"} <= set(plain.split("; "))
    assert "Secure" not in plain
    assert secret not in plain
    safe = (await stranger.post("https://control/pages/sign-in", data={"token": secret})).headers["set-cookie"]
    assert "Secure" in safe.split("; ")


@pytest.mark.parametrize(("wants", "status"), [("document", 200), ("empty", 303), ("iframe", 303)])
async def test_no_script_reads_pages_in_anybodys_name(reader: httpx.AsyncClient, wants: str, status: int) -> None:
    """`/docs` on the same port loads others' scripts."""
    assert (await reader.get("/pages/", headers={"Sec-Fetch-Dest": wants})).status_code == status


async def test_revoking_the_token_ends_its_sessions(database: Database, reader: httpx.AsyncClient) -> None:
    assert (await reader.get("/pages/")).status_code == 200
    await tokens.revoke(database.engine, "bob")
    assert (await reader.get("/pages/")).status_code == 303


async def test_a_session_ends_when_nobody_is_there_and_moves_on_while_it_is_used(database: Database) -> None:
    engine = database.engine
    _, kept = await tokens.issue(engine, "bob", [Scope.READ])
    start = datetime.now(UTC)
    secret = await sessions.begin(engine, kept, now=start)
    almost = sessions.IDLE - timedelta(minutes=2)
    assert await sessions.find(engine, secret, now=start + almost) is not None
    assert await sessions.find(engine, secret, now=start + 2 * almost) is not None, "it was moved on"
    assert await sessions.find(engine, secret, now=start + 2 * almost + sessions.IDLE) is None


async def test_no_session_lasts_for_ever(database: Database) -> None:
    engine = database.engine
    _, kept = await tokens.issue(engine, "bob", [Scope.READ])
    now = start = datetime.now(UTC)
    secret = await sessions.begin(engine, kept, now=start)
    while await sessions.find(engine, secret, now=now) is not None:
        now += timedelta(minutes=30)
        assert now - start <= sessions.LONGEST
    assert now - start > sessions.LONGEST - timedelta(hours=1)


async def test_a_stored_session_is_no_secret(database: Database, reader: httpx.AsyncClient) -> None:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute("SELECT encode(digest, 'hex') || encode(digest, 'escape') FROM page_sessions")
        ((stored,),) = await cursor.fetchall()
    assert reader.cookies["shadow_session"] not in stored


async def test_signing_out_ends_the_session_for_good(database: Database, reader: httpx.AsyncClient) -> None:
    secret = reader.cookies["shadow_session"]
    answer = await reader.post("/pages/sign-out", data={"form_token": await form_token(reader)})
    assert answer.headers["location"] == "/pages/sign-in?done=out"
    assert "signed out" in (await reader.get(answer.headers["location"])).text
    reader.cookies.set("shadow_session", secret)
    assert (await reader.get("/pages/")).status_code == 303


async def form_token(client: httpx.AsyncClient) -> str:
    return (await client.get("/pages/")).text.split('name="form_token" value="')[1].split('"')[0]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://control"}, 303),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 303),
    ],
)
async def test_a_form_of_another_site_is_refused(
    reader: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    proof = await form_token(reader)
    del reader.headers["Sec-Fetch-Site"]
    answer = await reader.post("/pages/sign-out", data={"form_token": proof}, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("proof", ["", "wrong", "é"])
async def test_a_form_without_its_sessions_proof_is_refused(reader: httpx.AsyncClient, proof: str) -> None:
    answer = await reader.post("/pages/sign-out", data={"form_token": proof})
    assert answer.status_code == 403
    assert "another session" in answer.text
    assert (await reader.get("/pages/")).status_code == 200


async def test_a_form_of_another_session_is_refused(database: Database, reader: httpx.AsyncClient) -> None:
    old = await form_token(reader)
    await sign_in(reader, await token(database, "carl", Scope.READ))
    assert (await reader.post("/pages/sign-out", data={"form_token": old})).status_code == 403


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"a=%ff", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a=1" for _ in range(200)), "application/x-www-form-urlencoded", 422),
    ],
)
async def test_what_is_no_form_of_ours_is_refused(
    stranger: httpx.AsyncClient, content: bytes, content_type: str, status: int
) -> None:
    answer = await stranger.post("/pages/sign-in", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert "<h1>" in answer.text


async def test_whoever_comes_by_a_link_from_elsewhere_is_taken_one_step_on(reader: httpx.AsyncClient) -> None:
    """Their browser keeps the cookie back, as the link is another site's: the page goes on to itself."""
    session = reader.cookies["shadow_session"]
    reader.cookies.clear()
    answer = await reader.get("/pages/tasks/order-sync", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    reader.cookies.set("shadow_session", session)
    assert "<h1>order-sync" in (await reader.get("/pages/tasks/order-sync")).text


def unsafe(services: ControlServices) -> list[str]:
    """The address of every form."""
    app = pages_app(services)
    assert isinstance(app, WithHeaders)
    wrapped: Any = app._app
    found = [route for route in wrapped.routes if {"GET", "HEAD"}.isdisjoint(route.methods)]
    values = {"task": "order-sync", "signature": "s1-x", "allowance": str(new_id())}
    return [f"/pages{route.path_format.format(**values)}" for route in found]


async def test_no_form_at_all_is_taken_from_another_site_or_without_its_proof(
    database: Database, operator: httpx.AsyncClient
) -> None:
    addresses = unsafe(ControlServices(database, catalogue()))
    assert len(addresses) == 7
    proof = await form_token(operator)
    for address in addresses:
        cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        answer = await operator.post(address, data={"form_token": proof}, headers=cross)
        assert (answer.status_code, "another site" in answer.text) == (403, True), address
        if not address.endswith("/sign-in"):  # whose proof is the token itself
            answer = await operator.post(address, data={"reason": "x"})
            assert (answer.status_code, "another session" in answer.text) == (403, True), address
    assert (await operator.get("/pages/")).status_code == 200


async def test_a_session_that_somebody_planted_becomes_nobodys(database: Database, stranger: httpx.AsyncClient) -> None:
    """Whoever knows the secret that a browser had before signing in knows nothing of the session after it."""
    _, planted = await tokens.issue(database.engine, "mallory", [Scope.READ])
    secret = await sessions.begin(database.engine, planted)
    stranger.cookies.set("shadow_session", secret, path="/pages")
    await sign_in(stranger, await token(database, "bob", Scope.READ))
    assert await sessions.find(database.engine, secret) is None
    assert len({cookie.value for cookie in stranger.cookies.jar}) == 2, "the browser was given another"


async def test_tokens_are_not_tried_without_end(database: Database, stranger: httpx.AsyncClient) -> None:
    wrong = [await stranger.post("/pages/sign-in", data={"token": f"shadow_{number}"}) for number in range(12)]
    assert [answer.status_code for answer in wrong[:10]] == [422] * 10
    assert [answer.status_code for answer in wrong[10:]] == [429] * 2
    assert int(wrong[-1].headers["retry-after"]) <= 6
    secret = await token(database, "bob", Scope.READ)
    assert (await stranger.post("/pages/sign-in", data={"token": secret})).status_code == 429


async def test_nothing_on_a_page_is_inline_and_no_page_is_framed(reader: httpx.AsyncClient) -> None:
    for address in ("/pages/", "/pages/pairs", "/pages/sign-in", "/pages/none"):
        answer = await reader.get(address)
        policy = answer.headers["content-security-policy"]
        assert "'unsafe-inline'" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
        assert " onclick=" not in answer.text


@pytest.mark.parametrize("origin", ["null", "https://[", "https://evil.example", "http://pages@evil.example", ""])
async def test_an_origin_that_is_not_ours_is_another_site_however_it_is_written(
    operator: httpx.AsyncClient, origin: str
) -> None:
    sent = {"form_token": await form_token(operator), "reason": "x"}
    del operator.headers["Sec-Fetch-Site"]  # as older browsers
    answer = await operator.post("/pages/sign-out", data=sent, headers={"Origin": origin})
    assert (answer.status_code, "another site" in answer.text) == (403, True)
