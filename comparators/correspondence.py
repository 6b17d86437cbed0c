"""Correspondence: which values may differ because they were born in the runs, and do so consistently.

Ids that look generated on both sides map one to one over the whole pair; the first use that contradicts the
mapping is a difference. Moments correspond when they follow each run's own clock. Neither holds for values
that the event already knew, nor for protected paths (amounts, currencies, recipients, tenants, accounts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol, TypeGuard

from comparators.align import Aligned, Items, part, restored
from comparators.births import NUMBER, Births, Origin, known_number, number_token
from comparators.canonical import JSON, canonical
from comparators.generated import Token, may_correspond, take_apart, tokens_in
from comparators.instant import Moment, Window, moment_in_number, moment_in_text, same_moment
from comparators.normalise import Entry
from comparators.path import Parts, normalised
from comparators.protected import is_money, is_protected
from comparators.shape import leaves, shape

_MONEY_NOISE = 1e-6
"""Absolute difference of two amounts that is float noise: far below any currency's unit."""


@dataclass(frozen=True, slots=True)
class Known:
    """The values that were there before the runs: those of the event and its parents."""

    texts: frozenset[str] = frozenset()
    moments: frozenset[float] = frozenset()

    @classmethod
    def of(cls, value: JSON) -> Known:
        """All scalars of a value as text, the generated-looking parts of its texts, and its moments."""
        texts: set[str] = set()
        moments: set[float] = set()
        for parts, leaf in leaves(value):
            if isinstance(leaf, str):
                tokens = tokens_in(leaf)
                texts.update((leaf, *(token.text for token in tokens)))
                if (number := known_number(leaf, parts)) is not None:
                    texts.add(number)
                moments.update(m.seconds for t in tokens if (m := moment_in_text(t.text)) is not None)
            elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
                texts.add(canonical(leaf).decode())
                if (number := known_number(leaf, parts)) is not None:
                    texts.add(number)
                moment = moment_in_number(leaf, parts)
                if moment is not None:
                    moments.add(moment.seconds)
        return cls(frozenset(texts), frozenset(moments))


class Check(Protocol):
    """What a rule says of two values at one place: whether they are the same; None leaves it to the usual way."""

    def __call__(self, legacy: JSON, candidate: JSON, correspondence: Correspondence) -> bool | None: ...


NO_CHECKS: Mapping[Parts, Check] = MappingProxyType({})


_BY_PARENT = "in the run that emitted the event"
_BY_RULE = "where a rule says that an id is born"


@dataclass(frozen=True, slots=True)
class Unified:
    """Two ids, one of each run, that are the same thing."""

    legacy: str
    candidate: str
    where: str
    """Where they were first seen to be."""
    legacy_birth: str
    candidate_birth: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Two ids that differ, and why that counts."""

    legacy: str
    candidate: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class SameMoment:
    """Two moments that correspond though they are not the same text or number."""

    legacy: str
    candidate: str
    where: str
    because: str


@dataclass(slots=True)
class Correspondence:
    """The mapping between values of the two runs of one pair, built up use by use."""

    known: Known
    legacy_run: Window | None
    candidate_run: Window | None
    relative_noise: float
    legacy_births: Births
    candidate_births: Births
    couples: Sequence[tuple[Entry, Entry]] = ()
    """The effects that were paired: what was born with both of a couple at the same place is the same thing."""
    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)
    unified: dict[str, Unified] = field(default_factory=dict)
    """By legacy's id; those that are equal on both sides are not listed."""
    kept: dict[tuple[str, str], Kept] = field(default_factory=dict)
    moments: list[SameMoment] = field(default_factory=list)
    operation: str = ""
    """Of the effects that are being compared."""
    place: str = ""
    """Where in the pair they are, for people."""
    names_wait: bool = True
    """Whether members that could go by several names of legacy's are left until everything else has told its ids."""
    ambiguous: bool = False
    """Whether there were any."""
    _bound: bool = False

    def learn_equal(self, legacy: Aligned, candidate: Aligned) -> None:
        """Note every id that both sides share at the same place: it corresponds to itself, now and later."""
        if isinstance(legacy, dict) and isinstance(candidate, dict):
            for name, member in legacy.items():
                if name in candidate:
                    if isinstance(member, str | dict):
                        self.learn_equal(member, candidate[name])  # type: ignore[index]  # same kind of mapping
                    if isinstance(name, str):
                        self._learn(name)
        elif isinstance(legacy, str) and legacy == candidate:
            self._learn(legacy)

    def learn_all(self, value: JSON) -> None:
        """Note every id of a value that is the same on both sides."""
        if isinstance(value, str):
            self._learn(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, str | list | dict):
                    self.learn_all(item)
        elif isinstance(value, dict):
            for name, member in value.items():
                self._learn(name)
                if isinstance(member, str | list | dict):
                    self.learn_all(member)

    def _learn(self, text: str) -> None:
        for token in tokens_in(text):
            if not token.is_instant:
                self.forward[token.text] = self.backward[token.text] = token.text

    def reconcile(
        self,
        legacy: Aligned,
        candidate: Aligned,
        checks: Mapping[Parts, Check] = NO_CHECKS,
        parts: Parts = (),
    ) -> Aligned:
        """The candidate's value in which all that corresponds to legacy's is replaced by legacy's."""
        if checks and (check := checks.get(parts)) is not None:
            said = check(restored(legacy), restored(candidate), self)
            if said is not None:
                return legacy if said else candidate
        if isinstance(legacy, dict) and isinstance(candidate, dict):
            if type(legacy) is not type(candidate):
                return candidate
            rebuilt: Items | dict[str, Aligned] = Items() if isinstance(candidate, Items) else {}
            renamed = (
                {}
                if isinstance(candidate, Items) or isinstance(legacy, Items)
                else self._renamed(legacy, candidate, parts)
            )
            for name, member in candidate.items():
                if isinstance(name, str):
                    name = renamed.get(name, name)
                if name in legacy:
                    counterpart = legacy[name]  # type: ignore[index]  # both are arrays, or both objects
                    if checks or not _are_one(counterpart, member):
                        member = self.reconcile(counterpart, member, checks, (*parts, part(name)))
                rebuilt[name] = member  # type: ignore[index]  # as above
            return rebuilt
        if isinstance(legacy, str) and isinstance(candidate, str):
            return legacy if self.texts_correspond(legacy, candidate, parts) else candidate
        if _is_number(legacy) and _is_number(candidate):
            return legacy if self._numbers_correspond(legacy, candidate, parts) else candidate
        return candidate

    def _renamed(self, legacy: dict[str, Aligned], candidate: dict[str, Aligned], parts: Parts) -> dict[str, str]:
        """Names of the candidate's members that are ids born in its run, with legacy's for the same."""
        theirs = [name for name in candidate if name not in legacy and tokens_in(name)]
        if not theirs:
            return {}
        mine = [name for name in legacy if name not in candidate and tokens_in(name)]
        seen = {name: shape(restored(legacy[name]), self.known.texts) for name in mine}
        found: dict[str, str] = {}
        for name in theirs:
            held = shape(restored(candidate[name]), self.known.texts)
            # First what is known to be the same, then what holds the same.
            mine.sort(key=lambda other: (self._as_candidate(other) != name, seen[other] != held, other))
            alike = sum(seen[other] == held for other in mine)
            if self.names_wait and alike > 1 and self._as_candidate(mine[0]) != name:
                self.ambiguous = True
                continue
            for other in mine:
                if self.texts_correspond(other, name, parts):
                    found[name] = other
                    mine.remove(other)
                    break
        return found

    def _as_candidate(self, text: str) -> str:
        """A text of legacy with the candidate's ids in it, as far as they are known."""
        return take_apart(text).filled(lambda token: self.forward.get(token.text, token.text))

    def texts_correspond(self, legacy: str, candidate: str, parts: Parts = ()) -> bool:
        """Whether two texts are the same but for generated ids and moments that correspond."""
        if legacy == candidate:
            return True
        if is_protected(parts):
            return False
        mine, theirs = take_apart(legacy), take_apart(candidate)
        if not mine.tokens:
            return not theirs.tokens and self._keys_correspond(legacy, candidate, parts)
        if mine.pieces != theirs.pieces:
            return False
        forward: dict[str, str] = {}
        backward: dict[str, str] = {}
        for a, b in zip(mine.tokens, theirs.tokens, strict=True):
            if a.text == b.text:
                continue
            if a.is_instant and b.is_instant:
                if not self.moments_correspond(a.text, b.text, parts):
                    return False
                continue
            if not self._may_map(a, b, parts):
                return False
            if forward.setdefault(a.text, b.text) != b.text or backward.setdefault(b.text, a.text) != a.text:
                return False
        # Only a text that corresponds as a whole says anything about its ids.
        for one, other in forward.items():
            self._map(one, other, parts)
        return True

    def unify(self, legacy: str, candidate: str) -> bool:
        """Take two values for the same id, born in each run; False when either was known before or is another's."""
        for value in (legacy, candidate):
            if value in self.known.texts or self.legacy_births.read(value) or self.candidate_births.read(value):
                return legacy == candidate
        if self.forward.get(legacy, candidate) != candidate or self.backward.get(candidate, legacy) != legacy:
            return False
        self.forward[legacy], self.backward[candidate] = candidate, legacy
        self.unified.setdefault(legacy, Unified(legacy, candidate, self.place, _BY_RULE, _BY_RULE))
        return True

    def inherit(self, ids: Mapping[str, str]) -> None:
        """Know ids that were born in the parents of the two runs."""
        for legacy, candidate in ids.items():
            self.forward[legacy], self.backward[candidate] = candidate, legacy
            self.unified[legacy] = Unified(legacy, candidate, "the events", _BY_PARENT, _BY_PARENT)

    def is_known_moment(self, seconds: float) -> bool:
        """Whether that moment was known before the runs, or read by one: then it is no moment of their own clocks."""
        return (
            seconds in self.known.moments
            or self.legacy_births.read_moment(seconds)
            or self.candidate_births.read_moment(seconds)
        )

    def trial(self) -> Correspondence:
        """A copy that learns for itself."""
        return replace(
            self,
            forward=dict(self.forward),
            backward=dict(self.backward),
            unified=dict(self.unified),
            kept=dict(self.kept),
            moments=list(self.moments),
        )

    def adopt(self, trial: Correspondence) -> None:
        """Know what a copy learned."""
        self.forward, self.backward = trial.forward, trial.backward
        self.unified, self.kept, self.moments = trial.unified, trial.kept, trial.moments
        self._bound = trial._bound

    def _may_map(self, legacy: Token, candidate: Token, parts: Parts) -> bool:
        self._bind_births()
        reason = self._why_not(legacy, candidate)
        if reason is None:
            return True
        self.kept.setdefault(
            (legacy.text, candidate.text), Kept(legacy.text, candidate.text, self._where(parts), reason)
        )
        return False

    def _why_not(self, legacy: Token, candidate: Token) -> str | None:
        """Why two ids can't be the same thing; None when they can."""
        if not may_correspond(legacy, candidate):
            return "they are ids of different kinds"
        if (taken := self.forward.get(legacy.text, candidate.text)) != candidate.text:
            return f"legacy's is the candidate's {taken}"
        if (taken := self.backward.get(candidate.text, legacy.text)) != legacy.text:
            return f"the candidate's is legacy's {taken}"
        if legacy.text in self.unified:
            return None
        mine, theirs = self.legacy_births.birth(legacy.text), self.candidate_births.birth(candidate.text)
        for side, birth in (("legacy", mine), ("the candidate", theirs)):
            if not birth.born:
                return f"{side} has it {birth.where}"
        certain = mine.origin is theirs.origin is Origin.certain
        if legacy.form == "number" and not certain and self._of_other_rows(legacy.text, candidate.text):
            return "they are the numbers of rows that were told apart"
        if mine.origin is Origin.likely and self.candidate_births.read(legacy.text):
            return "the candidate read legacy's"
        if theirs.origin is Origin.likely and self.legacy_births.read(candidate.text):
            return "legacy read the candidate's"
        return None

    def _of_other_rows(self, legacy: str, candidate: str) -> bool:
        """Whether both numbers are keys of what the runs created, and not of the same."""
        told = {(_number(one), _number(other)) for one, other in self.forward.items() if NUMBER in one}
        mine, theirs = _number(legacy), _number(candidate)
        return (
            (mine, theirs) not in told
            and any(one == mine for one, _ in told)
            and any(other == theirs for _, other in told)
        )

    def _map(self, legacy: str, candidate: str, parts: Parts) -> None:
        self.forward[legacy], self.backward[candidate] = candidate, legacy
        if legacy not in self.unified:
            births = self.legacy_births.birth(legacy).where, self.candidate_births.birth(candidate).where
            self.unified[legacy] = Unified(legacy, candidate, self._where(parts), *births)

    def ties(self) -> Mapping[str, str]:
        """By id, what stands for it on both sides: of all that was certainly born with two paired effects."""
        self._bind_births()
        return {**{theirs: theirs for theirs in self.backward}, **self.forward}

    def _bind_births(self) -> None:
        """Map what was born at the same place of two paired effects, before any use of it is looked at."""
        if self._bound:
            return
        self._bound = True
        place = self.place
        for entry, counterpart in self.couples:
            if (
                entry.data is counterpart.data
                and entry.spelled == counterpart.spelled
                and _unanswered(entry, counterpart)
            ):
                continue  # every id in them is the same on both sides
            theirs = self.candidate_births.keys(counterpart)
            for parts, token in self.legacy_births.keys(entry).items():
                other = theirs.get(parts)
                if other is None or other.text == token.text or is_protected(parts):
                    continue
                if self._why_not(token, other) is None:
                    self.place = f"{entry.kind} {entry.target}/{entry.spelled}"
                    self._map(token.text, other.text, parts)
        self.place = place

    def _where(self, parts: Parts) -> str:
        return f"{self.place} {normalised(parts)}".strip()

    def _numbers_correspond(self, legacy: float, candidate: float, parts: Parts) -> bool:
        if isinstance(legacy, int) and isinstance(candidate, int):
            if legacy == candidate:
                return True
        elif is_money(parts):
            if abs(legacy - candidate) <= _MONEY_NOISE:
                return True
        elif math.isclose(legacy, candidate, rel_tol=self.relative_noise, abs_tol=0.0):
            return True
        if is_protected(parts):
            return False
        if self.moments_correspond(legacy, candidate, parts):
            return True
        return self._keys_correspond(legacy, candidate, parts)

    def _keys_correspond(self, legacy: float | str, candidate: float | str, parts: Parts) -> bool:
        """Whether two numbers (also as text) are keys that a database gave what the runs created."""
        mine = number_token(_as_key(legacy), parts, self.operation)
        theirs = number_token(_as_key(candidate), parts, self.operation)
        if mine is None or theirs is None or not self._may_map(mine, theirs, parts):
            return False
        self._map(mine.text, theirs.text, parts)
        return True

    def moments_correspond(self, legacy: float | str, candidate: float | str, parts: Parts) -> bool:
        """Whether two texts or numbers are moments that are the same, or follow each run's own clock."""
        mine, theirs = _moment(legacy, parts), _moment(candidate, parts)
        if mine is None or theirs is None:
            return False
        if mine.notation == theirs.notation and mine.seconds == theirs.seconds:
            because = "the same moment"
        elif self.is_known_moment(mine.seconds) or self.is_known_moment(theirs.seconds):
            return False
        elif same_moment(mine, theirs, self.legacy_run, self.candidate_run):
            because = "each follows the clock of its own run"
        else:
            return False
        self.moments.append(SameMoment(str(legacy), str(candidate), self._where(parts), because))
        return True


def _unanswered(entry: Entry, counterpart: Entry) -> bool:
    return entry.effect.answer is None and counterpart.effect.answer is None


def _are_one(legacy: Aligned, candidate: Aligned) -> bool:
    """Whether two values are plainly the same; of what holds others nothing is said."""
    return legacy is candidate or (
        type(legacy) is type(candidate) and not isinstance(legacy, dict) and legacy == candidate
    )


def _number(key: str) -> str:
    return key.rpartition(NUMBER)[2]


def _is_number(value: Aligned) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_key(value: float | str) -> int | str | None:
    return None if isinstance(value, float) else value


def _moment(value: float | str, parts: Parts) -> Moment | None:
    return moment_in_text(value) if isinstance(value, str) else moment_in_number(value, parts)
