"""No secret and nothing of anybody's data is in what processes write: logs, metrics, and answers to strangers.

The whole service, with a mark in every secret and in all data, is used rightly and wrongly, with platforms and targets
that answer with what they were sent, and with a database that refuses rows and quotes them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg

from sandbox.ports import free_port
from shadow.access import tokens
from shadow.access.tokens import Scope
from shadow.catalogue.model import Side
from shadow.demo.processes import ServiceProcess
from shadow.egress import keys
from shadow.model.ids import new_id
from shadow.store import embedded
from shadow.store.database import Database

MARK = "Qx7Mark"
"""In every secret and all data: whoever tells any of it tells this."""
CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{echo}", secret_key: tr_dev_{mark}Platform, timeout: 2s}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "{echo}", api_url: "{echo}", event_key: "{mark}EventKey",
      signing_key: signkey-test-{hexed}, app: shop, timeout: 2s}}
sources:
  hook:
    kind: webhook
    signature: {{scheme: github, secrets: ["{mark}Webhook"]}}
    events:
      - {{when: {{$.kind: order}}, name: order/created, id: $.id, data: $, tenant: $.tenant}}
  app: {{kind: inngest, keys: ["{mark}Producer"]}}
  sdk: {{kind: trigger.dev, keys: ["tr_dev_{mark}Producer"]}}
defaults: {{deadline: 3s, settle: 0s}}
tasks:
  order-sync:
    event: order/created
    sources: [hook, app, sdk]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
report_keys: {{legacy: ["{mark}ReportLegacy"], candidate: ["{mark}ReportCandidate"]}}
targets:
  pay:
    url: "{echo}"
    private: true
    timeout: 2s
    credential: {{header: authorization, secret: "Bearer {mark}Real"}}
  away:
    url: "http://127.0.0.1:9/"
    private: true
    timeout: 1s
"""
WATCH = "/shadow/inngest?fnId=shadow-watch&stepId=step"
PERSON = {"email": f"{MARK}@shop.test", "name": f"Ada {MARK}", "note": f"what {MARK} wrote", "tenant": f"{MARK}Shop"}


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """A server that refuses whatever it is sent, and quotes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            named = dict(line.lower().partition(b":")[::2] for line in head.splitlines())
            length = int(named.get(b"content-length", 0))
            said = orjson.dumps({"error": f"no: {(head + await reader.readexactly(length)).decode('latin-1')}"})
            writer.write(
                b"HTTP/1.1 422 Unprocessable\r\ncontent-type: application/json\r\nconnection: close\r\n"
                + f"x-{MARK}: {MARK}\r\ncontent-length: {len(said)}\r\n\r\n".encode()
                + said
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def signed(body: bytes, secret: str = f"{MARK}Webhook") -> dict[str, Any]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": f"{MARK}-d"}}


async def use(front: httpx.AsyncClient, key: str, time: str) -> list[httpx.Response]:
    """All doors, rightly and wrongly. Answers that pass on what a platform or target said are left out."""
    order = orjson.dumps({"kind": "order", "id": f"{MARK}-1-{time}", **PERSON})
    event = {"name": "order/created", "id": f"{MARK}-2-{time}", "data": PERSON}
    run = {"run": f"{MARK}-run", "task": "order-sync", "status": "completed", "output": PERSON}
    effect = {"run": f"{MARK}-run", "task": "order-sync", "kind": "http", "target": "pay", "operation": "POST /x"}
    report = {"authorization": f"Bearer {MARK}ReportLegacy"}
    wrong = {"authorization": f"Bearer {MARK}Wrong"}
    basic = {"authorization": "Basic " + base64.b64encode(f"{MARK}:{MARK}".encode()).decode()}
    trigger = {"authorization": f"Bearer tr_dev_{MARK}Producer"}
    named = {"x-shadow-key": key, "x-shadow-run": f"{MARK}-run"}
    await front.post("/api/v1/tasks/order-sync/trigger", json={"payload": PERSON}, headers=trigger)
    await front.get(f"/api/v1/runs/{MARK}?secret={MARK}", headers=trigger)
    await front.post(f"/v1/events?{MARK}", json=PERSON)
    for target in ("pay", "away"):
        await front.post(f"/egress/{target}/v1/{MARK}?key={MARK}", json=PERSON, headers=named)
    return [
        await front.post("/webhooks/hook", **signed(order)),
        await front.post("/webhooks/hook", **signed(order, f"{MARK}Wrong")),
        await front.post("/webhooks/hook", content=order),
        await front.post("/webhooks/hook", **signed(orjson.dumps({"kind": "unknown", **PERSON}))),
        await front.post("/webhooks/hook", **signed(f"{{{MARK}".encode())),
        await front.post(f"/webhooks/{MARK}", content=order),
        await front.post(f"/e/{MARK}Producer", json=[event, {**event, "id": f"{MARK}-3-{time}"}]),
        await front.post(f"/e/{MARK}Producer", json={"name": "order/unknown", "data": PERSON}),
        await front.post(f"/e/{MARK}Wrong", json=event),
        await front.post(f"/e/{MARK}Producer", content=f'[{{"{MARK}'.encode()),
        await front.post("/api/v1/tasks/order-sync/trigger", json={"payload": PERSON}, headers=wrong),
        await front.post("/shadow/runs", json=run, headers=report),
        await front.post("/shadow/runs", json={**run, "status": "completed\x00"}, headers=report),
        await front.post("/shadow/runs", json=run, headers=wrong),
        await front.post("/shadow/effects", json={**effect, "data": PERSON}, headers=report),
        await front.post("/shadow/effects", content=f'{{"{MARK}": {MARK}'.encode(), headers=report),
        await front.post("/shadow/guard", json=PERSON, headers=report),
        await front.post(WATCH, json=PERSON, headers={"x-inngest-signature": MARK}),
        await front.post(f"/egress/pay/{MARK}", json=PERSON, headers=wrong),
        await front.post(f"/egress/pay/{MARK}", json=PERSON, headers=basic),
        await front.post(f"/egress/pay/~{MARK}Wrong/{MARK}", json=PERSON),
    ]


async def ask(control: httpx.AsyncClient, token: str) -> list[httpx.Response]:
    """The control port, by those who may not."""
    wrong = {"authorization": f"Bearer shadow_{MARK}Wrong"}
    form = {"token": f"shadow_{MARK}Wrong"}
    return [
        await control.get("/v1/pairs", headers=wrong),
        await control.get("/v1/pairs", headers={"authorization": f"Basic {MARK}"}),
        await control.post("/v1/gates/order-sync/confirmation", json={"metadata": {"token": f"shadow_{MARK}"}}),
        await control.post("/pages/sign-in", data=form, headers={"Sec-Fetch-Site": "same-origin"}),
        await control.get("/pages/", headers={"cookie": f"shadow_session={MARK}"}),
        await control.get("/metrics"),
        await control.get("/metrics/parity"),
        await control.get("/metrics", headers={"authorization": f"Bearer {token}"}),
    ]


async def test_neither_logs_nor_metrics_nor_refusals_tell_what_is_anybodys(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with echo() as url:
        catalogue = tmp_path / "catalogue.yaml"
        catalogue.write_text(CATALOGUE.format(echo=url, mark=MARK, hexed=MARK.encode().hex()))
        os.environ["SHADOW_TEST_MARK"] = MARK  # what processes inherit is nobody's either
        service = ServiceProcess(tmp_path, catalogue, free_port(), free_port())
        try:
            await service.start()
            answers = await disturbed(service, data)
        finally:
            await service.stop()
            del os.environ["SHADOW_TEST_MARK"]
    written = {path.name: path.read_text(errors="replace") for path in (tmp_path / "service.log", log_of(data))}
    shutil.rmtree(embedded.location(data), ignore_errors=True)
    lines = [line for text in written.values() for line in text.splitlines()]
    events = {orjson.loads(line).get("event") for line in lines if line.startswith("{")}
    # What this is about did happen.
    assert {"front.signature_rejected", "front.unmapped", "front.not_stored", "egress.unreachable"} <= events, events
    assert any('"exception"' in line for line in lines)
    assert any("violates check constraint" in line for line in written["log"].splitlines())
    assert [line for line in lines if MARK.lower() in line.lower() or MARK.encode().hex() in line] == []
    assert [(answer.request.url.path, answer.text) for answer in answers if MARK.lower() in answer.text.lower()] == []


def log_of(data: Path) -> Path:
    """Where the embedded server writes."""
    return embedded.location(data) / "log"


async def run_of_legacy(connection: psycopg.AsyncConnection[Any]) -> None:
    """A run with authority, whose calls are forwarded."""
    event, run = new_id(), new_id()
    await connection.execute(
        "INSERT INTO events (id, source, door, origin, name, delivery_id, route, phase, authority)"
        " VALUES (%s, 'app', 'inngest', 'producer', 'order/created', %s, 'order/created', 'shadow', 'legacy')",
        (event, MARK),
    )
    await connection.execute(
        "INSERT INTO runs (id, event_id, task, side, platform, platform_run_id, authority, state, started_at)"
        " VALUES (%s, %s, 'order-sync', 'legacy', 'trigger', %s, 'real', 'sent', now())",
        (run, event, f"{MARK}-run"),
    )


async def disturbed(service: ServiceProcess, data: Path) -> list[httpx.Response]:
    """Use the service while all is well, and while the database refuses rows and has lost a column."""
    url, server = embedded.start(data)
    database = Database(url)
    token, _ = await tokens.issue(database.engine, MARK, [Scope.READ])
    key, _ = await keys.issue(database, Side.LEGACY, MARK)
    await database.close()
    answers = []
    async with (
        httpx.AsyncClient(base_url=service.front_url, trust_env=False, timeout=20) as front,
        httpx.AsyncClient(base_url=service.control_url, trust_env=False, timeout=20) as control,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
    ):
        await run_of_legacy(connection)
        await asyncio.sleep(1.5)  # until the gateway knows its key
        answers += await use(front, key, "well")
        answers += await ask(control, token)
        for table in ("events", "effects", "runs", "dispatches"):
            await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_more CHECK (false) NOT VALID".encode())
        await connection.execute("ALTER TABLE pairs RENAME COLUMN deadline_at TO lost_at")
        answers += await use(front, key, "ill")
        answers += await ask(control, token)
        for path in ("/v1/pairs", f"/v1/pairs/{'0' * 8}-0000-7000-8000-{'0' * 12}", "/v1/tasks"):
            await control.get(path, headers={"authorization": f"Bearer {token}"})
        await asyncio.sleep(3)  # the loops look at what there is
    server.cleanup()
    return answers
