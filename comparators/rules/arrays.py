"""Set and keyed list: arrays whose order does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.align import ItemKey
from comparators.canonical import JSON, canonical
from comparators.path import compiled, find
from comparators.rules.rule import RuleError, ValueRule


@dataclass(frozen=True, slots=True)
class SetRule(ValueRule):
    """Items are paired by what they say. An item that is there more often on one side is a difference."""

    type: ClassVar[str] = "set"

    def item_key(self) -> ItemKey | None:
        return canonical


@dataclass(frozen=True, slots=True)
class KeyedListRule(ValueRule):
    """Items are paired by the values at the `by` paths, and compared within."""

    by: tuple[str, ...] = ()
    """JSONPaths into an item: `$.sku`."""

    type: ClassVar[str] = "list"

    def check(self) -> None:
        if not self.by:
            raise RuleError("by", "nothing", "at least one JSONPath into an item, such as $.sku")
        for path in self.by:
            try:
                compiled(path)
            except ValueError as error:
                raise RuleError("by", repr(path), str(error)) from error

    def item_key(self) -> ItemKey | None:
        return self._key

    def _key(self, item: JSON) -> bytes:
        return canonical([[value for _, value in find(path, item)] for path in self.by])
