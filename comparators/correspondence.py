"""Correspondence: which values may differ because they were born in the runs, and do so consistently.

Ids that look generated on both sides map one to one over the whole pair; the first use that contradicts the
mapping is a difference. Moments correspond when they follow each run's own clock. Neither holds for values
that the event already knew, nor for protected paths (amounts, currencies, recipients, tenants, accounts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol, TypeGuard

from comparators.align import Aligned, Items, part, restored
from comparators.canonical import JSON, canonical
from comparators.generated import Token, may_correspond, take_apart
from comparators.instant import Moment, Window, moment_in_number, moment_in_text, same_moment
from comparators.path import Parts
from comparators.protected import is_money, is_protected
from comparators.shape import leaves

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
                tokens = take_apart(leaf).tokens
                texts.update((leaf, *(token.text for token in tokens)))
                moments.update(m.seconds for t in tokens if (m := moment_in_text(t.text)) is not None)
            elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
                texts.add(canonical(leaf).decode())
                moment = moment_in_number(leaf, parts)
                if moment is not None:
                    moments.add(moment.seconds)
        return cls(frozenset(texts), frozenset(moments))


class Check(Protocol):
    """What a rule says of two values at one place: whether they are the same; None leaves it to the usual way."""

    def __call__(self, legacy: JSON, candidate: JSON, correspondence: Correspondence) -> bool | None: ...


NO_CHECKS: Mapping[Parts, Check] = MappingProxyType({})


@dataclass(slots=True)
class Correspondence:
    """The mapping between values of the two runs of one pair, built up use by use."""

    known: Known
    legacy_run: Window | None
    candidate_run: Window | None
    relative_noise: float
    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)

    def learn_equal(self, legacy: Aligned, candidate: Aligned) -> None:
        """Note every id that both sides share at the same place: it corresponds to itself, now and later."""
        if isinstance(legacy, dict) and isinstance(candidate, dict):
            for name, member in legacy.items():
                if name in candidate:
                    self.learn_equal(member, candidate[name])  # type: ignore[index]  # same kind of mapping
        elif isinstance(legacy, str) and legacy == candidate:
            for token in take_apart(legacy).tokens:
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
            for name, member in candidate.items():
                if name in legacy:
                    counterpart = legacy[name]  # type: ignore[index]  # both are arrays, or both objects
                    member = self.reconcile(counterpart, member, checks, (*parts, part(name)))
                rebuilt[name] = member  # type: ignore[index]  # as above
            return rebuilt
        if isinstance(legacy, str) and isinstance(candidate, str):
            return legacy if self.texts_correspond(legacy, candidate, parts) else candidate
        if _is_number(legacy) and _is_number(candidate):
            return legacy if self._numbers_correspond(legacy, candidate, parts) else candidate
        return candidate

    def texts_correspond(self, legacy: str, candidate: str, parts: Parts = ()) -> bool:
        """Whether two texts are the same but for generated ids and moments that correspond."""
        if legacy == candidate:
            return True
        if is_protected(parts):
            return False
        mine, theirs = take_apart(legacy), take_apart(candidate)
        if not mine.tokens or mine.pieces != theirs.pieces:
            return False
        forward: dict[str, str] = {}
        backward: dict[str, str] = {}
        for a, b in zip(mine.tokens, theirs.tokens, strict=True):
            if a.text == b.text:
                continue
            if a.is_instant and b.is_instant:
                if not self._moments_correspond(moment_in_text(a.text), moment_in_text(b.text)):
                    return False
                continue
            if not self._may_map(a, b):
                return False
            if forward.setdefault(a.text, b.text) != b.text or backward.setdefault(b.text, a.text) != a.text:
                return False
        # Only a text that corresponds as a whole says anything about its ids.
        self.forward |= forward
        self.backward |= backward
        return True

    def unify(self, legacy: str, candidate: str) -> bool:
        """Take two values for the same id, born in each run; False when either was known before or is another's."""
        if legacy in self.known.texts or candidate in self.known.texts:
            return legacy == candidate
        if self.forward.get(legacy, candidate) != candidate or self.backward.get(candidate, legacy) != legacy:
            return False
        self.forward[legacy], self.backward[candidate] = candidate, legacy
        return True

    def is_known_moment(self, seconds: float) -> bool:
        """Whether that moment was known before the runs: then it is no moment of their own clocks."""
        return seconds in self.known.moments

    def trial(self) -> Correspondence:
        """A copy that learns for itself."""
        return replace(self, forward=dict(self.forward), backward=dict(self.backward))

    def _may_map(self, legacy: Token, candidate: Token) -> bool:
        if legacy.text in self.known.texts or candidate.text in self.known.texts:
            return False
        return (
            may_correspond(legacy, candidate)
            and self.forward.get(legacy.text, candidate.text) == candidate.text
            and self.backward.get(candidate.text, legacy.text) == legacy.text
        )

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
        return self._moments_correspond(moment_in_number(legacy, parts), moment_in_number(candidate, parts))

    def _moments_correspond(self, legacy: Moment | None, candidate: Moment | None) -> bool:
        if legacy is None or candidate is None:
            return False
        if legacy.notation == candidate.notation and legacy.seconds == candidate.seconds:
            return True
        if legacy.seconds in self.known.moments or candidate.seconds in self.known.moments:
            return False
        return same_moment(legacy, candidate, self.legacy_run, self.candidate_run)


def _is_number(value: Aligned) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
