"""Keys that were made up for a row find no counterpart, and hide no difference either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparators import JSON, Effect, Ledger, Verdict
from tests.unit.comparators.ledgers import completed, judged, kinds

A, B = "0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", "0190d5f6-aaaa-7bbb-8ccc-1234567890ab"
A2, B2 = "0190d5f2-7c1a-7d3e-9b5f-222222222222", "0190d5f6-aaaa-7bbb-8ccc-333333333333"


def written(operation: str, identity: JSON, **columns: JSON) -> Effect:
    return Effect("sql", "db", operation, str(identity), {"id": identity, **columns})


def run(*effects: Effect, output: JSON = None) -> Ledger:
    return Ledger(completed(output), effects)


@pytest.mark.parametrize(("legacy", "candidate"), [((A, A2), (B, B2)), ((101, 102), (102, 103)), ((101, 102), (7, 8))])
def test_rows_are_found_by_what_they_say(legacy: tuple[JSON, JSON], candidate: tuple[JSON, JSON]) -> None:
    def log(first: JSON, second: JSON) -> Ledger:
        return run(written("insert log", first, text="a"), written("insert log", second, text="b"))

    assert judged(log(*legacy), log(*candidate)).verdict is Verdict.match
    assert judged(log(*legacy), log(*reversed(candidate))).verdict is Verdict.match


@pytest.mark.parametrize(("legacy", "candidate"), [(A, B), (101, 102), (101, 101)])
def test_what_differs_in_them_is_one_change(legacy: JSON, candidate: JSON) -> None:
    found = judged(run(written("insert log", legacy, text="a")), run(written("insert log", candidate, text="b")))
    assert kinds(found) == ["effect.changed"]
    assert found.differences[0].path.endswith("['text']")


@pytest.mark.parametrize(("legacy", "candidate"), [(A, B), (101, 102)])
def test_one_more_is_one_more(legacy: JSON, candidate: JSON) -> None:
    more = run(written("insert log", candidate, text="a"), written("insert log", B2, text="b"))
    found = judged(run(written("insert log", legacy, text="a")), more)
    assert kinds(found) == ["effect.extra"]
    # nothing else says which it is
    assert B2 in found.differences[0].path
    assert B2 in found.differences[0].sentence


def test_a_row_that_is_changed_later_under_its_number_is_the_same_row() -> None:
    def jobs(number: int) -> Ledger:
        return run(written("insert jobs", number, text="a"), written("update jobs", number, state="done"))

    assert judged(jobs(101), jobs(102)).verdict is Verdict.match


def test_an_id_that_both_sides_mention_is_an_identity() -> None:
    legacy = run(written("upsert customers", A, name="Ada"), written("upsert customers", A2, name="Bob"))
    swapped = run(written("upsert customers", A, name="Bob"), written("upsert customers", A2, name="Ada"))
    assert kinds(judged(legacy, swapped)) == ["effect.changed", "effect.changed"]


def test_a_number_that_the_event_knew_is_an_identity() -> None:
    legacy = run(written("insert orders", 101, total=5), written("insert orders", 102, total=6))
    swapped = run(written("insert orders", 101, total=6), written("insert orders", 102, total=5))
    known: JSON = {"orders": ["101", "102"]}
    assert kinds(judged(legacy, swapped, known=known)) == ["effect.changed", "effect.changed"]


def test_another_entity_is_still_another_entity() -> None:
    legacy, candidate = run(written("update customers", A, name="Ada")), run(written("update customers", B, name="Ada"))
    assert kinds(judged(legacy, candidate)) == ["effect.changed"]
    numbered = run(written("update customers", 101, name="Ada"))
    assert judged(numbered, run(written("update customers", 102, name="Ada"))).verdict is Verdict.mismatch


def test_a_made_up_part_of_an_identity_is_left_out() -> None:
    def line(order: str, key: str) -> Effect:
        return Effect("sql", "db", "insert lines", f"{order}/{key}", {"id": f"{order}/{key}", "order": order})

    legacy = run(line("7", A), line("8", A2))
    assert judged(legacy, run(line("8", B2), line("7", B))).verdict is Verdict.match
    gone = judged(legacy, run(line("7", B)))
    assert kinds(gone) == ["effect.missing"]
    assert f"8/{A2}" in gone.differences[0].path
    assert judged(legacy, replace(legacy, effects=legacy.effects[::-1])).verdict is Verdict.match
