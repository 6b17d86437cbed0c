"""Warnings about the rows that runs without authority need."""

from __future__ import annotations

import pytest

from shadow.catalogue import check, parse
from tests.unit.shadow.catalogues import TEXT

DATABASES = """
databases:
  shop:
    legacy: {dsn: "postgresql://legacy"}
    candidate: {dsn: "postgresql+psycopg://candidate"}
"""
WORLD = "    sequence: after\n    world: [{table: orders, key: {id: $.orderId}, changed_at: updated_at}]\n"


def warned(task: str = WORLD, databases: str = DATABASES) -> list[tuple[str, str]]:
    text = TEXT.replace("  pay:\n", f"  pay:\n{task}") + databases
    return [(one.code, one.message) for one in check(parse(text, "small.yaml", {})) if ".world" in one.key]


def test_rows_that_others_write_are_warned_of_in_nothing() -> None:
    assert warned() == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("    rules: {identities: [{kind: sql, operation: upsert orders, paths: [$.id]}]}\n", "rules.identities[0]"),
        ("    rules: {identities: [{kind: state, target: shop.orders, paths: [$.id]}]}\n", "rules.identities[0]"),
        ("    probes: [{name: saved, database: shop, sql: SELECT * FROM Orders}]\n", "the probe saved"),
    ],
)
def test_a_table_that_the_task_is_known_to_write_has_changed_by_then(more: str, told: str) -> None:
    assert warned(WORLD + more) == [
        (
            "world-written",
            f"{told} says that the task writes orders: when its rows are copied its twin has changed them",
        )
    ]


@pytest.mark.parametrize(
    "more",
    [
        "    rules: {identities: [{kind: sql, operation: upsert orders_archive, paths: [$.id]}]}\n",
        "    rules: {identities: [{kind: http, operation: POST /orders, paths: [$.id]}]}\n",
        "    rules: {identities: [{kind: sql, paths: [$.id]}]}\n",
    ],
)
def test_what_is_of_other_tables_or_no_rows_at_all_says_nothing(more: str) -> None:
    assert warned(WORLD + more) == []


def test_rows_without_an_age_may_be_stale_unseen() -> None:
    (warning,) = warned(WORLD.replace(", changed_at: updated_at", ""))
    assert warning[0] == "world-age-unknown"


def test_rows_of_a_task_that_does_not_go_after_its_twin_are_never_copied() -> None:
    (warning,) = warned(WORLD.replace("after", "together"))
    assert warning[0] == "world-together"


def test_only_between_postgresql_databases_are_rows_copied() -> None:
    (warning,) = warned(databases=DATABASES.replace("postgresql://legacy", "mysql://legacy"))
    assert warning == (
        "world-not-postgresql",
        "databases.shop.legacy is no PostgreSQL: no rows are copied, and no pair is comparable",
    )
