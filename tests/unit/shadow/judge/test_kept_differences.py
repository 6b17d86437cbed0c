"""Of a pair with very many differences the worst are kept, and at least one of each signature."""

from __future__ import annotations

from comparators import Difference, Severity
from shadow.judge.writing import KEPT, _kept


def difference(number: int, signature: str) -> Difference:
    return Difference("output.changed", f"$['output'][{number}]", 1, 2, Severity.major, "It differs.", signature)


def test_few_differences_are_all_kept() -> None:
    few = [difference(number, "s") for number in range(3)]
    assert _kept(few) == few


def test_many_are_cut_without_losing_a_signature() -> None:
    many = [difference(number, "common") for number in range(2 * KEPT)] + [difference(0, "rare")]
    kept = _kept(many)
    assert len(kept) == KEPT
    assert kept[-1] == many[-1]
    assert kept[:-1] == many[: KEPT - 1]
