"""Surrogates: keys that were made up for what a run did, and say nothing of what it was about.

Who records an effect takes the key of a row for its identity, and often that is a number the database counted up, or an
id that the worker made. Such a key tells one row of a run from another, but nobody finds the other side's row by it.
Whether it may differ is not decided here: the key itself is compared like any other value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from comparators.births import about, names_id, nouns
from comparators.canonical import JSON
from comparators.generated import HOLE, take_apart
from comparators.normalise import Entry
from comparators.shape import ids

_ROWS = "sql"
_INSERT = "insert "


def without_surrogates(
    legacy: Sequence[Entry], candidate: Sequence[Entry], outputs: tuple[JSON, JSON], known: Collection[str]
) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """The entries of both sides, with those identities left out by which no counterpart can be found.

    That is a generated-looking id which only one side ever mentions, and the number of a row that the run inserted:
    on the other side another row may have it.
    """
    numbers = [_numbers(entries, known) for entries in (legacy, candidate)]
    if any(numbers):
        legacy, candidate = _unnumbered(legacy, numbers[0]), _unnumbered(candidate, numbers[1])
    mine, theirs = ({(e.group, e.identity) for e in entries} for entries in (legacy, candidate))
    if mine == theirs:
        return legacy, candidate
    suspects = {entry for entry in legacy if (entry.group, entry.identity) not in theirs and _made_up(entry, known)}
    suspects |= {entry for entry in candidate if (entry.group, entry.identity) not in mine and _made_up(entry, known)}
    if not suspects:
        return legacy, candidate
    common = _mentioned(legacy, outputs[0]) & _mentioned(candidate, outputs[1]) | frozenset(known)
    return _told(legacy, suspects, common), _told(candidate, suspects, common)


def _made_up(entry: Entry, known: Collection[str]) -> bool:
    """Whether something in its identity looks generated and was not known."""
    if entry.identity is None:
        return False
    return any(not token.is_instant and token.text not in known for token in take_apart(entry.identity).tokens)


def _told(entries: Sequence[Entry], suspects: Collection[Entry], common: Collection[str]) -> Sequence[Entry]:
    """The entries, of the suspects what is left of their identities without the ids that only their side mentions."""
    return [replace(entry, identity=_left(entry.identity, common)) if entry in suspects else entry for entry in entries]


def _left(identity: str | None, common: Collection[str]) -> str | None:
    left = take_apart(identity or "").filled(lambda t: t.text if t.is_instant or t.text in common else HOLE)
    return None if left == HOLE else left


def _mentioned(entries: Iterable[Entry], output: JSON) -> frozenset[str]:
    values = [output, *([entry.spelled, entry.data] for entry in entries)]
    return frozenset(identifier for value in values for _, identifier in ids(value, ()))


def _numbers(entries: Iterable[Entry], known: Collection[str]) -> set[tuple[str, str, str]]:
    """(database, table, number) of the rows that were inserted under a number of their own."""
    return {
        (entry.target, entry.spelled.removeprefix(_INSERT), entry.identity)
        for entry in entries
        if entry.identity is not None
        and entry.identity not in known
        and has_own_number(entry.kind, entry.spelled, entry.identity, entry.data)
    }


def has_own_number(kind: str, operation: str, identity: str | None, data: JSON) -> bool:
    """Whether an effect inserted a row under a number that tells it apart, and which the database may have counted."""
    return (
        kind == _ROWS
        and operation.startswith(_INSERT)
        and identity is not None
        and identity.isdigit()
        and _is_own_key(operation, identity, data)
    )


def _is_own_key(operation: str, identity: str, data: JSON) -> bool:
    if not isinstance(data, dict):
        return False
    of = nouns(operation)
    return any(
        str(value) == identity and names_id((name,)) and about((name,)) <= of
        for name, value in data.items()
        if isinstance(value, int | str) and not isinstance(value, bool)
    )


def _unnumbered(entries: Sequence[Entry], numbers: Collection[tuple[str, str, str]]) -> Sequence[Entry]:
    return [
        replace(entry, identity=None)
        if entry.kind == _ROWS and (entry.target, entry.spelled.rpartition(" ")[2], entry.identity) in numbers
        else entry
        for entry in entries
    ]
