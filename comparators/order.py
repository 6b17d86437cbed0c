"""The order comparator: where an order is declared, did both runs keep it?"""

from __future__ import annotations

from collections.abc import Iterator

from comparators.canonical import JSON
from comparators.case import Case
from comparators.normalise import Entry
from comparators.rules import EffectPattern, OrderRule
from comparators.sentence import reordered
from comparators.verdict import Difference, Severity


def compare_order(case: Case) -> Iterator[Difference]:
    """One difference for each declared order that one side kept and the other broke."""
    for rule in case.rules.before:
        legacy = _broken_by(case.legacy_entries, rule)
        candidate = _broken_by(case.candidate_entries, rule)
        if (legacy is None) == (candidate is None):
            continue
        entry = candidate or legacy
        assert entry is not None
        yield case.difference(
            "effect.reordered",
            ("effects", entry.kind, entry.target, entry.operation),
            legacy=_sequence(case.legacy_entries, rule),
            candidate=_sequence(case.candidate_entries, rule),
            severity=Severity.critical if candidate else Severity.minor,
            sentence=reordered(_pattern_name(rule.first), _pattern_name(rule.then), by_candidate=candidate is not None),
        )


def _broken_by(entries: tuple[Entry, ...], rule: OrderRule) -> Entry | None:
    """The first effect that came too early; None when the order was kept."""
    early: Entry | None = None
    for entry in entries:
        if _selects(rule.then, entry):
            early = early or entry
        elif early is not None and _selects(rule.first, entry):
            return early
    return None


def _sequence(entries: tuple[Entry, ...], rule: OrderRule) -> list[JSON]:
    return [
        f"{entry.kind} {entry.target}/{entry.spelled}"
        for entry in entries
        if _selects(rule.first, entry) or _selects(rule.then, entry)
    ]


def _selects(pattern: EffectPattern, entry: Entry) -> bool:
    return pattern.selects(entry.kind, entry.target, entry.spelled)


def _pattern_name(pattern: EffectPattern) -> str:
    return f"{pattern.kind} {pattern.target}/{pattern.operation}"
