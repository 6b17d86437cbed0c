"""What the two runs of a pair of children knew before they began: the data of two events that should say the same."""

from __future__ import annotations

from itertools import zip_longest

from comparators import JSON
from comparators.generated import may_correspond, take_apart


def known_to_both(legacy: JSON, candidate: JSON) -> JSON:
    """The data of both events, without ids and moments that were born in their parents and correspond.

    What the parents made anew for each side may differ in the children as it did there: whether it rightly does has
    been judged with the parents, of which these events are effects. Everything else was known.
    """
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        names = [*legacy, *(name for name in candidate if name not in legacy)]
        return {name: known_to_both(legacy.get(name), candidate.get(name)) for name in names}
    if isinstance(legacy, list) and isinstance(candidate, list):
        return [known_to_both(mine, theirs) for mine, theirs in zip_longest(legacy, candidate)]
    if legacy == candidate and type(legacy) is type(candidate):
        return legacy
    if isinstance(legacy, str) and isinstance(candidate, str) and _correspond(legacy, candidate):
        return None
    return [legacy, candidate]


def inherited(legacy: JSON, candidate: JSON) -> dict[str, str]:
    """Legacy's ids in the data of its event, with the candidate's for the same: born in the parents, and used by the
    children as what they are. What contradicts what was found before is left out."""
    found: dict[str, str] = {}
    _inherit(legacy, candidate, found)
    return found


def _inherit(legacy: JSON, candidate: JSON, found: dict[str, str]) -> None:
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        for name in sorted(legacy.keys() & candidate.keys()):
            _inherit(legacy[name], candidate[name], found)
    elif isinstance(legacy, list) and isinstance(candidate, list):
        for mine, theirs in zip(legacy, candidate, strict=False):
            _inherit(mine, theirs, found)
    elif isinstance(legacy, str) and isinstance(candidate, str) and _correspond(legacy, candidate):
        for a, b in zip(take_apart(legacy).tokens, take_apart(candidate).tokens, strict=True):
            if not a.is_instant and a.text != b.text and b.text not in found.values():
                found.setdefault(a.text, b.text)


def _correspond(legacy: str, candidate: str) -> bool:
    """Whether two texts differ in nothing but ids and moments that look generated on both sides."""
    mine, theirs = take_apart(legacy), take_apart(candidate)
    return (
        bool(mine.tokens)
        and mine.pieces == theirs.pieces
        and all(
            a.text == b.text or (a.is_instant and b.is_instant) or may_correspond(a, b)
            for a, b in zip(mine.tokens, theirs.tokens, strict=True)
        )
    )
