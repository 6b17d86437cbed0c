"""Each side's tenants' database: rows as the tasks see them, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from sandbox.commerce import databases
from sandbox.commerce.database import TenantDatabase
from sandbox.commerce.databases import DatabaseUrls
from shadow.capture import Capture

ROWS: dict[str, list[dict[str, Any]]] = {
    "withdrawals": [{"id": "r", "amount_cents": 5, "status": "approved"}],
    "attribution_results": [{"id": "a", "credits_json": {"email": 1.5}}],
    "tenants": [{"id": "b"}, {"id": "B"}, {"id": "a"}],
}


@pytest.fixture
def urls(postgres_url: str) -> Iterator[DatabaseUrls]:
    yield databases.prepare(postgres_url, ROWS, {**ROWS, "withdrawals": []}, prefix="database_test")
    databases.drop(postgres_url, prefix="database_test")


@pytest.fixture
def database(urls: DatabaseUrls) -> Iterator[TenantDatabase]:
    database = TenantDatabase(urls.legacy, Capture())
    yield database
    database.close()


def test_the_database_sets_only_the_columns_it_is_given(database: TenantDatabase) -> None:
    database.upsert("withdrawals", {"id": "r", "status": "failed", "error": "no"})
    row = database.get("withdrawals", "r")
    assert (row["amount_cents"], row["status"], row["error"]) == (5, "failed", "no")


def test_a_row_of_nothing_but_its_id_is_there_once(database: TenantDatabase) -> None:
    database.upsert("orders", {"id": "o"})
    database.upsert("orders", {"id": "o"})
    assert len(database.find("orders")) == 1


def test_the_database_keeps_json_columns_as_values(database: TenantDatabase) -> None:
    assert database.get("attribution_results", "a")["credits_json"] == {"email": 1.5}
    database.upsert("attribution_results", {"id": "b", "credits_json": {"brand": 0.1}})
    assert database.get("attribution_results", "b")["credits_json"] == {"brand": 0.1}


def test_the_database_names_the_row_it_misses(database: TenantDatabase) -> None:
    with pytest.raises(LookupError, match="no row 'x' in orders"):
        database.get("orders", "x")


def test_rows_come_in_the_order_in_which_programs_sort_too(database: TenantDatabase) -> None:
    assert [row["id"] for row in database.find("tenants")] == ["B", "a", "b"]


def test_each_side_has_rows_of_its_own(urls: DatabaseUrls, database: TenantDatabase) -> None:
    candidate = TenantDatabase(urls.candidate, Capture())
    assert candidate.find("withdrawals") == []
    candidate.upsert("tenants", {"id": "a", "name": "Changed"})
    assert database.get("tenants", "a")["name"] is None
    candidate.close()


@pytest.mark.parametrize(("side", "other"), [("candidate", "legacy"), ("legacy", "candidate")])
def test_no_sides_role_can_so_much_as_connect_to_the_others(urls: DatabaseUrls, side: str, other: str) -> None:
    own, theirs = urlsplit(getattr(urls, side)), urlsplit(getattr(urls, other))
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(urlunsplit(own._replace(path=theirs.path)))


def test_made_anew_it_holds_what_it_is_given_and_nothing_else(postgres_url: str, urls: DatabaseUrls) -> None:
    old = TenantDatabase(urls.legacy, Capture())
    old.upsert("tenants", {"id": "z"})
    old.close()
    again = databases.prepare(postgres_url, ROWS, {}, prefix="database_test")
    assert again != replace(urls)  # the passwords are new
    new = TenantDatabase(again.legacy, Capture())
    assert len(new.find("tenants")) == 3
    new.close()
