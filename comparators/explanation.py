"""Explanations: what each stage of judging did with a pair, so that a person can check it.

Plain data in the order of the stages: normalised, collapsed, paired, unified, hidden, classified. Made from a case
that has been compared, and only when somebody asks; the judgement itself does not depend on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from comparators.canonical import JSON, canonical
from comparators.case import Case, effect_parts
from comparators.correspondence import Kept, SameMoment, Unified
from comparators.layout import Layout
from comparators.normalise import Entry
from comparators.path import MISSING, Missing, normalised, value_at
from comparators.severity import why
from comparators.verdict import Difference, Verdict
from comparators.view import View, view_of

_NOTHING = "[nothing]"


@dataclass(frozen=True, slots=True)
class EffectName:
    """Which effect is meant."""

    side: str
    position: int
    """Place in the side's ledger as recorded, from 0."""
    kind: str
    target: str
    operation: str
    identity: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Normalised:
    """An effect whose notation was changed before it was compared."""

    effect: EffectName
    recorded: JSON
    compared: JSON


@dataclass(frozen=True, slots=True)
class CollapsedAway:
    """An effect that does not count because it was done again."""

    effect: EffectName
    instead: EffectName
    reason: str


@dataclass(frozen=True, slots=True)
class Paired:
    """Two effects that answer each other."""

    legacy: EffectName
    candidate: EffectName
    found_by: str
    """identity, only one, content, ids, content but for ids, likeness or kind: see `pairing.Found`."""
    equal: bool
    place: str
    """Normalised JSONPath of both in the pair; differences of them are there or below."""


@dataclass(frozen=True, slots=True)
class Alone(EffectName):
    """An effect that nothing answers."""

    place: str
    """Normalised JSONPath of it in the pair; differences of it are there."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A place at which a rule had something to say."""

    place: str
    rule: str
    reason: str
    legacy: JSON
    candidate: JSON
    """"[nothing]" where a side has nothing there."""


@dataclass(frozen=True, slots=True)
class Classified:
    """Why a difference has its severity."""

    path: str
    kind: str
    severity: str
    because: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each stage did."""

    identical: bool
    """Whether both ledgers say the same in so many words: the stages below then had nothing to do."""
    normalised: tuple[Normalised, ...]
    collapsed: tuple[CollapsedAway, ...]
    paired: tuple[Paired, ...]
    missing: tuple[Alone, ...]
    """Legacy's effects that nothing of the candidate answers."""
    surplus: tuple[Alone, ...]
    """The candidate's that answer nothing."""
    unified: tuple[Unified, ...]
    """Ids that differ and are the same thing."""
    kept: tuple[Kept, ...]
    """Ids that differ and are not, and why."""
    moments: tuple[SameMoment, ...]
    """Moments that are written differently and correspond."""
    hidden: tuple[Hidden, ...]
    """What differs where a rule holds, and is no difference."""
    classified: tuple[Classified, ...]
    views: tuple[View, ...]
    """Both values of everything that was paired and differs."""
    verdict: str
    """What followed from it."""

    def as_json(self) -> dict[str, JSON]:
        """As plain JSON values."""
        return cast("dict[str, JSON]", _plain(asdict(self)))


def explain(case: Case, differences: Sequence[Difference], verdict: Verdict, *, identical: bool) -> Explanation:
    """What the stages did with a case that was judged so."""
    places, lone = _places(case)
    return Explanation(
        identical=identical,
        normalised=tuple(_normalised(case)),
        collapsed=tuple(_collapsed(case)),
        paired=tuple(
            Paired(
                _named("legacy", effect.entry),
                _named("candidate", effect.counterpart),
                case.pairing.found[effect.entry].value,
                effect.data.equal and effect.same_operation,
                place,
            )
            for effect, place in zip(case.effects, places[1:], strict=True)
        ),
        missing=tuple(_alone("legacy", entry, lone) for entry in case.pairing.missing),
        surplus=tuple(_alone("candidate", entry, lone) for entry in case.pairing.surplus),
        unified=tuple(case.correspondence.unified.values()),
        kept=tuple(case.correspondence.kept.values()),
        moments=tuple(case.correspondence.moments),
        hidden=tuple(
            hidden
            for place, layout in zip(places, case.layouts, strict=True)
            for hidden in _hidden(place, layout, differences)
        ),
        classified=tuple(Classified(d.path, d.kind, str(d.severity), why(d)) for d in differences),
        views=tuple(_views(case, places)),
        verdict=_verdict(verdict, differences),
    )


def _normalised(case: Case) -> Iterator[Normalised]:
    for side, collapsed in (("legacy", case.legacy_collapsed), ("candidate", case.candidate_collapsed)):
        every = [*collapsed.kept, *(dropped.entry for dropped in collapsed.dropped)]
        for entry in sorted(every, key=lambda entry: entry.position):
            if canonical(entry.effect.data) != canonical(entry.data):
                yield Normalised(_named(side, entry), entry.effect.data, entry.data)


def _collapsed(case: Case) -> Iterator[CollapsedAway]:
    for side, collapsed in (("legacy", case.legacy_collapsed), ("candidate", case.candidate_collapsed)):
        for dropped in collapsed.dropped:
            yield CollapsedAway(_named(side, dropped.entry), _named(side, dropped.instead), dropped.reason)


def _hidden(place: str, layout: Layout, differences: Sequence[Difference]) -> Iterator[Hidden]:
    treatment = layout.treatment
    for parts, rule in treatment.rules.items():
        legacy, candidate = (value_at(value, parts) for value in layout.read)
        where = place + normalised(parts)[1:]
        found = any(difference.path.startswith(where) for difference in differences)
        if found or (legacy is not MISSING and candidate is not MISSING and canonical(legacy) == canonical(candidate)):
            continue
        yield Hidden(where, rule.id, rule.reason, _shown(legacy), _shown(candidate))


def _views(case: Case, places: Sequence[str]) -> Iterator[View]:
    comparisons = [case.output, *(effect.data for effect in case.effects)]
    for place, layout, comparison in zip(places, case.layouts, comparisons, strict=True):
        if comparison is not None and not comparison.equal:
            yield view_of(place, comparison, layout.raw)


def _places(case: Case) -> tuple[list[str], dict[Entry, str]]:
    """Where in the pair each layout is, the output first, then each effect; and where each effect without
    counterpart is. They are counted as the comparator of effects counts them."""
    ordinals: Counter[tuple[str, str, str]] = Counter()

    def place(entry: Entry, *, alone: bool = False) -> str:
        ordinal = ordinals[entry.group]
        if entry.identity is None:
            ordinals[entry.group] += 1
        return normalised(effect_parts(entry, ordinal, alone=alone))

    places = [normalised(("output",)), *(place(effect.entry) for effect in case.effects)]
    return places, {entry: place(entry, alone=True) for entry in (*case.pairing.missing, *case.pairing.surplus)}


def _verdict(verdict: Verdict, differences: Sequence[Difference]) -> str:
    if not differences:
        return f"{verdict}: nothing differs that counts"
    number = "1 difference counts" if len(differences) == 1 else f"{len(differences)} differences count"
    return f"{verdict}: {number}, the worst is {max(difference.severity for difference in differences)}"


def _named(side: str, entry: Entry) -> EffectName:
    return EffectName(side, entry.position, entry.kind, entry.target, entry.spelled, entry.identity, entry.attempt)


def _alone(side: str, entry: Entry, places: Mapping[Entry, str]) -> Alone:
    name = _named(side, entry)
    return Alone(
        name.side, name.position, name.kind, name.target, name.operation, name.identity, name.attempt, places[entry]
    )


def _shown(value: JSON | Missing) -> JSON:
    return _NOTHING if isinstance(value, Missing) else value


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
