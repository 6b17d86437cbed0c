"""Normalisation: an effect as recorded becomes an entry that can be compared.

Only the notation changes here, never the meaning. What notation is depends on the effect's kind, see
`comparators.kinds`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from comparators.canonical import JSON, canonical
from comparators.generated import HOLE, take_apart
from comparators.kinds import normal
from comparators.ledger import Effect
from comparators.path import find
from comparators.protected import words
from comparators.rules import Rules


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An effect of a ledger in comparable form. Two entries are never equal: that they say the same is a
    matter of their `content`."""

    kind: str
    target: str
    operation: str
    """The operation with a hole for each generated id in it."""
    identity: str | None
    named: str | None
    """The identity as it was recorded, even where no counterpart can be found by it."""
    label: str | None
    """What a person calls the identity."""
    spelled: str
    """The operation as recorded."""
    data: JSON
    attempt: int
    idempotency_key: str | None
    reads: bool
    """Whether it is known to have changed nothing."""
    position: int
    """Place in the ledger, from 0."""
    content: bytes
    """Canonical form of operation and data: equal entries have equal content."""
    effect: Effect
    """As it was recorded."""

    @property
    def group(self) -> tuple[str, str, str]:
        """What kind of effect this is, whatever its identity."""
        return (self.kind, self.target, self.operation)

    def order_key(self) -> tuple[str, str, str, str, bytes, int, str]:
        """A total order that does not depend on the place in the ledger."""
        return (
            *self.group,
            self.identity or "",
            self.content,
            self.attempt,
            self.idempotency_key or "",
        )


@dataclass(frozen=True, slots=True)
class _Normal:
    """What comes of an effect wherever it stands in a ledger."""

    operation: str
    identity: str | None
    label: str | None
    data: JSON
    content: bytes


NormalCache: TypeAlias = "dict[tuple[str, str, str, str | None, int], _Normal]"
"""By kind, target, operation and identity as recorded, and by the identity of the data, which lives as long."""


def entries(
    effects: tuple[Effect, ...], rules: Rules, known: Collection[str], made: NormalCache | None = None
) -> list[Entry]:
    """The entries of a ledger, in the ledger's order.

    Args:
        made: of the other ledger of the pair. What both runs did in so many words may be one and the same data: that is
            looked through once.
    """
    cache: NormalCache = {} if made is None else made
    return [_entry(effect, position, rules, known, cache) for position, effect in enumerate(effects)]


def identify(effect: Effect, data: JSON, rules: Rules) -> tuple[str | None, str | None]:
    """The business identity of an effect and its label for people; None when nothing identifies it.

    Values are taken as text: an order id that turned from 12 into "12" still names the same order, and
    the change of type is found by the diff.
    """
    if effect.identity is not None:
        return effect.identity, effect.identity
    for rule in rules.chosen(effect.kind, effect.target, effect.operation).identities:
        found = [(parts, value) for path in rule.paths for parts, value in find(path, data)]
        if found:
            values = [_as_text(value) for _, value in found]
            names = [parts[-1] if parts else "" for parts, _ in found]
            labels = [_labelled(name, text) for name, text in zip(names, values, strict=True)]
            return " / ".join(values), ", ".join(labels)
    return None, None


def _entry(effect: Effect, position: int, rules: Rules, known: Collection[str], cache: NormalCache) -> Entry:
    key = (effect.kind, effect.target, effect.operation, effect.identity, id(effect.data))
    made = cache.get(key)
    if made is None:
        made = cache[key] = _normal(effect, rules, known)
    return Entry(
        kind=effect.kind,
        target=effect.target,
        operation=made.operation,
        identity=made.identity,
        named=made.identity,
        label=made.label,
        spelled=effect.operation,
        data=made.data,
        attempt=effect.attempt,
        idempotency_key=effect.idempotency_key,
        reads=effect.reads,
        position=position,
        content=made.content,
        effect=effect,
    )


def _normal(effect: Effect, rules: Rules, known: Collection[str]) -> _Normal:
    data = normal(effect.kind, effect.data)
    identity, label = identify(effect, data, rules)
    return _Normal(_template(effect.operation, known), identity, label, data, canonical([effect.operation, data]))


def _template(operation: str, known: Collection[str]) -> str:
    return take_apart(operation).filled(lambda token: token.text if token.text in known else HOLE)


def _as_text(value: JSON) -> str:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else canonical(value).decode()


def _labelled(name: str | int, text: str) -> str:
    found = [word for word in words(str(name)) if word not in ("id", "key")]
    return f"{' '.join(found)} {text}" if found else text
