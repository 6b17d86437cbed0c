"""Layouts: two values laid out alike, with what the rules say of them, before and after ids are unified."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from comparators.align import Aligned, Items, align, alone, may_have_moved, pruned, same_layout
from comparators.canonical import JSON
from comparators.correspondence import Correspondence, Known
from comparators.path import MISSING, Parts, value_at
from comparators.shape import shape
from comparators.treatment import UNTREATED, Treatment, rewritten


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values laid out alike; in the candidate's, what corresponds to legacy's already equals it."""

    legacy: Aligned
    candidate: Aligned

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return same_layout(self.legacy, self.candidate)


@dataclass(frozen=True, slots=True)
class Layout:
    """Two values laid out alike, before anything is unified."""

    legacy: Aligned
    candidate: Aligned
    treatment: Treatment
    raw: tuple[JSON, JSON]
    """Both values as they were."""
    read: tuple[JSON, JSON]
    """Both values with nothing left out, in the notation that rules ask for."""
    moved: tuple[Aligned, Aligned] | None = None
    """Both laid out so that an item that came or went moves no other, where that makes a difference: the second choice,
    for what corresponds in its place is the same."""

    @classmethod
    def of(
        cls, legacy: JSON, candidate: JSON, treatment: Treatment, known: Known, ties: Callable[[], Mapping[str, str]]
    ) -> Layout:
        """The layout of two values: the one place where the rules of a task meet the values they speak of.

        Args:
            ties: by id, what stands for it on both sides; asked for only where items have no order.
        """
        if legacy is candidate and treatment is UNTREATED:
            same = alone(legacy)
            return cls(same, same, treatment, (legacy, legacy), (legacy, legacy))
        read = (rewritten(legacy, treatment.rewrites), rewritten(candidate, treatment.rewrites))
        ignored, spoken_of = treatment.ignored.keys() - treatment.keys, treatment.rules.keys() | treatment.keys
        mine, theirs = (pruned(value, ignored, spoken_of) for value in read)
        shape_of = partial(shape, constants=known.texts)
        tied = partial(shape_of, colours=ties()) if treatment.unordered else None
        laid_out = align(mine, theirs, shape_of, treatment.unordered, tied=tied)
        if treatment.keys:
            # They told which items belong together; whether they are compared is another matter.
            left = [pruned(value, treatment.ignored, treatment.rules) for value in read]
            laid_out = (
                _without(laid_out[0], treatment.keys, left[0], 0),
                _without(laid_out[1], treatment.keys, left[1], 1),
            )
        moved = None
        if not treatment.unordered and may_have_moved(mine) and not same_layout(*laid_out):
            moved = align(mine, theirs, shape_of, moves=True)
        return cls(*laid_out, treatment, (legacy, candidate), read, None if moved == laid_out else moved)

    def compared(self, correspondence: Correspondence) -> Comparison:
        """What differs once all that corresponds is unified."""
        if same_layout(self.legacy, self.candidate):
            return Comparison(self.legacy, self.candidate)
        if self.treatment.unordered and (in_order := self._in_order(correspondence)) is not None:
            return in_order
        if self.moved is not None:
            trial = correspondence.trial()
            if not same_layout(self.legacy, trial.reconcile(self.legacy, self.candidate, self.treatment.checks)):
                legacy, candidate = self.moved
                return Comparison(legacy, correspondence.reconcile(legacy, candidate, self.treatment.checks))
        return Comparison(self.legacy, correspondence.reconcile(self.legacy, self.candidate, self.treatment.checks))

    def _in_order(self, correspondence: Correspondence) -> Comparison | None:
        """What corresponds as it stands is the same, whatever else its items might be paired with; None: it does not.

        Two moments of each run's clock may read as if each were another's.
        """
        mine, theirs = (pruned(value, self.treatment.ignored, self.treatment.rules) for value in self.read)
        legacy, candidate = align(mine, theirs, lambda item: shape(item, correspondence.known.texts))
        trial = correspondence.trial()
        reconciled = trial.reconcile(legacy, candidate, self.treatment.checks)
        if not same_layout(legacy, reconciled):
            return None
        correspondence.adopt(trial)
        return Comparison(legacy, reconciled)


def _without(value: Aligned, places: Collection[Parts], left: JSON, side: int, parts: Parts = ()) -> Aligned:
    """The value of one side without what stands at these of its places and is not in what is `left` of it."""
    if isinstance(value, Items):
        return Items(
            {
                label: _without(item, places, left, side, (*parts, index if (index := label[side]) is not None else -1))
                for label, item in value.items()
            }
        )
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Aligned]", value)
    return {
        name: _without(member, places, left, side, (*parts, name))
        for name, member in members.items()
        if (*parts, name) not in places or value_at(left, (*parts, name)) is not MISSING
    }
