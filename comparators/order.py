"""The order comparator: where order matters, did both runs keep it?

It matters where a rule says so, and between two writes of one row: whatever was declared, the later one stays. All
other effects of a run are independent of each other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from comparators.canonical import JSON
from comparators.case import Case, effect_parts
from comparators.instant import moment_in_number
from comparators.normalise import Entry
from comparators.path import Parts
from comparators.protected import is_protected
from comparators.rules import EffectPattern, OrderRule
from comparators.sentence import overwrote, reordered
from comparators.shape import leaves, shape
from comparators.verdict import Difference, Severity

ROWS = "sql"
"""The kind of effects that write rows."""


@dataclass(frozen=True, slots=True)
class _Couple:
    """Two paired effects, each with its place among the effects of its run."""

    entry: Entry
    counterpart: Entry
    legacy: int
    candidate: int


def compare_order(case: Case) -> Iterator[Difference]:
    """One difference for each order that one side kept and the other broke, and for each row that ends otherwise."""
    couples = _couples(case)
    for rule in case.rules.before:
        yield from _broken(case, rule, couples)
    yield from _overwritten(case, couples)


def _couples(case: Case) -> list[_Couple]:
    mine, theirs = _places(case.legacy_entries), _places(case.candidate_entries)
    return [_Couple(one, other, mine[one], theirs[other]) for one, other in case.pairing.pairs]


def _places(entries: Sequence[Entry]) -> dict[Entry, int]:
    """The place of each effect; those of one moment share theirs, since nobody can say which came first."""
    places: dict[Entry, int] = {}
    place, moment = -1, None
    for entry in entries:
        at = entry.effect.at
        if at is None or at != moment:
            place += 1
        places[entry], moment = place, at
    return places


def _broken(case: Case, rule: OrderRule, couples: Sequence[_Couple]) -> Iterator[Difference]:
    first = [couple for couple in couples if _selects(rule.first, couple.entry)]
    then = [couple for couple in couples if _selects(rule.then, couple.entry)]
    common = {couple.entry.identity for couple in first} & {couple.entry.identity for couple in then} - {None}
    found: dict[bool, str | None] = {}
    for identity in sorted(common, key=str) if common else [None]:
        some = [couple for couple in first if not common or couple.entry.identity == identity]
        others = [couple for couple in then if not common or couple.entry.identity == identity]
        for by_candidate in (True, False):
            if by_candidate not in found and _inverted(some, others, by_candidate=by_candidate):
                found[by_candidate] = identity
    for by_candidate, identity in found.items():
        entry = min((couple.entry for couple in then), key=Entry.order_key)
        yield case.difference(
            "effect.reordered",
            ("effects", entry.kind, entry.target, entry.operation),
            legacy=_sequence(case.legacy_entries, rule, identity),
            candidate=_sequence(case.candidate_entries, rule, identity),
            severity=_severity(rule, by_candidate=by_candidate),
            sentence=reordered(
                _pattern_name(rule.first), _pattern_name(rule.then), by_candidate=by_candidate, learned=rule.learned
            ),
        )


def _inverted(first: Sequence[_Couple], then: Sequence[_Couple], *, by_candidate: bool) -> bool:
    """Whether one side kept the order of some two effects that the other broke."""

    def keeper(couple: _Couple) -> int:
        return couple.legacy if by_candidate else couple.candidate

    def breaker(couple: _Couple) -> int:
        return couple.candidate if by_candidate else couple.legacy

    ranked = sorted(first, key=keeper)
    places = [keeper(couple) for couple in ranked]
    latest = list(accumulate((breaker(couple) for couple in ranked), max))
    for couple in then:
        before = bisect_left(places, keeper(couple))
        if before and latest[before - 1] > breaker(couple):
            return True
    return False


def _severity(rule: OrderRule, *, by_candidate: bool) -> Severity:
    return Severity.critical if by_candidate and not rule.learned else Severity.minor


def _overwritten(case: Case, couples: Sequence[_Couple]) -> Iterator[Difference]:
    """Rows that were written several times, and last by another write than on the other side."""
    rows: dict[tuple[str, str, str], list[_Couple]] = {}
    for couple in couples:
        entry = couple.entry
        if entry.kind == ROWS and entry.identity is not None and not entry.reads:
            rows.setdefault((entry.target, table_of(entry.spelled), entry.identity), []).append(couple)
    for written in rows.values():
        if len(written) < 2:
            continue
        mine = max(written, key=lambda couple: couple.legacy)
        theirs = max(written, key=lambda couple: couple.candidate)
        if mine.legacy == theirs.legacy or mine.candidate == theirs.candidate:
            continue
        clash = _clash(mine.entry, theirs.entry, case)
        if clash is None:
            continue
        yield case.difference(
            "effect.reordered",
            effect_parts(min(mine.entry, theirs.entry, key=Entry.order_key), 0),
            legacy=_writes(sorted(written, key=lambda couple: couple.legacy), of_legacy=True),
            candidate=_writes(sorted(written, key=lambda couple: couple.candidate), of_legacy=False),
            severity=Severity.critical if is_protected(clash) else Severity.major,
            sentence=overwrote(mine.entry, clash),
        )


def table_of(operation: str) -> str:
    """The table that an operation on rows names: its last word."""
    return operation.rpartition(" ")[2]


def _clash(one: Entry, other: Entry, case: Case) -> Parts | None:
    """A member that both writes set, to different values; ids and moments are each write's own."""
    if one.operation != other.operation and "delete" in f"{one.operation} {other.operation}":
        return ()
    if _rows_of_their_own(one, other):
        return None
    theirs = dict(leaves(other.data))
    for parts, value in leaves(one.data):
        if parts not in theirs or shape(value, case.known.texts) == shape(theirs[parts], case.known.texts):
            continue
        if not (_is_moment(value, parts) and _is_moment(theirs[parts], parts)):
            return parts
    return None


def _rows_of_their_own(one: Entry, other: Entry) -> bool:
    """Whether two writes about one business key are of two rows: what is inserted is new, and so is another id."""
    if one.spelled.startswith("insert ") and other.spelled.startswith("insert "):
        return True
    ids = [entry.data.get("id") if isinstance(entry.data, dict) else None for entry in (one, other)]
    return None not in ids and ids[0] != ids[1]


def _is_moment(value: JSON, parts: Parts) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and moment_in_number(value, parts) is not None


def _writes(couples: Sequence[_Couple], *, of_legacy: bool) -> list[JSON]:
    entries = [couple.entry if of_legacy else couple.counterpart for couple in couples]
    return [[entry.spelled, entry.data] for entry in entries]


def _sequence(entries: Sequence[Entry], rule: OrderRule, identity: str | None) -> list[JSON]:
    return [
        f"{entry.kind} {entry.target}/{entry.spelled}"
        for entry in entries
        if (_selects(rule.first, entry) or _selects(rule.then, entry))
        and (identity is None or entry.identity == identity)
    ]


def _selects(pattern: EffectPattern, entry: Entry) -> bool:
    return pattern.selects(entry.kind, entry.target, entry.spelled)


def _pattern_name(pattern: EffectPattern) -> str:
    return f"{pattern.kind} {pattern.target}/{pattern.operation}"
