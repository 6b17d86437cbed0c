"""A script: what one run of a task does, before anybody says when, in which order and in which spelling."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

JSON: TypeAlias = Any
_numbers = itertools.count(1)


@dataclass
class Deed:
    """One thing that a run does to the world."""

    stage: int = field(default=0, kw_only=True)
    """Those of one stage go side by side."""
    attempt: int = field(default=1, kw_only=True)
    """Above 1: done again, by so many attempts later."""
    number: int = field(default_factory=lambda: next(_numbers), kw_only=True)
    """What it is known by; the same deed of the other side has the same."""

    def again(self) -> Deed:
        """The same once more."""
        other = copy.deepcopy(self)
        other.number = next(_numbers)
        return other


@dataclass
class Call(Deed):
    """A call to a target."""

    target: str
    method: str
    path: str
    body: JSON = None
    query: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    """The provider's idempotency key."""
    status: int = 200
    form: bool = False
    """Whether the body is sent as form fields."""
    answer: JSON = None
    """What the target answers; None for nothing."""
    told: dict[str, str] = field(default_factory=dict)
    """Headers of the answer that say something."""

    @property
    def reads(self) -> bool:
        return self.method == "GET"


@dataclass
class Row(Deed):
    """A row that is written."""

    table: str
    values: dict[str, JSON]
    verb: str = "upsert"


@dataclass
class Emission(Deed):
    """An event that is emitted."""

    name: str
    data: dict[str, JSON]
    due: str | None = None
    """When it is to take effect, as a symbol; None: at once."""


@dataclass
class Script:
    """What one run does, and how it ends."""

    task: str
    event: str
    data: dict[str, JSON]
    """Of the event."""
    tenant: str | None
    deeds: list[Deed] = field(default_factory=list)
    output: JSON = None
    status: str = "completed"
    error: str | None = None
    attempts: int = 1
    flavour: str = ""
    """What is special about it, for people."""

    def copied(self) -> Script:
        return copy.deepcopy(self)

    def calls(self, target: str | None = None) -> list[Call]:
        """The calls that change something, mails left out."""
        return [
            deed
            for deed in self.deeds
            if isinstance(deed, Call)
            and not deed.reads
            and deed.target != "mail"
            and target in (None, deed.target)
            and deed.status < 500
        ]

    def mails(self) -> list[Call]:
        return [deed for deed in self.deeds if isinstance(deed, Call) and deed.target == "mail" and deed.status < 300]

    def rows(self, *tables: str) -> list[Row]:
        return [deed for deed in self.deeds if isinstance(deed, Row) and (not tables or deed.table in tables)]

    def events(self) -> list[Emission]:
        return [deed for deed in self.deeds if isinstance(deed, Emission)]

    def documents(self, deed: Deed) -> dict[str, JSON]:
        """The document in which a deed says what it does."""
        if isinstance(deed, Row):
            return deed.values
        if isinstance(deed, Emission):
            return deed.data
        assert isinstance(deed, Call)
        return deed.body if isinstance(deed.body, dict) else {}

    def values(self) -> Iterator[JSON]:
        """All that is said anywhere."""
        for deed in self.deeds:
            if isinstance(deed, Call):
                yield [deed.path, deed.query, deed.body]
            else:
                yield self.documents(deed)
        yield self.output
