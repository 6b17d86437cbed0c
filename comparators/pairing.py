"""Pairing: which effect of the candidate answers which effect of legacy.

Effects are paired as a multiset, by kind, target, operation and business identity first. Where that leaves a
choice (no identity, or the same one several times), equal content decides, then equal content but for
generated ids, seen together with everything else that mentions those ids, then likeness, all of what is left at once.
What has no counterpart then is missing or too much; nothing is ever dropped. Ignore rules play no part: a rule cannot
change what is paired.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from comparators.assignment import Features, assign
from comparators.canonical import JSON, canonical, fingerprint
from comparators.normalise import Entry
from comparators.path import Parts, normalised
from comparators.protected import names_reference
from comparators.shape import ids, leaves, masked, shape

_ROUNDS = 3
"""How far around an id is looked: at what mentions it, at what else that mentions, and so on."""
_MOST_STEPS = 1_000
"""From effect to effect, following what tied ids tell of others."""


class Found(StrEnum):
    """By what a counterpart was found."""

    identity = "identity"
    """Business identity: the only two of it."""
    only_one = "only one"
    """Neither side has an identity, and each has one effect of the kind."""
    content = "content"
    """They say the same."""
    ids = "ids"
    """They say the same but for generated ids, and everything else that mentions those ids is alike."""
    shape = "content but for ids"
    likeness = "likeness"
    """Of several that differ: all of them together differ least so."""
    kind = "kind"
    """Only one side has an identity: likeness among effects of the kind."""


_BY_NAME = frozenset({Found.identity, Found.only_one})


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of entries, and the entries of each side that have no counterpart."""

    pairs: tuple[tuple[Entry, Entry], ...]
    missing: tuple[Entry, ...]
    """Legacy's, without counterpart in the candidate."""
    surplus: tuple[Entry, ...]
    """The candidate's, without counterpart in legacy."""
    found: Mapping[Entry, Found] = field(default_factory=dict)
    """By legacy's entry of each pair."""


@dataclass(slots=True)
class _Work:
    """What is still to be paired, and the ids that the pairs so far have tied together.

    `one` and `other` are legacy and candidate, or the other way round, see `pair`.
    """

    constants: Collection[str]
    one: list[Entry]
    other: list[Entry]
    pairs: list[tuple[Entry, Entry]] = field(default_factory=list)
    found: dict[Entry, Found] = field(default_factory=dict)
    """By entry of either side."""
    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    """By id of `other` that is tied to one of `one`, itself."""
    fresh: list[str] = field(default_factory=list)
    """Ids of both that were tied lately."""
    mentioned: dict[Entry, tuple[tuple[Parts, str], ...]] = field(default_factory=dict)
    """The ids of the entries looked at so far, with their places."""
    waits: bool = True
    """Whether ids are not tied together yet: effects that are paired by name may well use a wrong one."""
    _unbound: list[tuple[Entry, Entry]] = field(default_factory=list)

    def match(self, key: Callable[[Entry], Hashable], found: Found, *, alone: bool = False) -> None:
        """Pair entries of equal keys; with `alone`, only where both sides have exactly one of the key."""
        of_other = _by(key, self.other)
        for value, mine in _by(key, self.one).items():
            theirs = of_other.get(value, [])
            if not theirs or (alone and (len(mine) > 1 or len(theirs) > 1)):
                continue
            for entry in mine:
                for position, counterpart in enumerate(theirs):
                    if alone or self._consistent(entry, counterpart):
                        self._pair(entry, counterpart, found)
                        del theirs[position]
                        break
        self._forget_paired()

    def match_tied(self) -> None:
        """Pair what says the same once ids that are tied together are one; what that ties may tell of others."""
        mentions: dict[str, list[Entry]] = defaultdict(list)
        for entry in (*self.one, *self.other):
            for _, identifier in self._ids(entry):
                mentions[identifier].append(entry)
        ties = dict.fromkeys(self.one, self.forward) | dict.fromkeys(self.other, self.tied)
        seen: dict[Entry, bytes] = {}
        stale: Iterable[Entry] = ties
        for _ in range(_MOST_STEPS):
            seen.update((entry, shape(_unit(entry), self.constants, ties[entry])) for entry in stale)
            self.fresh.clear()
            self.match(lambda e: (e.group, e.identity, seen[e]), Found.ids, alone=True)
            stale = [entry for found in self.fresh for entry in mentions[found] if entry not in self.found]
            if not stale:
                return

    def match_alike(self, key: Callable[[Entry], Hashable], found: Found) -> None:
        """Pair what is left within equal keys so that all of it together is as alike as can be."""
        of_other = _by(key, self.other)
        for value, mine in _by(key, self.one).items():
            if theirs := of_other.get(value, []):
                ours = [_features(entry, self.constants, self.forward) for entry in mine]
                others = [_features(entry, self.constants, self.tied) for entry in theirs]
                for i, j in assign(ours, others):
                    self._pair(mine[i], theirs[j], found)
        self._forget_paired()

    def bind(self, one: Iterable[tuple[Parts, str]], other: Iterable[tuple[Parts, str]]) -> None:
        """Tie together the ids at the same places of two values, as far as they do not contradict."""
        theirs = defaultdict(list)
        for parts, identifier in other:
            theirs[parts].append(identifier)
        mine = defaultdict(list)
        for parts, identifier in one:
            mine[parts].append(identifier)
        for parts, found in mine.items():
            for a, b in zip(found, theirs.get(parts, []), strict=False):
                if a not in self.forward and b not in self.backward:
                    self.forward[a], self.backward[b], self.tied[b] = b, a, b
                    self.fresh += (a, b)

    def _pair(self, entry: Entry, counterpart: Entry, found: Found) -> None:
        if found is Found.identity and entry.identity is None:
            found = Found.only_one
        self.pairs.append((entry, counterpart))
        self.found[entry] = self.found[counterpart] = found
        self._unbound.append((entry, counterpart))
        if not self.waits:
            self.bind_pairs()

    def bind_pairs(self) -> None:
        """Tie together the ids of what has been paired, those of pairs that say the same first."""
        for entry, counterpart in sorted(self._unbound, key=lambda couple: self.found[couple[0]] in _BY_NAME):
            self.bind(self._ids(entry), self._ids(counterpart))
        self._unbound.clear()
        self.waits = False

    def _consistent(self, entry: Entry, counterpart: Entry) -> bool:
        return all(
            self.forward.get(a, b) == b and self.backward.get(b, a) == a
            for (_, a), (_, b) in zip(self._ids(entry), self._ids(counterpart), strict=False)
        )

    def _ids(self, entry: Entry) -> tuple[tuple[Parts, str], ...]:
        if entry not in self.mentioned:
            self.mentioned[entry] = tuple(ids(_unit(entry), self.constants))
        return self.mentioned[entry]

    def _forget_paired(self) -> None:
        self.one = [entry for entry in self.one if entry not in self.found]
        self.other = [entry for entry in self.other if entry not in self.found]


def pair(
    legacy: Sequence[Entry],
    candidate: Sequence[Entry],
    *,
    outputs: tuple[JSON, JSON] = (None, None),
    known: Collection[str] = frozenset(),
) -> Pairing:
    """Pair the entries of two ledgers, whatever their order.

    The outputs of the runs take part because they may mention the ids born in them.
    """
    mine, theirs = sorted(legacy, key=Entry.order_key), sorted(candidate, key=Entry.order_key)
    swapped = [entry.order_key() for entry in mine] > [entry.order_key() for entry in theirs]
    # Among equally good choices it must not matter which side is called legacy, so what stands first does not tell.
    if swapped:
        mine, theirs, outputs = theirs, mine, (outputs[1], outputs[0])
    work = _Work(known, mine, theirs)
    _run(work, outputs, known)
    pairs, missing, surplus = work.pairs, work.one, work.other
    if swapped:
        pairs, missing, surplus = [(entry, other) for other, entry in pairs], surplus, missing
    found = {entry: work.found[entry] for entry, _ in pairs}
    return Pairing(tuple(sorted(pairs, key=_pair_order)), tuple(missing), tuple(surplus), found)


def _run(work: _Work, outputs: tuple[JSON, JSON], known: Collection[str]) -> None:
    mine, theirs = tuple(work.one), tuple(work.other)
    work.match(lambda e: (e.group, e.identity), Found.identity, alone=True)
    if not work.one or not work.other:
        return
    here, there = _mentioned(mine, outputs[0], known), _mentioned(theirs, outputs[1], known)
    work.constants = constants = frozenset(known) | (here & there)
    # Of several that say the same, those that carry a provider's key answer those that do.
    work.match(lambda e: (e.group, e.identity, e.content, e.idempotency_key is None), Found.content)
    work.match(lambda e: (e.group, e.identity, e.content), Found.content)
    if not work.one or not work.other:
        return
    colours = {**_colours(mine, outputs[0], constants), **_colours(theirs, outputs[1], constants)}
    seen = {e: shape(_unit(e), constants, colours) for e in (*work.one, *work.other)}
    work.match(lambda e: (e.group, e.identity, seen[e]), Found.ids, alone=True)
    shapes = {e: shape(_unit(e), constants) for e in (*work.one, *work.other)}
    work.match(lambda e: (e.group, e.identity, shapes[e]), Found.shape, alone=True)
    work.bind_pairs()
    work.bind(*(ids(output, constants) for output in outputs))
    work.match_tied()
    work.match(lambda e: (e.group, e.identity, seen[e]), Found.ids)
    work.match_tied()
    work.match(lambda e: (e.group, e.identity, shapes[e]), Found.shape)
    work.match_alike(lambda e: (e.group, e.identity), Found.likeness)
    _match_unidentified(work)


def _match_unidentified(work: _Work) -> None:
    """Where only one side could say what an effect was about, the kind of effect has to do."""
    one, other = work.one, work.other
    for of_one in (True, False):
        work.one = [e for e in one if (e.identity is None) == of_one]
        work.other = [e for e in other if (e.identity is None) != of_one]
        work.match_alike(lambda e: e.group, Found.kind)
    work.one = [entry for entry in one if entry not in work.found]
    work.other = [entry for entry in other if entry not in work.found]


def _features(entry: Entry, constants: Collection[str], tied: Mapping[str, str]) -> Features:
    """What an effect says, leaf by leaf. Who and what it is about weighs more than how much of it."""
    found: dict[Hashable, int] = {}
    for parts, leaf in leaves(masked(entry.data, constants, tied)):
        name = next((part for part in reversed(parts) if isinstance(part, str)), "")
        weight = 1 if not isinstance(leaf, str) else 4 if names_reference(name) else 2
        found[parts, canonical(leaf)] = weight
    return found


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


def _colours(entries: Sequence[Entry], output: JSON, constants: Collection[str]) -> Mapping[str, str]:
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
            surroundings = _digest(shape(value, constants, colours))
            for place, identifier in found:
                contexts[identifier].append(f"{tag} {place} {surroundings}")
        colours = {identifier: _digest("".join(sorted(found)).encode()) for identifier, found in contexts.items()}
    return colours


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
