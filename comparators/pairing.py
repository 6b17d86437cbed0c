"""Pairing: which effect of the candidate answers which effect of legacy.

Effects are paired as a multiset, by kind, target, operation and business identity first. Where that leaves a
choice (no identity, or the same one several times), equal content decides, then equal content but for
generated ids, seen together with everything else that mentions those ids, then likeness. What is left over is
missing or too much; nothing is ever dropped. Ignore rules play no part: a rule cannot change what is paired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from comparators.canonical import JSON, fingerprint
from comparators.normalise import Entry
from comparators.path import normalised
from comparators.shape import ids, leaf_set, shape

_ROUNDS = 3
"""How far around an id is looked: at what mentions it, at what else that mentions, and so on."""
_LARGEST_MATRIX = 250_000
"""Cells of the likeness table beyond which leftovers are paired in their order."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of entries, and the entries of each side that have no counterpart."""

    pairs: tuple[tuple[Entry, Entry], ...]
    missing: tuple[Entry, ...]
    """Legacy's, without counterpart in the candidate."""
    surplus: tuple[Entry, ...]
    """The candidate's, without counterpart in legacy."""


@dataclass(slots=True)
class _Work:
    """What is still to be paired, and the ids that the pairs so far have tied together."""

    constants: Collection[str]
    legacy: list[Entry]
    candidate: list[Entry]
    pairs: list[tuple[Entry, Entry]] = field(default_factory=list)
    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)
    mentioned: dict[Entry, tuple[str, ...]] = field(default_factory=dict)
    """The ids of the entries looked at so far."""

    def match(self, key: Callable[[Entry], Hashable], *, alone: bool = False) -> None:
        """Pair entries of equal keys; with `alone`, only where both sides have exactly one of the key."""
        of_legacy, of_candidate = _by(key, self.legacy), _by(key, self.candidate)
        for value, mine in of_legacy.items():
            theirs = of_candidate.get(value, [])
            if not theirs or (alone and (len(mine) > 1 or len(theirs) > 1)):
                continue
            for entry in mine:
                for other in theirs:
                    if alone or self._consistent(entry, other):
                        self._pair(entry, other)
                        theirs.remove(other)
                        break
        self._forget_paired()

    def match_alike(self, key: Callable[[Entry], Hashable]) -> None:
        """Pair what is left within equal keys by likeness, most alike first."""
        of_legacy, of_candidate = _by(key, self.legacy), _by(key, self.candidate)
        for value, mine in of_legacy.items():
            theirs = of_candidate.get(value, [])
            if not theirs:
                continue
            if len(mine) * len(theirs) > _LARGEST_MATRIX:
                for entry, other in zip(mine, theirs, strict=False):
                    self._pair(entry, other)
                continue
            mine_leaves = [leaf_set(entry.data, self.constants) for entry in mine]
            their_leaves = [leaf_set(other.data, self.constants) for other in theirs]
            # The last two members break ties alike whichever side is called legacy.
            ranked = sorted(
                (len(a ^ b), i + j, abs(i - j), i, j)
                for i, a in enumerate(mine_leaves)
                for j, b in enumerate(their_leaves)
                if a & b or min(len(a), len(b)) <= 2
            )
            taken_mine: set[int] = set()
            taken_theirs: set[int] = set()
            for *_, i, j in ranked:
                if i not in taken_mine and j not in taken_theirs:
                    taken_mine.add(i)
                    taken_theirs.add(j)
                    self._pair(mine[i], theirs[j])
        self._forget_paired()

    def bind(self, legacy: JSON, candidate: JSON) -> None:
        """Tie together the ids at the same places of two values, as far as they do not contradict."""
        theirs = defaultdict(list)
        for parts, identifier in ids(candidate, self.constants):
            theirs[parts].append(identifier)
        mine = defaultdict(list)
        for parts, identifier in ids(legacy, self.constants):
            mine[parts].append(identifier)
        for parts, found in mine.items():
            for a, b in zip(found, theirs.get(parts, []), strict=False):
                if a not in self.forward and b not in self.backward:
                    self.forward[a], self.backward[b] = b, a

    def _pair(self, entry: Entry, other: Entry) -> None:
        self.pairs.append((entry, other))
        self.bind(_unit(entry), _unit(other))

    def _consistent(self, entry: Entry, other: Entry) -> bool:
        return all(
            self.forward.get(a, b) == b and self.backward.get(b, a) == a
            for a, b in zip(self._ids(entry), self._ids(other), strict=False)
        )

    def _ids(self, entry: Entry) -> tuple[str, ...]:
        if entry not in self.mentioned:
            self.mentioned[entry] = tuple(found for _, found in ids(_unit(entry), self.constants))
        return self.mentioned[entry]

    def _forget_paired(self) -> None:
        paired = {entry for couple in self.pairs for entry in couple}
        self.legacy = [entry for entry in self.legacy if entry not in paired]
        self.candidate = [entry for entry in self.candidate if entry not in paired]


def pair(
    legacy: list[Entry],
    candidate: list[Entry],
    *,
    outputs: tuple[JSON, JSON] = (None, None),
    known: Collection[str] = frozenset(),
) -> Pairing:
    """Pair the entries of two ledgers, whatever their order.

    The outputs of the runs take part because they may mention the ids born in them.
    """
    work = _Work(known, sorted(legacy, key=Entry.order_key), sorted(candidate, key=Entry.order_key))
    work.match(lambda e: (e.group, e.identity), alone=True)
    if work.legacy and work.candidate:
        mine, theirs = _mentioned(legacy, outputs[0], known), _mentioned(candidate, outputs[1], known)
        work.constants = constants = frozenset(known) | (mine & theirs)
        work.bind(*outputs)
        work.match(lambda e: (e.group, e.identity, e.content))
        if work.legacy and work.candidate:
            colours = {
                **_colours(legacy, outputs[0], constants),
                **_colours(candidate, outputs[1], constants),
            }
            seen = {e: shape(_unit(e), constants, colours) for e in (*work.legacy, *work.candidate)}
            work.match(lambda e: (e.group, e.identity, seen[e]), alone=True)
            work.match(lambda e: (e.group, e.identity, seen[e]))
            work.match(lambda e: (e.group, e.identity, shape(_unit(e), constants)))
            work.match_alike(lambda e: (e.group, e.identity))
            _match_unidentified(work)
    return Pairing(tuple(sorted(work.pairs, key=_pair_order)), tuple(work.legacy), tuple(work.candidate))


def _match_unidentified(work: _Work) -> None:
    """Where only one side could say what an effect was about, the kind of effect has to do."""
    legacy, candidate = work.legacy, work.candidate
    for unidentified_legacy in (True, False):
        work.legacy = [e for e in legacy if (e.identity is None) == unidentified_legacy]
        work.candidate = [e for e in candidate if (e.identity is None) != unidentified_legacy]
        work.match_alike(lambda e: e.group)
    paired = {entry for couple in work.pairs for entry in couple}
    work.legacy = [entry for entry in legacy if entry not in paired]
    work.candidate = [entry for entry in candidate if entry not in paired]


def _pair_order(couple: tuple[Entry, Entry]) -> tuple[Hashable, ...]:
    """Orders pairs in the same way whichever side is called legacy."""
    keys = sorted(entry.order_key() for entry in couple)
    return (*keys[0], *keys[1])


def _by(key: Callable[[Entry], Hashable], entries: Iterable[Entry]) -> dict[Hashable, list[Entry]]:
    found: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    return found


def _unit(entry: Entry) -> JSON:
    return [entry.spelled, entry.data]


def _mentioned(entries: Iterable[Entry], output: JSON, constants: Collection[str]) -> frozenset[str]:
    values = [output, *(_unit(entry) for entry in entries)]
    return frozenset(identifier for value in values for _, identifier in ids(value, constants))


def _colours(entries: list[Entry], output: JSON, constants: Collection[str]) -> Mapping[str, str]:
    """A colour for each id of one side, equal on both sides when all that mentions the id is alike.

    Colour refinement: an id is coloured by the effects that mention it and where; these are then told apart
    by the colours of the ids they mention, and so on.
    """
    units: list[tuple[str, JSON]] = [("output", output)]
    units += [(fingerprint([*entry.group, entry.identity]), _unit(entry)) for entry in entries]
    places = [[(normalised(parts), found) for parts, found in ids(value, constants)] for _, value in units]
    colours: dict[str, str] = {}
    if not any(places):
        return colours
    for _ in range(_ROUNDS):
        contexts: dict[str, list[str]] = defaultdict(list)
        for (tag, value), found in zip(units, places, strict=True):
            if not found:
                continue
            surroundings = shape(value, constants, colours).decode()
            for place, identifier in found:
                contexts[identifier].append(f"{tag} {place} {surroundings}")
        colours = {identifier: fingerprint("".join(sorted(found))) for identifier, found in contexts.items()}
    return colours
