"""Births: which ids were born in a run, and which it knew from elsewhere.

Only an id that was born in its run may differ from the other side's. It was when a target answered a write with it, or
when it is the key of what the run created. At other places it may have been, unless the place names an entity (a
customer, a template, a plan), the event knew the id, or a read was answered with it before. How this is decided is
told for people in docs/explanation/judging.md, and for each id by `judge(..., explain=True)`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from comparators.canonical import JSON
from comparators.generated import Token, tokens_in
from comparators.instant import moment_in_number, moment_in_text
from comparators.ledger import Effect
from comparators.normalise import Entry
from comparators.path import Parts
from comparators.protected import REFERENCES, word_set, words
from comparators.shape import leaves

_ENTITIES = word_set(
    "affiliate agency app applicant asset audience author brand business buyer campaign cart category client collection"
    " company contact coupon creator customer dataset department discount domain employee entity experiment funnel"
    " group influencer integration invoice lead license list listing location member membership merchant order"
    " organisation organization owner page parent partner patient person pixel plan player post price product profile"
    " project property publisher region review reviewer role segment seller sender site store student subscriber"
    " subscription supplier tag team template ticket touchpoint user variant vendor visitor warehouse webhook website"
    " withdrawal workspace"
)
"""What an id may name that was there before the run; tenants, shops, accounts and recipients never differ anyhow."""
_CONTAINERS = word_set(
    "attributes body content data document entries entry event fields input items json metadata object objects output"
    " payload record records resource result results row rows values variables"
)
"""Names of members that say nothing of what is in them."""
_CHANGES = frozenset({"update", "delete", "patch", "remove"})
_MADE_BY_WORKERS = frozenset({"uuid", "ulid", "bare"})
_WORD = re.compile(r"[A-Za-z]+")
_VERBS = word_set("post put insert upsert create add into new api send row")
NUMBER = "#"
"""Between what a number is the key of, and the number."""
_OPERATION: Parts = ("operation",)
_HEADERS: Parts = ("headers",)
"""Of an answer: what is generated there is an id of the call itself, of a read as well."""
MOMENTS = "moments"
"""In what is kept of an answer: the moments in it."""
_IN_URL = frozenset({"operation", "params", "path"})


TokenCache: TypeAlias = "dict[tuple[int, str], _Tokens]"
"""By the identity of a value that lives as long, and the operation that it is of."""
_FEW = 32
"""Ids of a run up to which each is looked for where it stands; of more, all that the run said is indexed."""


class Origin(IntEnum):
    """Where an id of a run comes from; of the last two kinds it may be the run's own."""

    foreign = 0
    """It stands only where entities are named."""
    nowhere = 1
    """It stands at no place at which an id is born."""
    event = 2
    read = 3
    likely = 4
    """A worker or a target may have made it in the run."""
    certain = 5
    """The answer to a write had it, or it is the key of what was created."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Where an id of a run comes from, and where that was seen."""

    origin: Origin
    where: str

    @property
    def born(self) -> bool:
        """Whether the id may be the run's own."""
        return self.origin >= Origin.likely


@dataclass(slots=True)
class _Seen:
    """All that a run's ledger tells of one id."""

    certain: str | None = None
    read: str | None = None
    likely: str | None = None
    weak: str | None = None
    foreign: str | None = None
    about: frozenset[str] = frozenset()
    """What the entity is, where it is `foreign`."""
    mentioned: set[Entry] = field(default_factory=set)
    """The effects that were asked for with it: none of them can have been answered with it first."""
    key_of: tuple[Entry, Parts] | None = None
    """The effect that it was certainly born with, and where in it or (`answer`, ...) in its answer."""


class _Tokens:
    """The ids in a value, in order, and by what they are."""

    def __init__(self, found: list[tuple[Parts, Token]]) -> None:
        self.listed = found
        self.by_text: dict[str, list[tuple[Parts, Token]]] = {}
        for parts, token in found:
            self.by_text.setdefault(token.text, []).append((parts, token))


@dataclass(slots=True)
class Births:
    """The ids of one run. Only where one that is asked for stands is anything looked through: most pairs never ask."""

    entries: Sequence[Entry]
    """All that the run did, attempts included."""
    texts: Sequence[JSON]
    """What else it said: its output and error."""
    known: Collection[str]
    """What the event knew."""
    told: TokenCache = field(default_factory=dict)
    """The ids in values that were looked through; what both runs said in so many words may be one value."""
    _ids: dict[str, _Seen] = field(default_factory=dict)
    _keys: dict[Entry, dict[Parts, Token]] = field(default_factory=dict)
    _ordered: Sequence[Entry] | None = None
    _mentioning: dict[str, list[Entry]] | None = None
    _unseen: list[tuple[Entry, frozenset[str]]] | None = None
    """What created something and was answered nobody knows what, with the nouns of its operation."""
    _moments: frozenset[float] | None = None

    def birth(self, identifier: str) -> Birth:
        """Where an id comes from, as far as this run shows."""
        number = identifier.find(NUMBER)
        if identifier in self.known or (number >= 0 and identifier[number:] in self.known):
            return Birth(Origin.event, "in the event")
        seen = self._seen(identifier)
        if seen.certain is not None:
            return Birth(Origin.certain, seen.certain)
        if seen.read is not None:
            return Birth(Origin.read, seen.read)
        if seen.foreign is not None:
            if (entry := self._unseen_creation(seen.mentioned, seen.about)) is not None:
                return Birth(Origin.likely, f"perhaps in the answer of {_name(entry)}, which was not seen")
            return Birth(Origin.foreign, f"only where an entity is named: {seen.foreign}")
        if seen.likely is not None:
            return Birth(Origin.likely, seen.likely)
        if (entry := self._unseen_creation(seen.mentioned)) is not None:
            return Birth(Origin.likely, f"perhaps in the answer of {_name(entry)}, which was not seen")
        return Birth(Origin.nowhere, f"at no place where an id is born: {seen.weak or 'nowhere'}")

    def read_moment(self, seconds: float) -> bool:
        """Whether a read was answered with that moment before the run told it: it is none of its own clock then."""
        if self._moments is None:
            self._moments = self._read_moments()
        return seconds in self._moments

    def _read_moments(self) -> frozenset[float]:
        if not any(entry.reads and _answered_moments(entry) for entry in self.entries):
            return frozenset()
        found: set[float] = set()
        said: set[float] = set()
        for entry in sorted(self.entries, key=lambda entry: (entry.attempt, entry.position)):
            said.update(moments_in(entry.data))
            if entry.reads:
                found.update(moment for moment in _answered_moments(entry) if moment not in said)
        return frozenset(found)

    def read(self, identifier: str) -> bool:
        """Whether a read was answered with it before anything else had it."""
        return self._seen(identifier).read is not None

    def keys(self, entry: Entry) -> dict[Parts, Token]:
        """The ids that were certainly born with an effect, by their place in it or (`answer`, ...) in its answer."""
        found = self._keys.get(entry)
        if found is None:
            found = self._keys[entry] = {}
            asked, answered = self._said(entry).listed, self._answer(entry).listed
            for parts, token in (*asked, *((("answer", *parts), token) for parts, token in answered)):
                if self._seen(token.text).key_of == (entry, parts):
                    found[parts] = token
        return found

    def _seen(self, identifier: str) -> _Seen:
        seen = self._ids.get(identifier)
        if seen is None:
            seen = self._ids[identifier] = _Seen()
            for entry in self._entries_of(identifier):
                self._look(entry, identifier, seen)
            for text in self.texts:
                for parts, token in self._tokens(text, "").by_text.get(identifier, ()):
                    _note(seen, token, parts, None)
        return seen

    def _entries_of(self, identifier: str) -> Iterable[Entry]:
        """The effects in which an id may stand, or in whose answers, in the order in which they were done."""
        if self._ordered is None:
            self._ordered = sorted(self.entries, key=lambda entry: (entry.attempt, entry.position))
        if len(self._ids) <= _FEW:
            needle = identifier[identifier.find(NUMBER) + 1 :].encode()
            return [one for one in self._ordered if needle in one.content or one.effect.answer is not None]
        if self._mentioning is None:
            self._mentioning = defaultdict(list)
            for entry in self._ordered:
                for text in {**self._said(entry).by_text, **self._answer(entry).by_text}:
                    self._mentioning[text].append(entry)
        return self._mentioning.get(identifier, ())

    def _look(self, entry: Entry, identifier: str, seen: _Seen) -> None:
        for parts, token in self._said(entry).by_text.get(identifier, ()):
            seen.mentioned.add(entry)
            if not entry.reads and _note(seen, token, parts, entry):
                seen.key_of = (entry, parts)
        for parts, _token in self._answer(entry).by_text.get(identifier, ()):
            # What it was asked with, its answer only repeats.
            if entry in seen.mentioned or seen.certain is not None or seen.read is not None:
                continue
            if entry.reads and parts[:1] != _HEADERS:
                seen.read = f"in the answer of {_name(entry)}"
            else:
                seen.certain = f"in the answer of {_name(entry)}"
                seen.key_of = (entry, ("answer", *parts))

    def _said(self, entry: Entry) -> _Tokens:
        of_data = self._tokens(entry.data, entry.spelled)
        of_operation = [(_OPERATION, token) for token in tokens_in(entry.spelled) if not token.is_instant]
        return _Tokens([*of_operation, *of_data.listed]) if of_operation else of_data

    def _answer(self, entry: Entry) -> _Tokens:
        answer = entry.effect.answer
        return _NOTHING if answer is None else self._tokens(answer, entry.spelled)

    def _tokens(self, value: JSON, operation: str) -> _Tokens:
        key = (id(value), operation)
        found = self.told.get(key)
        if found is None:
            found = self.told[key] = _Tokens(id_tokens(value, operation))
        return found

    def _unseen_creation(self, mentioned: Collection[Entry], about: Collection[str] = ()) -> Entry | None:
        if self._unseen is None:
            done = sorted(self.entries, key=lambda entry: (entry.attempt, entry.position))
            self._unseen = [
                (entry, nouns(entry.spelled)) for entry in done if entry.effect.answer is None and _creates(entry)
            ]
        for entry, of in self._unseen:
            if entry not in mentioned and (not about or not of.isdisjoint(about)):
                return entry
        return None


_NOTHING = _Tokens([])


def id_tokens(value: JSON, operation: str = "") -> list[tuple[Parts, Token]]:
    """The generated-looking ids in a value, and the numbers that stand where ids do, with their paths.

    An id that is a member's own name stands at `*` of what it is a member of.
    """
    found: list[tuple[Parts, Token]] = []
    _collect(value, (), operation, found)
    return found


def _collect(value: JSON, parts: Parts, operation: str, found: list[tuple[Parts, Token]]) -> None:
    if isinstance(value, dict):
        # Most members are short words, and numbers that name nothing.
        telling = [name for name, member in value.items() if _may_tell(member, name) or tokens_in(name)]
        for name in sorted(telling) if len(telling) > 1 else telling:
            for token in tokens_in(name):
                if not token.is_instant:
                    found.append(((*parts, "*"), token))
            _collect(value[name], (*parts, name), operation, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, (*parts, index), operation, found)
    elif isinstance(value, str) and (tokens := tokens_in(value)):
        found.extend((parts, token) for token in tokens if not token.is_instant)
    elif (number := number_token(value, parts, operation)) is not None:
        found.append((parts, number))


def _may_tell(member: JSON, name: str) -> bool:
    """Whether there may be an id in a member of that name."""
    if isinstance(member, str):
        return bool(tokens_in(member)) or (member.isdigit() and _is_reference(name))
    return isinstance(member, dict | list) or (isinstance(member, int) and _is_reference(name))


def ids_only(value: JSON, parts: Parts = ()) -> JSON:
    """What `id_tokens` finds in a value, in its place, and nothing else that the value says."""
    if isinstance(value, dict):
        kept = {
            name: ids_only(member, (*parts, name))
            for name, member in value.items()
            if isinstance(member, dict | list) or _has_ids(member, (*parts, name)) or tokens_in(name)
        }
        return {name: member for name, member in kept.items() if member not in ({}, []) or tokens_in(name)}
    if isinstance(value, list):
        items = [ids_only(item, (*parts, index)) for index, item in enumerate(value)]
        return items if any(item not in ({}, [], None) for item in items) else []
    if not _has_ids(value, parts):
        return None
    tokens = tokens_in(value) if isinstance(value, str) else ()
    return " ".join(token.text for token in tokens if not token.is_instant) if tokens else value


def moments_in(value: JSON) -> Iterator[float]:
    """The moments in a value, in seconds since the epoch."""
    for parts, leaf in leaves(value):
        if isinstance(leaf, str):
            told = [moment_in_text(token.text) for token in tokens_in(leaf) if token.is_instant]
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            told = [moment_in_number(leaf, parts)]
        else:
            continue
        yield from (moment.seconds for moment in told if moment is not None)


def _answered_moments(entry: Entry) -> Sequence[float]:
    answer = entry.effect.answer
    told = answer.get(MOMENTS) if isinstance(answer, dict) else None
    return [moment for moment in told if isinstance(moment, int | float)] if isinstance(told, list) else []


def _has_ids(leaf: JSON, parts: Parts) -> bool:
    if isinstance(leaf, str) and (tokens := tokens_in(leaf)):
        return any(not token.is_instant for token in tokens)
    return number_token(leaf, parts, "") is not None


def number_token(leaf: JSON, parts: Parts, operation: str) -> Token | None:
    """A number (also as text) as an id, where it stands at a place named like one: a database's own key.

    The same number may be the key of a row in each of many tables, so what it is the key of belongs to it.
    """
    if isinstance(leaf, bool) or not (isinstance(leaf, int) or (isinstance(leaf, str) and leaf.isdigit())):
        return None
    digits = str(leaf)
    if not digits.isascii() or not digits.isdigit() or not names_id(parts):
        return None
    of = about(parts) or nouns(operation) - _VERBS
    return Token(f"{' '.join(sorted(of))}{NUMBER}{digits}", "number")


def known_number(leaf: JSON, parts: Parts) -> str | None:
    """How a number that the event knew is noted: as the key of whatever it may be."""
    token = number_token(leaf, parts, "") or (number_token(leaf, ("id",), "") if isinstance(leaf, str) else None)
    return None if token is None else token.text[token.text.find(NUMBER) :]


def names_id(parts: Parts) -> bool:
    """Whether a place is named like an id."""
    return _is_reference(_last_name(parts))


@lru_cache(maxsize=8192)
def _is_reference(name: str) -> bool:
    found = words(name)
    return bool(found) and found[-1] in REFERENCES


def about(parts: Parts) -> frozenset[str]:
    """The words that say what an id at this place is the id of: those of its own name, or of what it is in."""
    last = True
    for part in reversed(parts):
        if isinstance(part, int):
            continue
        found = frozenset(words(part)) - REFERENCES
        if found and (last or not found <= _CONTAINERS):
            return frozenset(_singular(word) for word in found)
        last = False
    return frozenset()


@lru_cache(maxsize=8192)
def nouns(operation: str) -> frozenset[str]:
    """The words of an operation, in the singular."""
    return frozenset(_singular(word.lower()) for word in _WORD.findall(operation) if len(word) > 1)


def _note(seen: _Seen, token: Token, parts: Parts, entry: Entry | None) -> bool:
    """Note what the place of an id in what a run said tells of its origin.

    Returns:
        whether it certainly was born here.
    """
    if seen.certain is not None:
        return False
    told = _told_by(token, parts, None if entry is None else (entry.kind, entry.spelled))
    where = f"in {'the output' if entry is None else _name(entry)} at {'.'.join(map(str, parts)) or 'its top'}"
    if told is Origin.certain:
        if seen.read is None:
            seen.certain = f"as the key of what was created {where}"
            return True
    elif told is Origin.foreign:
        seen.foreign, seen.about = seen.foreign or where, seen.about | about(parts)
    elif told is Origin.likely:
        seen.likely = seen.likely or where
    else:
        seen.weak = seen.weak or where
    return False


def _told_by(token: Token, parts: Parts, done: tuple[str, str] | None) -> Origin:
    """What the place of an id alone tells of its origin: certain, likely, foreign or nowhere.

    Args:
        done: kind and operation of the effect that it stands in; None of what else a run said.
    """
    of = about(parts) if parts[:1] != _OPERATION else frozenset[str]()
    acted_on = done is not None and (parts[0] in _IN_URL if parts else False)
    verb = "" if done is None else _verb(done[1])
    if done is not None and not acted_on and verb not in _CHANGES and names_id(parts) and of <= nouns(done[1]):
        # A state, or what is upserted, is a row that may have been there before.
        return Origin.likely if done[0] == "state" or verb == "upsert" else Origin.certain
    if not of.isdisjoint(_ENTITIES):
        return Origin.foreign
    if not acted_on and (token.form in _MADE_BY_WORKERS or token.prefix == "run"):
        return Origin.nowhere if verb in _CHANGES and names_id(parts) and not of else Origin.likely
    return Origin.nowhere


class Place(NamedTuple):
    """Where an id stands in what a run said."""

    token: Token
    parts: Parts
    effect: Effect | None
    """None: in the output."""


def origin_at(places: Collection[Place], unanswered: Iterable[Effect]) -> Origin:
    """What all the places of an id tell of its origin, if nobody knew it before and no answer is known to have had it.

    Args:
        unanswered: the effects of its run of which nobody knows what they were answered.
    """
    told: set[Origin] = set()
    named: set[str] = set()
    for token, parts, effect in places:
        if effect is not None and effect.reads:
            continue
        origin = _told_by(token, parts, None if effect is None else (effect.kind, effect.operation))
        told.add(origin)
        if origin is Origin.foreign:
            named |= about(parts)
    if Origin.certain in told:
        return Origin.certain
    if not named and Origin.likely in told:
        return Origin.likely
    mentioned = {id(effect) for _, _, effect in places}
    for effect in unanswered:
        if effect.reads or _verb(effect.operation) in _CHANGES or id(effect) in mentioned:
            continue
        if not named or not nouns(effect.operation).isdisjoint(named):
            return Origin.likely
    return Origin.foreign if named else Origin.nowhere


def _creates(entry: Entry) -> bool:
    return not entry.reads and not _changes(entry)


def _changes(entry: Entry) -> bool:
    return _verb(entry.spelled) in _CHANGES


@lru_cache(maxsize=8192)
def _verb(operation: str) -> str:
    found = _WORD.search(operation)
    return found.group().lower() if found else ""


def _last_name(parts: Iterable[str | int]) -> str:
    for part in reversed(tuple(parts)):
        if isinstance(part, str):
            return part
    return ""


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _name(entry: Entry) -> str:
    return f"{entry.kind} {entry.target}/{entry.spelled}"
