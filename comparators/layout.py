"""Layouts: two values laid out alike, with what the rules say of them, before and after ids are unified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comparators.align import Aligned, align, pruned
from comparators.canonical import JSON
from comparators.correspondence import Correspondence, Known
from comparators.path import Parts
from comparators.shape import shape
from comparators.treatment import Rewrite, Treatment


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values laid out alike; in the candidate's, what corresponds to legacy's already equals it."""

    legacy: Aligned
    candidate: Aligned

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return _same(self.legacy, self.candidate)


@dataclass(frozen=True, slots=True)
class Layout:
    """Two values laid out alike, before anything is unified."""

    legacy: Aligned
    candidate: Aligned
    treatment: Treatment

    @classmethod
    def of(cls, legacy: JSON, candidate: JSON, treatment: Treatment, known: Known) -> Layout:
        """The layout of two values: the one place where the rules of a task meet the values they speak of."""
        mine, theirs = (
            pruned(rewritten(value, treatment.rewrites), treatment.ignored) for value in (legacy, candidate)
        )
        laid_out = align(mine, theirs, lambda item: shape(item, known.texts), treatment.unordered)
        return cls(*laid_out, treatment)

    def compared(self, correspondence: Correspondence) -> Comparison:
        """What differs once all that corresponds is unified."""
        if _same(self.legacy, self.candidate):
            return Comparison(self.legacy, self.candidate)
        return Comparison(self.legacy, correspondence.reconcile(self.legacy, self.candidate, self.treatment.checks))


def rewritten(value: JSON, rewrites: Mapping[Parts, Rewrite], parts: Parts = ()) -> JSON:
    """The value with the values at some places read in another notation."""
    if not rewrites:
        return value
    if parts in rewrites:
        value = rewrites[parts](value)
    if isinstance(value, dict):
        return {name: rewritten(member, rewrites, (*parts, name)) for name, member in value.items()}
    if isinstance(value, list):
        return [rewritten(item, rewrites, (*parts, index)) for index, item in enumerate(value)]
    return value


def _same(legacy: Aligned, candidate: Aligned) -> bool:
    """Strict equality: Python alone would take True for 1, and an empty array for an empty object."""
    if type(legacy) is not type(candidate):
        return False
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        return legacy.keys() == candidate.keys() and all(
            _same(member, candidate[name])  # type: ignore[index]  # same kind of mapping
            for name, member in legacy.items()
        )
    return legacy == candidate
