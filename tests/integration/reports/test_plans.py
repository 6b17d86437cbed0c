"""At a million pairs no question of an operator's reads a big table through: every statement's true plan is looked at.

Every GET of the API is asked, bare and with each of its filters by itself, and whatever statement it makes is explained
with what it really read. A new operation or filter is asked as soon as it is in the OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from api.control import ControlServices, control_app
from benchmarks import scale
from shadow.access.tokens import Scope, issue
from shadow.catalogue.load import parse
from shadow.model.ids import new_id
from shadow.reports.paging import cursor_of
from shadow.store.database import Database
from shadow.store.tables import PARTITIONED

pytestmark = pytest.mark.slow

PAIRS = 1_000_000
MOST_READ = 25_000
"""Rows of big tables that one statement may touch: a page of 500 with its runs, ledgers and differences."""


@dataclass
class Statements:
    """Every SELECT that anybody sends by psycopg, SQLAlchemy too."""

    kept: list[tuple[str, Any]] = field(default_factory=list)

    def record(self, monkeypatch: pytest.MonkeyPatch) -> None:
        execute = psycopg.AsyncCursor.execute

        async def recording(cursor: Any, query: Any, params: Any = None, **more: Any) -> Any:
            text = query.decode() if isinstance(query, bytes) else query
            if isinstance(text, str) and re.match(r"\s*(SELECT|WITH)\b", text, re.IGNORECASE):
                self.kept.append((text, params))
            return await execute(cursor, query, params, **more)

        monkeypatch.setattr(psycopg.AsyncCursor, "execute", recording)

    def taken(self) -> list[tuple[str, Any]]:
        """Those since the last time."""
        found, self.kept = self.kept, []
        return found


def questions(document: dict[str, Any], values: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every path of a GET, bare and with each of its filters."""
    for template, methods in document["paths"].items():
        if "get" not in methods or template in ("/metrics", "/healthz", "/readyz"):
            continue
        path = template.format(**values)
        filters = [parameter for parameter in methods["get"].get("parameters", []) if parameter["in"] == "query"]
        yield path, {}
        for one in filters:
            yield path, {one["name"]: value_of(one, values)}
        if template == "/v1/pairs":
            for rare in ("missing_legacy", "pending"):  # none of a million
                yield path, {"verdict": rare}
                yield path, {"verdict": rare, "task": values["task"]}


def of_tenants(document: dict[str, Any]) -> dict[str, Any]:
    """What a token of some tenants may ask."""
    paths = {path: its for path, its in document["paths"].items() if its.get("get", {}).get("x-tenants") == "own"}
    return {**document, "paths": paths}


def value_of(parameter: dict[str, Any], values: dict[str, str]) -> str:
    """What to ask for: by name, else the first of those that it may be."""
    schema = parameter["schema"]
    choices = [choice for one in (schema, *schema.get("anyOf", ())) for choice in one.get("enum", ())]
    wanted = values.get(parameter["name"])
    if choices and wanted not in choices:
        return str(choices[0])
    assert wanted is not None, f"say here what to ask for as {parameter['name']}"
    return wanted


def leaves(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes that read a table."""
    if "Relation Name" in plan:
        yield plan
    for inner in plan.get("Plans", ()):
        yield from leaves(inner)


def read(node: dict[str, Any]) -> int:
    """How many rows a node touched, those that it threw away included."""
    loops = node["Actual Loops"]
    return int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * loops)


def is_big(node: dict[str, Any]) -> bool:
    return any(node["Relation Name"].startswith(f"{table}_2") for table in PARTITIONED)


async def test_every_question_is_answered_by_index(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_url.replace("/postgres?", "/shadow_scale?")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shadow_scale")
    try:
        now = datetime.now(UTC)
        rows = scale.Rows(PAIRS, now)
        await scale.fill(url, rows)
        differing = scale.DIFFERING * 7
        values = {
            "task": scale.task_name(3),
            "tenant": "tenant-007",
            "verdict": "mismatch",
            "signature": scale.FREQUENT,
            "pair": str(UUID(rows.id(differing, 1))),
            "event": str(UUID(rows.id(differing, 0))),
            "replay": str(new_id()),
            "cursor": cursor_of(UUID(rows.id(PAIRS // 2, 1))),
            "since": f"{now - timedelta(days=40):%Y-%m-%d}T00:00:00Z",
            "until": f"{now - timedelta(days=20):%Y-%m-%d}T00:00:00Z",
            "limit": "100",
            "explain": "true",
            "side": "candidate",
            "kind": "leak",
            "state": "open",
            "before": f"{now:%Y-%m-%d}T00:00:00Z",
            "category": "none",
            "phase": "shadow",
            "open": "true",
            "conditions": "true",
            "move": str(new_id()),
        }
        statements = Statements()
        statements.record(monkeypatch)
        wrong = [found async for found in _wrong(url, values, statements)]
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE shadow_scale WITH (FORCE)")
    assert wrong == []


async def _wrong(url: str, values: dict[str, str], statements: Statements) -> Any:
    database = Database(url)
    app = control_app(ControlServices(database, parse(scale.catalogue(), "catalogue.yaml")))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://control")
    asking: list[tuple[list[str] | None, dict[str, Any]]] = [(None, app.openapi())]
    asking += [(tenants, of_tenants(app.openapi())) for tenants in (["tenant-007"], ["tenant-007", "tenant-008"])]
    try:
        async with client, await psycopg.AsyncConnection.connect(url, autocommit=True) as explaining:
            for tenants, path, query in ((who, *one) for who, what in asking for one in questions(what, values)):
                if client.headers.get("x-asking") != str(tenants):
                    secret, _token = await issue(database.engine, "tests", [Scope.READ], tenants=tenants)
                    client.headers.update({"authorization": f"Bearer {secret}", "x-asking": str(tenants)})
                statements.taken()
                answer = await client.get(path, params=query)
                asked = f"GET {path} {query} of {tenants or 'all tenants'}"
                if answer.status_code not in (200, 404):
                    yield f"{asked}: HTTP {answer.status_code}"
                for text, params in statements.taken():
                    # A page of several tenants is put together from a page of each.
                    most = MOST_READ * len(tenants or ("all",))
                    for found in await _explained(explaining, text, params, most):
                        yield f"{asked}: {found}"
    finally:
        await database.close()


async def _explained(connection: psycopg.AsyncConnection[Any], text: str, params: Any, most: int) -> list[str]:
    """What is wrong with the way in which a statement is carried out."""
    cursor = psycopg.AsyncClientCursor(connection)
    await cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {text}", params)
    row = await cursor.fetchone()
    assert row is not None
    nodes = [node for node in leaves(row[0][0]["Plan"]) if is_big(node)]
    found = [
        f"reads {node['Relation Name']} through ({read(node)} rows): {' '.join(text.split())[:300]}"
        for node in nodes
        if node["Node Type"] == "Seq Scan" and read(node) > 1000
    ]
    touched = sum(read(node) for node in nodes)
    if touched > most and not found:
        found.append(f"touches {touched} rows: {' '.join(text.split())[:300]}")
    return found
