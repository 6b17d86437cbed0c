"""Mail by SMTP: sent on for runs with authority alone. A real receiving server is the witness, not the sink."""

from __future__ import annotations

import asyncio
import smtplib
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from sandbox.serving import Served
from shadow.access.rates import Rates
from shadow.catalogue import CatalogueError
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.egress.gateway import Gateway
from shadow.egress.journal import CATCH_UP_SECONDS
from shadow.egress.keys import issue
from shadow.egress.mail_relay import MailRelay, NotSent
from shadow.egress.smtp_sink import SmtpSink
from shadow.egress.strangers import Strangers
from shadow.platforms.client import carrying_client
from shadow.spool.replay import spooling
from shadow.store import codec
from shadow.store.database import Database
from tests.integration.effects.world import SeenWorld, catalogue
from tests.integration.egress.world import ToldRouting, outage, until
from tests.integration.judge.world import Told

ORDER = {"order": "order-1234", "customer": "customer-9"}
MAIL = """targets:
  mail:
    url: smtp://127.0.0.1:{port}
    private: true
    timeout: 3s
    credential: {{secret: 'relay:secret'}}
"""


class Receiver:
    """The real mail server: what it has got is what the world has seen."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.answer = "250 2.0.0 queued as 7"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            self.received.append(envelope)
        return self.answer

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, told: Any) -> AuthResult:
        assert isinstance(told, LoginPassword)
        self.logins.append((told.login, told.password))
        return AuthResult(success=told.password == b"secret")


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    loop, handler = asyncio.get_running_loop(), Receiver()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, auth_require_tls=False, authenticator=handler.authenticate), "127.0.0.1", 0
    )
    yield handler, server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def trigger() -> AsyncIterator[tuple[dict[str, Any], str]]:
    """Trigger.dev: the runs that it tells of, and where."""
    told: dict[str, Any] = {}

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        run = told.get(scope["path"].rpartition("/")[2])
        content = orjson.dumps(run or {"error": "Run not found"})
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200 if run else 404, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async with Served(application) as served:
        yield told, served.url


@pytest.fixture
def world(database: Database, receiver: tuple[Receiver, int], trigger: tuple[dict[str, Any], str]) -> SeenWorld:
    return SeenWorld(database, catalogue(MAIL.format(port=receiver[1]), trigger=trigger[1]))


@pytest.fixture
def routing() -> ToldRouting:
    return ToldRouting()


@pytest.fixture
async def gateway(world: SeenWorld, routing: ToldRouting, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with carrying_client() as http, spooling(tmp_path / "spool", world.database) as replay:
        made = Gateway(world.catalogue, world.database, routing, http, replay.spool)
        made.runs._patience = 0.6
        await made.start()
        yield made
        await made.stop()


class Workers:
    """Both sides' workers with their keys."""

    def __init__(self, port: int, keys: dict[Side, str]) -> None:
        self.port, self.keys = port, keys

    async def send(
        self, side: Side, *, to: str = "zoe@example.com", login: Any = None, html: str | None = None, **headers: str
    ) -> str:
        """Send a mail; the answer to it."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "Order order-1234", "shop@example.com", to
        for name, value in headers.items():
            message[name.replace("_", "-")] = value
        message.set_content("Thanks!\n")
        if html is not None:
            message.add_alternative(html, subtype="html")

        def send() -> str:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as client:
                client.ehlo()
                try:
                    client.login(*(login or ("worker", self.keys[side])))
                    code, text = client.mail("shop@example.com")
                    if code == 250:
                        client.rcpt(to)
                        code, text = client.data(bytes(message))
                except smtplib.SMTPResponseException as error:
                    assert isinstance(error.smtp_error, bytes)
                    code, text = error.smtp_code, error.smtp_error
                return f"{code} {text.decode()}"

        return await asyncio.to_thread(send)


@pytest.fixture
async def workers(world: SeenWorld, gateway: Gateway) -> AsyncIterator[Workers]:
    issued = {side: (await issue(world.database, side, f"{side}-workers"))[0] for side in Side}
    await gateway.keys.refresh()
    relay = MailRelay(world.catalogue)
    sink = SmtpSink(
        world.catalogue,
        gateway.keys,
        gateway.callers,
        gateway.journal,
        gateway.containing,
        relay,
        host="127.0.0.1",
        port=0,
        rates=gateway.rates,
    )
    await sink.start()
    yield Workers(sink.port, issued)
    await sink.stop()


@pytest.fixture
def one_at_a_time(gateway: Gateway) -> None:
    """A key may make one call or send one mail, and the next in some minutes."""
    gateway.rates = Rates(1 / 300, burst=1)


async def ended(world: SeenWorld, told: Told) -> None:
    """Legacy's run is over."""
    await world.rows(
        "UPDATE runs SET state = 'finished', finished_at = now() WHERE id = %s RETURNING id", told.run(Side.LEGACY)
    )


EFFECTS = """
SELECT side, run_id, kind, target, operation, disposition, status, attributed_by, seen_by FROM effects ORDER BY id
"""


async def test_a_run_with_authority_sends(world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]) -> None:
    told = await world.keyed(ORDER)
    answer = await workers.send(
        Side.LEGACY, X_Shadow_Run=told.platform_run(Side.LEGACY), X_Shadow_Task="order-sync", X_Shadow_Attempt="2"
    )
    assert answer == "250 2.0.0 queued as 7"
    (got,) = receiver[0].received
    assert (got.mail_from, got.rcpt_tos) == ("shop@example.com", ["zoe@example.com"])
    assert isinstance(got.content, bytes)
    assert b"X-Shadow" not in got.content
    assert b"Subject: Order order-1234" in got.content
    assert receiver[0].logins == [(b"relay", b"secret")]
    run = told.run(Side.LEGACY)
    assert await world.rows(EFFECTS) == [
        ("legacy", run, "email", "mail", "send", "forward", 250, "headers", "mail"),
    ]


async def test_a_run_without_authority_is_told_yes_and_nothing_leaves(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    """Its twin has ended and sent none: the mail is an extra effect."""
    told = await world.keyed(ORDER)
    await ended(world, told)
    answer = await workers.send(Side.CANDIDATE, X_Shadow_Run=told.platform_run(Side.CANDIDATE))
    assert answer == "250 2.0.0 accepted"
    assert receiver[0].received == []
    assert [row[5:8] for row in await world.rows(EFFECTS)] == [("stub", 250, "headers")]


async def test_a_key_that_sends_too_often_is_told_to_come_back_and_the_other_is_not(
    world: SeenWorld, one_at_a_time: None, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    told = await world.keyed(ORDER)
    mine = {"X_Shadow_Run": told.platform_run(Side.LEGACY)}
    assert await workers.send(Side.LEGACY, **mine) == "250 2.0.0 queued as 7"
    refused = await workers.send(Side.LEGACY, **mine)
    assert refused.startswith("450 4.7.1 this key sends more than")
    assert len(receiver[0].received) == 1
    assert len(await world.rows(EFFECTS)) == 1  # what was not taken is nobody's effect
    await ended(world, told)
    other = {"X_Shadow_Run": told.platform_run(Side.CANDIDATE)}
    assert await workers.send(Side.CANDIDATE, **other) == "250 2.0.0 queued as 7"


async def test_it_is_told_what_its_twin_was_told(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    """Whatever a function does when a mail is refused, it does in shadow too. Recipients tell which mail is which."""
    told = await world.keyed(ORDER)
    real = {"X_Shadow_Run": told.platform_run(Side.LEGACY)}
    assert (await workers.send(Side.LEGACY, to="nobody@example.com", **real)) == "550 5.1.1 no such mailbox"
    assert (await workers.send(Side.LEGACY, **real)) == "250 2.0.0 queued as 7"
    await ended(world, told)
    shadow = {"X_Shadow_Run": told.platform_run(Side.CANDIDATE)}
    assert (await workers.send(Side.CANDIDATE, X_Count="1", **shadow)) == "250 2.0.0 queued as 7"
    assert (await workers.send(Side.CANDIDATE, to="Nobody@Example.com", **shadow)) == "550 5.1.1 no such mailbox"
    assert (await workers.send(Side.CANDIDATE, **shadow)) == "550 5.1.1 no such mailbox"  # one too many: as the first
    assert len(receiver[0].received) == 1
    rows = await world.rows(EFFECTS)
    assert [(row[5], row[6]) for row in rows if row[0] == "candidate"] == [
        ("replay", 250),
        ("replay", 550),
        ("replay", 550),
    ]


async def test_a_mail_that_reads_the_same_is_kept_as_the_same(world: SeenWorld, workers: Workers) -> None:
    """What is notation goes before what is personal is hashed, or else two hashes would differ."""
    told = await world.keyed(ORDER)
    for side, html in (
        (Side.LEGACY, "<p>Hello Zoe, call +49&nbsp;30 1234567 or write to help&#64;x.test</p>"),
        (Side.CANDIDATE, "<table><tr><td>Hello Zoe,\n call <b>+49 30\n1234567</b> or write to help@x.test</table>"),
    ):
        await workers.send(side, html=html, X_Shadow_Run=told.platform_run(side))
        await ended(world, told)
    rows = await world.rows("SELECT data FROM effects ORDER BY id")
    legacy, candidate = (orjson.loads(codec.decode(content)) for (content,) in rows)
    assert legacy == candidate
    (line,) = legacy["html"]["lines"]
    assert line.startswith("Hello Zoe, call ~phone:")
    assert line.endswith("@x.test")
    assert "1234567" not in line


async def test_with_both_under_way_it_waits_for_its_twins_answer(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    told = await world.keyed(ORDER)
    waits = asyncio.create_task(workers.send(Side.CANDIDATE, X_Shadow_Run=told.platform_run(Side.CANDIDATE)))
    receiver[0].answer = "452 4.2.2 mailbox full"
    assert (await workers.send(Side.LEGACY, X_Shadow_Run=told.platform_run(Side.LEGACY))).startswith("452")
    assert await waits == "452 4.2.2 mailbox full"


async def test_what_waited_too_long_is_told_yes_and_the_pair_says_so(world: SeenWorld, workers: Workers) -> None:
    told = await world.keyed(ORDER)
    answer = await workers.send(Side.CANDIDATE, X_Shadow_Run=told.platform_run(Side.CANDIDATE))
    assert answer == "250 2.0.0 accepted"
    ((reason,),) = await world.rows("SELECT incomparable FROM pairs WHERE id = %s", told.pair)
    assert reason.startswith("held too long")


@pytest.mark.parametrize("side", Side)
async def test_a_business_key_tells_whose_it_is(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int], side: Side
) -> None:
    told = await world.keyed(ORDER)
    assert (await workers.send(side)).startswith("250")
    assert len(receiver[0].received) == (1 if side is Side.LEGACY else 0)
    assert [(row[1], row[7]) for row in await world.rows(EFFECTS)] == [(told.run(side), "key")]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("named", [True, False])
async def test_what_is_nobodys_is_refused_and_kept(
    world: SeenWorld,
    workers: Workers,
    receiver: tuple[Receiver, int],
    gateway: Gateway,
    side: Side,
    named: bool,
) -> None:
    gateway.runs._strangers = Strangers(new_seconds=0)
    answer = await workers.send(side, **({"X_Shadow_Run": "run-unknown"} if named else {}))
    assert answer.startswith("550")
    assert receiver[0].received == []
    assert [(row[1], row[5], row[6]) for row in await world.rows(EFFECTS)] == [(None, "refuse", 550)]


@pytest.mark.parametrize("side", Side)
async def test_what_may_be_known_in_a_moment_is_to_come_back(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int], gateway: Gateway, side: Side
) -> None:
    """A run that was named just now, and any while calls may still lie in a spool: 550 would be for good."""
    unknown = {"X_Shadow_Run": "run-unknown"}
    assert (await workers.send(side, **unknown)).startswith("451")
    gateway.runs._strangers = Strangers(new_seconds=0)
    gateway.journal._back_at = time.monotonic()
    assert (await workers.send(side, **unknown)).startswith("451")
    assert receiver[0].received == []
    assert await world.rows(EFFECTS) == []
    gateway.journal._back_at = -CATCH_UP_SECONDS
    assert (await workers.send(side, **unknown)).startswith("550")


async def test_a_candidates_key_with_legacys_run_sends_nothing(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    told = await world.keyed({"order": "order-0001"})
    answer = await workers.send(Side.CANDIDATE, X_Shadow_Run=told.platform_run(Side.LEGACY))
    assert answer.startswith("550")
    assert receiver[0].received == []
    assert await world.rows("SELECT kind, run_id FROM incidents") == [("wrong_side", told.run(Side.LEGACY))]


def unsolicited(**more: Any) -> dict[str, Any]:
    return {"run_own": {"id": "run_own", "taskIdentifier": "order-sync", "status": "EXECUTING", **more}}


@pytest.mark.parametrize(("phase", "disposition"), [(Phase.SHADOW, "forward"), (Phase.LIVE, "stub")])
async def test_a_run_that_was_not_started_through_shadow_is_what_the_gateway_takes_it_for(
    world: SeenWorld,
    workers: Workers,
    receiver: tuple[Receiver, int],
    trigger: tuple[dict[str, Any], str],
    routing: ToldRouting,
    phase: Phase,
    disposition: str,
) -> None:
    """Legacy's own cron, its dashboard, a child inside the platform."""
    routing.phase = phase
    trigger[0].update(unsolicited())
    answer = await workers.send(Side.LEGACY, X_Shadow_Run="run_own", X_Shadow_Task="order-sync")
    assert answer.startswith("250")
    assert len(receiver[0].received) == (disposition == "forward")
    ((run,),) = await world.rows("SELECT id FROM runs")
    assert [(row[1], row[5]) for row in await world.rows(EFFECTS)] == [(run, disposition)]


async def test_mail_of_a_known_run_goes_on_while_the_database_is_away(
    world: SeenWorld,
    workers: Workers,
    receiver: tuple[Receiver, int],
    gateway: Gateway,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shadow.egress.runs._FRESH_SECONDS", 0.0)  # so that the database is asked, and is away
    told, contained = await world.keyed(ORDER), await world.keyed({"order": "order-0002"})
    await ended(world, contained)
    known = {"X_Shadow_Run": told.platform_run(Side.LEGACY), "X_Shadow_Task": "order-sync"}
    twin = {"X_Shadow_Run": contained.platform_run(Side.CANDIDATE), "X_Shadow_Task": "order-sync"}
    assert (await workers.send(Side.LEGACY, **known)).startswith("250")
    assert (await workers.send(Side.CANDIDATE, **twin)).startswith("250")
    async with outage(postgres_url):
        assert await workers.send(Side.LEGACY, **known) == "250 2.0.0 queued as 7"
        assert await workers.send(Side.CANDIDATE, **twin) == "250 2.0.0 accepted"
        unknown = await workers.send(Side.CANDIDATE, X_Shadow_Run="run-unknown", X_Shadow_Task="order-sync")
        assert unknown.startswith("451")
        assert (await workers.send(Side.LEGACY)).startswith("451")
    assert len(receiver[0].received) == 2

    async def written() -> bool:
        return not gateway.journal.away and not gateway._spool.standing.items

    await until(written)
    ours, theirs = told.run(Side.LEGACY), contained.run(Side.CANDIDATE)
    async with world.database.direct() as connection:  # the pool's own were ended
        cursor = await connection.execute(EFFECTS.replace("ORDER BY id", "ORDER BY sequence").encode())
        rows = await cursor.fetchall()
    assert [(row[1], row[5], row[6], row[8]) for row in rows] == [
        (ours, "forward", 250, "mail"),
        (theirs, "stub", 250, "mail"),
        (ours, "forward", 250, "mail"),
        (theirs, "stub", 250, "mail"),
    ]


async def test_without_a_key_nothing_is_taken(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    told = await world.keyed(ORDER)
    name = told.platform_run(Side.LEGACY)
    assert (await workers.send(Side.LEGACY, login=("worker", "shk_unknown"), X_Shadow_Run=name)).startswith("535")
    assert (await workers.send(Side.LEGACY, login=(workers.keys[Side.LEGACY], "x"), X_Shadow_Run=name)).startswith(
        "250"
    )
    assert len(receiver[0].received) == 1


async def test_the_workers_get_the_relays_own_refusal(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int]
) -> None:
    told = await world.keyed(ORDER)
    name = told.platform_run(Side.LEGACY)
    receiver[0].answer = "452 4.2.2 mailbox full"
    assert await workers.send(Side.LEGACY, X_Shadow_Run=name) == "452 4.2.2 mailbox full"
    assert await workers.send(Side.LEGACY, to="nobody@example.com", X_Shadow_Run=name) == "550 5.1.1 no such mailbox"
    assert [row[6] for row in await world.rows(EFFECTS)] == [452, 550]


async def test_while_nothing_can_be_recorded_nothing_leaves(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int], monkeypatch: Any
) -> None:
    told = await world.keyed(ORDER)

    async def away(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("shadow.egress.journal.Journal.write", away)
    answer = await workers.send(Side.LEGACY, X_Shadow_Run=told.platform_run(Side.LEGACY))
    assert answer.startswith("451")
    assert receiver[0].received == []


async def test_a_failure_of_our_own_lets_nothing_through(
    world: SeenWorld, workers: Workers, receiver: tuple[Receiver, int], monkeypatch: Any
) -> None:
    told = await world.keyed(ORDER)

    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("shadow.egress.smtp_sink.read_mail", fails)
    assert (await workers.send(Side.LEGACY, X_Shadow_Run=told.platform_run(Side.LEGACY))).startswith("554")
    assert receiver[0].received == []


async def test_a_credential_is_not_sent_in_clear_to_a_public_server() -> None:
    text = "targets:\n  mail:\n    url: smtp://127.0.0.1:1\n    credential: {secret: 'relay:secret'}\n"
    relay = MailRelay(catalogue(text))
    with pytest.raises(Exception, match="is not public"):
        await relay.relay("mail", "a@b", ["c@d"], b"")


async def test_a_server_that_offers_no_tls_gets_nothing_where_the_catalogue_says_how_it_is_known(
    receiver: tuple[Receiver, int],
) -> None:
    relay = MailRelay(catalogue(MAIL.format(port=receiver[1]) + "    tls: {minimum_version: '1.3'}\n"))
    with pytest.raises(NotSent, match="offers no TLS"):
        await relay.relay("mail", "a@b", ["c@d"], b"Subject: x\r\n\r\n")
    assert (receiver[0].received, receiver[0].logins) == ([], [])


@pytest.mark.parametrize("credential", ["{header: authorization, secret: 'a:b'}", "{secret: nocolon}"])
def test_a_mail_servers_credential_is_user_and_password(credential: str) -> None:
    with pytest.raises(CatalogueError):
        catalogue(f"targets:\n  mail:\n    url: smtp://mail.example.com\n    credential: {credential}\n")
