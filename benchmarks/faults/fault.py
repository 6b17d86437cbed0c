"""Faults: one kind each, put into the candidate's script, and what must be said of the pair then.

A kind is one subclass of `Fault`: it is registered by being defined. It has a method that spoils a script somewhere and
says where, or finds nothing to spoil there.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from benchmarks.faults.recording import Kept
from benchmarks.faults.script import Deed, Emission, Row, Script
from benchmarks.faults.symbols import SYMBOL, births, mapped
from comparators.path import Parts, parse

T = TypeVar("T")

KINDS: dict[str, type[Fault]] = {}
"""All kinds by name."""

CHANGED = (
    "effect.changed",
    "effect.type_changed",
    "effect.field_dropped",
    "effect.field_added",
    "effect.format_changed",
)
"""An effect that both did, but not alike."""
MISSING = ("effect.missing",)
MORE = ("effect.extra", "effect.duplicate")
ANY = (*CHANGED, *MISSING, *MORE)
"""Where more than one way of saying it is true: one thing for another is a change, or one missing and one more."""


class Told(Protocol):
    """A difference, as the reports tell it."""

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...


@dataclass(frozen=True)
class Expected:
    """What finds a fault: a verdict, and a difference of one of these kinds at one of these places."""

    kinds: tuple[str, ...] = ANY
    deeds: tuple[int, ...] = ()
    """Numbers of deeds, of either side."""
    members: tuple[str, ...] = ()
    """Names of which one must stand in the path, where it is a member that is wrong. Of mails, and of effects that are
    missing or too many, the deed is place enough."""
    run: tuple[str, ...] = ()
    """Beginnings of paths for what is no deed: `outcome`, `output`."""
    verdict: str = "mismatch"

    def finds(self, difference: Told, places: Sequence[Kept]) -> bool:
        """Whether a difference is this fault.

        Args:
            places: where the deeds are in the ledgers.
        """
        parts = parse(difference.path)
        if parts[:1] != ("effects",):
            return any(str(part) in self.run for part in parts[:1])
        if not any(difference.kind.startswith(kind) for kind in self.kinds):
            return False
        if not any(_is_at(parts, place) for place in places):
            return False
        in_whole = difference.kind in (*MISSING, *MORE) or parts[1] == "email" or not self.members
        return in_whole or bool(set(self.members) & {str(part) for part in parts[5:]})


def _is_at(parts: Parts, place: Kept) -> bool:
    if parts[1:3] != (place.kind, place.target):
        return False
    if len(parts) < 4 or _plain(str(parts[3])) != _plain(place.operation):
        return False
    # A place among its like is all that is said of an effect without identity.
    return len(parts) < 5 or not isinstance(parts[4], str) or place.identity is None or parts[4] == place.identity


def _plain(operation: str) -> str:
    return re.sub(r"\{\w*\}", "{}", operation)


@dataclass
class Spoiling:
    """A script that is being spoilt, perhaps by several faults."""

    script: Script
    rng: random.Random
    spoilt: set[int] = field(default_factory=set)
    """Numbers of deeds that a fault has to do with already: no other takes them, or one would hide the other."""
    ended: bool = False
    """Whether a fault has to do with how the run ends."""

    def free(self, deeds: Iterable[T]) -> list[T]:
        """Those that no fault has to do with."""
        return [deed for deed in deeds if not (isinstance(deed, Deed) and deed.number in self.spoilt)]

    def pick(self, among: Iterable[T]) -> T | None:
        """One of them that is free; None where none is."""
        free = self.free(among)
        return self.rng.choice(free) if free else None

    def take(self, *deeds: Deed) -> tuple[int, ...]:
        """Have to do with these deeds; returns their numbers."""
        numbers = tuple(deed.number for deed in deeds)
        self.spoilt.update(numbers)
        return numbers

    def replace(self, old: Deed, new: Deed) -> None:
        self.script.deeds[self.place(old)] = new

    def place(self, deed: Deed) -> int:
        return next(place for place, other in enumerate(self.script.deeds) if other is deed)

    def drop(self, *deeds: Deed) -> None:
        gone = {id(deed) for deed in deeds}
        self.script.deeds = [deed for deed in self.script.deeds if id(deed) not in gone]

    def alike(self, deed: Deed) -> list[Deed]:
        """Other deeds that say the same but for ids of their own: dropping one of them is dropping any."""
        return [other for other in self.script.deeds if other is not deed and _said(other) == _said(deed)]


def _said(deed: Deed) -> Any:
    said = dict(vars(deed))
    del said["number"], said["stage"]
    return type(deed), mapped(said, lambda text: SYMBOL.sub("", text) if any(births(text)) else text)


class Fault(ABC):
    """A kind of fault."""

    combines: ClassVar[bool] = True
    """Whether it may come on top of another fault in the same pair."""
    tasks: ClassVar[Collection[str]] = ()
    """Tasks in which it can be; empty: any."""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if not cls.__name__.startswith("_"):
            KINDS[cls.name()] = cls

    @classmethod
    def name(cls) -> str:
        """`WrongRecipient` is `wrong recipient`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", cls.__name__).lower()

    @abstractmethod
    def spoil(self, it: Spoiling) -> Expected | None:
        """Put the fault somewhere and say what finds it; None, and everything as it was, where it does not fit."""


def document_of(deed: Deed) -> dict[str, Any] | None:
    """What a deed says, as an object; None where it says nothing that has members."""
    if isinstance(deed, Row):
        return deed.values
    if isinstance(deed, Emission):
        return deed.data
    body = getattr(deed, "body", None)
    return body if isinstance(body, dict) else None
