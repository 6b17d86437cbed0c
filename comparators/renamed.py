"""Pairs that are the same but for ids and moments that each run made: told without building a case, as most can be.

It is a proof, not a second opinion: whatever it does not see at once is left to the case, and what it does see is what
the case would come to. Each id that differs was born in its run at places that say so by themselves, stands wherever
the other side's does and nowhere else, and nothing of either is known from the event, an answer or the other side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from comparators.attempts import came_to_nothing
from comparators.births import Births, Origin, Place, origin_at
from comparators.canonical import JSON, canonical, plain
from comparators.correspondence import Correspondence, Known
from comparators.generated import HOLE, take_apart
from comparators.instant import Window
from comparators.kinds import normal
from comparators.ledger import COMPLETED, Effect, Ledger
from comparators.normalise import identify
from comparators.order import ROWS, table_of
from comparators.path import Parts
from comparators.protected import is_protected
from comparators.rules import Rules
from comparators.surrogates import has_own_number
from comparators.treatment import UNTREATED, Treatment
from comparators.uses import UseCount
from comparators.verdict import RuleUse

_NUMBERS = (int, float)
_MOST_SEARCHED = 256 * 1024 * 1024
"""Bytes that are looked through for ids, all together: beyond it the case, which indexes them, takes less time."""


def uses_in_renamed(
    legacy: Ledger, candidate: Ledger, rules: Rules, *, known: JSON, inherited: Mapping[str, str]
) -> tuple[RuleUse, ...] | None:
    """What the rules did in two completed runs of which it is plain that nothing differs that counts; None: it is not.

    What is compared of the two beyond their effects and outputs (time, cost, what others have added) is the caller's.

    Raises what the case of the two raises.
    """
    if inherited or legacy.outcome.status != COMPLETED or candidate.outcome.status != COMPLETED:
        return None
    if legacy.outcome.error_message is not None or candidate.outcome.error_message is not None:
        return None
    couples = _couples(legacy.effects, candidate.effects, rules)
    if couples is None:
        return None
    sides = _Sides(legacy, candidate, couples, rules, known)
    try:
        plainly = all(map(sides.takes, couples)) and sides.takes_outputs() and sides.born()
    except (TypeError, ValueError):
        return None  # integers past 64 bits, lone surrogates: JSON all the same. Of what is none the case will tell.
    return sides.uses() if plainly else None


@dataclass(frozen=True, slots=True)
class _Couple:
    """Two effects of one name and identity, which no others of either side have."""

    legacy: Effect
    candidate: Effect
    data: tuple[JSON, JSON]
    """Of both, in normal form: one value where both recorded the same."""
    identity: str | None


def _couples(legacy: Sequence[Effect], candidate: Sequence[Effect], rules: Rules) -> list[_Couple] | None:
    """The effects of both sides two by two, in legacy's order; None where their names and identities do not tell."""
    if len(legacy) != len(candidate):
        return None
    made: dict[tuple[str, int], JSON] = {}
    theirs: dict[tuple[str, str, str, str | None], tuple[Effect, JSON]] = {}
    for effect in candidate:
        if effect.attempt != 1:
            return None
        data = made[effect.kind, id(effect.data)] = normal(effect.kind, effect.data)
        named = (effect.kind, effect.target, effect.operation, identify(effect, data, rules)[0])
        theirs[named] = (effect, data)
    couples: list[_Couple] = []
    alike: set[tuple[str, str, str, str | None]] = set()
    rows: list[tuple[str, str, str]] = []
    in_order = True
    for position, effect in enumerate(legacy):
        if effect.attempt != 1:
            return None
        key = (effect.kind, id(effect.data))
        data = made[key] if key in made else normal(effect.kind, effect.data)
        identity = identify(effect, data, rules)[0]
        found = theirs.get((effect.kind, effect.target, effect.operation, identity))
        if found is None or came_to_nothing(data):
            return None
        other = found[0]
        if effect.reads is not other.reads or (effect.idempotency_key is None) != (other.idempotency_key is None):
            return None
        in_order = in_order and candidate[position] is other
        # Whatever the ids in operations are, what is told apart without them is.
        taken = take_apart(effect.operation)
        operation = taken.filled(lambda _: HOLE) if taken.tokens else effect.operation
        alike.add((effect.kind, effect.target, operation, identity))
        if effect.kind == ROWS and identity is not None:
            rows.append((effect.target, table_of(effect.operation), identity))
        couples.append(_Couple(effect, other, (data, found[1]), identity))
    # Where order says something, it has to be the same: of writes of one row the last one stays.
    ordered = rules.before or len(set(rows)) < len(rows)
    return couples if len(alike) == len(couples) and (in_order or not ordered) else None


@dataclass(slots=True)
class _Sides:
    """What both sides say, as far as it was looked through."""

    legacy: Ledger
    candidate: Ledger
    couples: Sequence[_Couple]
    rules: Rules
    known: JSON
    _told: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))
    """All that each side said, and what it was answered."""
    _forward: dict[str, str] = field(default_factory=dict)
    _backward: dict[str, str] = field(default_factory=dict)
    _places: dict[str, list[Place]] = field(default_factory=dict)
    """Where legacy's ids stand that differ."""
    _count: UseCount = field(default_factory=UseCount)
    _known: Known | None = None
    _moments: Correspondence | None = None

    @property
    def before(self) -> Known:
        """What was there before the runs."""
        if self._known is None:
            self._known = Known.of(self.known)
        return self._known

    def takes(self, couple: _Couple) -> bool:
        """Whether two effects say the same but for ids that map one to one, and moments of the runs' clocks."""
        effect, other = couple.legacy, couple.candidate
        named = (effect.kind, effect.target, effect.operation)
        numbered = any(has_own_number(effect.kind, effect.operation, couple.identity, data) for data in couple.data)
        if numbered and couple.identity not in self.before.texts:
            return False  # on the other side another row may have it
        if effect.identity is None:
            self._count_identity(couple, named)
        if not self._treated(Treatment.of_effect(self.rules, named, *couple.data), couple.data):
            return False
        for of in (effect, other):
            if of.answer is not None:
                self._answered(of.answer)
        operation = effect.operation.encode()
        return self._says(couple.data, effect, operation)

    def takes_outputs(self) -> bool:
        """Whether the outputs do."""
        outputs = (plain(self.legacy.outcome.output), plain(self.candidate.outcome.output))
        of_output = self.rules.of_output()
        if not self.rules.output:
            return not of_output and self._says(outputs, None, b"", equal=True)
        if of_output and not self._treated(Treatment.of_output(self.rules, *outputs), outputs):
            return False
        return self._says(outputs, None, b"")

    def born(self) -> bool:
        """Whether each id that differs was born in its run, and neither side knew the other's."""
        before = _encoded(self.known)
        mine, theirs = (b"\n".join(told) for told in self._told)
        if len(self._forward) * (len(mine) + len(theirs) + 2 * len(before)) > _MOST_SEARCHED:
            return False
        unanswered = [one.legacy for one in self.couples if one.legacy.answer is None is one.candidate.answer]
        for one, other in self._forward.items():
            ours, others = one.encode(), other.encode()
            if ours in theirs or others in mine or ours in before or others in before:
                return False
            if origin_at(self._places[one], unanswered) < Origin.likely:
                return False
        return True

    def uses(self) -> tuple[RuleUse, ...]:
        """What the rules did."""
        if self.rules.before:
            done = (*self.legacy.effects, *self.candidate.effects)
            self._count.ordered(self.rules, [(effect.kind, effect.target, effect.operation) for effect in done])
        return self._count.uses()

    def _count_identity(self, couple: _Couple, named: tuple[str, str, str]) -> None:
        identities = self.rules.chosen(*named).identities
        if identities:
            for data in couple.data:
                self._count.identity(identities, data)

    def _treated(self, treatment: Treatment, values: tuple[JSON, JSON]) -> bool:
        """Whether rules leave two values as they are, or have nothing to hide in them."""
        if treatment is UNTREATED:
            return True
        if treatment.readers or values[0] is not values[1]:
            return False
        self._count.selected.update(rule.id for rule in treatment.rules.values())
        return True

    def _says(self, values: tuple[JSON, JSON], of: Effect | None, name: bytes, *, equal: bool = False) -> bool:
        encoded = _encoded(values[0])
        for told in self._told:
            told += (name, encoded)
        if values[0] is values[1]:
            return True
        self._told[1][-1] = _encoded(values[1])
        found: list[tuple[Parts, JSON, JSON]] = []
        if not _differing(*values, (), found) or (equal and found):
            return False
        return all(self._correspond(*one, of) for one in found)

    def _answered(self, answer: JSON) -> None:
        encoded = _encoded(answer)
        for told in self._told:
            told.append(encoded)

    def _correspond(self, parts: Parts, mine: JSON, theirs: JSON, of: Effect | None) -> bool:
        if is_protected(parts):
            return False
        if not isinstance(mine, str) or not isinstance(theirs, str):
            return type(mine) in _NUMBERS and type(theirs) in _NUMBERS and self._same_moment(mine, theirs, parts)  # type: ignore[arg-type]  # numbers
        one, other = take_apart(mine), take_apart(theirs)
        if not one.tokens or one.pieces != other.pieces:
            return False
        for token, counterpart in zip(one.tokens, other.tokens, strict=True):
            if token.text == counterpart.text:
                continue
            if token.is_instant and counterpart.is_instant:
                if not self._same_moment(token.text, counterpart.text, parts):
                    return False
                continue
            if token.form != counterpart.form or token.prefix != counterpart.prefix:
                return False
            if self._forward.setdefault(token.text, counterpart.text) != counterpart.text:
                return False
            if self._backward.setdefault(counterpart.text, token.text) != token.text:
                return False
            self._places.setdefault(token.text, []).append(Place(token, parts, of))
        return True

    def _same_moment(self, mine: float | str, theirs: float | str, parts: Parts) -> bool:
        if self._moments is None:
            if any(effect.answer is not None for ledger in (self.legacy, self.candidate) for effect in ledger.effects):
                return False  # it may tell moments that were there before the run
            nothing = Births((), (), ())
            windows = Window.of(self.legacy.outcome), Window.of(self.candidate.outcome)
            self._moments = Correspondence(self.before, *windows, self.rules.relative_noise, nothing, nothing)
        return self._moments.moments_correspond(mine, theirs, parts)


def _encoded(value: JSON) -> bytes:
    """A JSON value as bytes, in which every id in it stands as it is.

    Raises:
        ValueError: it holds NaN or an infinity.
        TypeError: orjson does not know it.
    """
    encoded = orjson.dumps(value)
    # orjson writes NaN as null.
    return canonical(value) if b"null" in encoded else encoded


def _differing(mine: JSON, theirs: JSON, parts: Parts, found: list[tuple[Parts, JSON, JSON]]) -> bool:
    """Collect the scalars in which two values differ; False where they differ otherwise."""
    kind = type(mine)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        if mine.keys() != theirs.keys():
            return False
        for name, member in mine.items():
            other = theirs[name]
            if member is not other and not _differing(member, other, (*parts, name), found):
                return False
        return True
    if isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            return False
        return all(
            one is other or _differing(one, other, (*parts, index), found)
            for index, (one, other) in enumerate(zip(mine, theirs, strict=True))
        )
    if kind is not type(theirs):
        if kind not in _NUMBERS or type(theirs) not in _NUMBERS:
            return False
    elif mine == theirs:
        return True
    found.append((parts, mine, theirs))
    return True
