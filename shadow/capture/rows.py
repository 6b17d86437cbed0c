"""Rows told by hand, where no wrapper sees them: another driver, or a store that is no database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadow.capture.row_effects import RowEffects
from shadow.capture.run import current_run


class Rows:
    """Notes rows of one database as effects of the run at hand; outside of runs, nothing."""

    def __init__(self, effects: RowEffects | None) -> None:
        """None: nothing is captured."""
        self._effects = effects

    def inserted(self, table: str, row: Mapping[str, Any], *, identity: str | None = None) -> None:
        """A row was inserted. `identity`: its business key, where `id` is generated."""
        self._note("insert", table, row, identity)

    def upserted(self, table: str, row: Mapping[str, Any], *, identity: str | None = None) -> None:
        """A row was inserted or changed."""
        self._note("upsert", table, row, identity)

    def updated(self, table: str, row: Mapping[str, Any], *, identity: str | None = None) -> None:
        """A row was changed."""
        self._note("update", table, row, identity)

    def deleted(self, table: str, row: Mapping[str, Any], *, identity: str | None = None) -> None:
        """A row was deleted; `row` is its key, at least."""
        self._note("delete", table, row, identity)

    def _note(self, verb: str, table: str, row: Mapping[str, Any], identity: str | None) -> None:
        run = current_run()
        if self._effects is None or run is None:
            return
        key = self._effects.keys.get(table, ("id",))
        if identity is None and all(name in row for name in key):
            identity = ":".join(str(row[name]) for name in key)
        run.effects.append(self._effects.effect(f"{verb} {table}", identity, row))
