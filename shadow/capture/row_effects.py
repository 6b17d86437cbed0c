"""Rows that a statement wrote, as effects. No I/O."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from shadow.capture.statements import Statement, Unknown, resolve

_VERBS = {"insert": "insert", "upsert": "upsert", "update": "update", "delete": "delete"}


@dataclass(frozen=True)
class RowEffects:
    """How rows of one database become effects of kind `sql`."""

    target: str
    """The database's name, the same on both sides."""
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Table to the columns that say which row it is for the business, where these are not the key written to (the
    columns of ON CONFLICT, else `id`): the number of an order, where ids are generated."""

    def written(self, statement: Statement, parameters: Any) -> list[dict[str, Any]]:
        """Of a statement whose rows are known from what was sent."""
        return [
            self._row(statement, dict(zip(statement.columns, row, strict=True)))
            for row in resolve(statement.rows, parameters)
        ]

    def returned(
        self, statement: Statement, parameters: Any, rows: Iterable[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Of a statement whose rows the server returned."""
        sent = resolve(statement.rows, parameters)
        found = []
        for row in rows:
            known = dict(row)
            if len(sent) == 1:
                values = zip(statement.columns, sent[0], strict=True)
                known = {**{name: value for name, value in values if value is not Unknown.VALUE}, **known}
            found.append(self._row(statement, known))
        return found

    def statement(self, statement: Statement, text: str, affected: int) -> list[dict[str, Any]]:
        """Of a statement that was not understood, or whose rows nobody can name; none when it changed nothing."""
        if affected == 0:
            return []
        operation = f"{statement.verb} {statement.table}" if statement.table else statement.verb
        return [self.effect(operation, None, {"statement": " ".join(text.split()), "rows": affected})]

    def effect(self, operation: str, identity: str | None, data: Any) -> dict[str, Any]:
        """One effect, which is the same however often it is reported."""
        effect = {
            "id": str(uuid.uuid4()),
            "kind": "sql",
            "target": self.target,
            "operation": operation,
            "data": plain(data),
            "occurred_at": datetime.now(UTC).isoformat(),
        }
        return effect if identity is None else {**effect, "identity": identity}

    def _row(self, statement: Statement, known: Mapping[str, Any]) -> dict[str, Any]:
        table = statement.table or ""
        key = tuple(self.keys.get(table, ())) or statement.conflict or (("id",) if "id" in known else ())
        named = dict.fromkeys((*key, *statement.columns)) if statement.columns else dict.fromkeys(key)
        if statement.verb == "delete" and not key:
            named = dict.fromkeys(known)
        if not statement.columns and statement.verb != "delete":
            named = dict.fromkeys(known)
        data = {name: known[name] for name in named if name in known and known[name] is not Unknown.VALUE}
        parts = [known[name] for name in key if name in known and known[name] is not Unknown.VALUE]
        identity = ":".join(str(plain(part)) for part in parts) if key and len(parts) == len(key) else None
        return self.effect(f"{_VERBS[statement.verb]} {table}", identity, data)


def plain(value: Any) -> Any:
    """A value of a column as JSON has it; decimals as text, so that none loses a digit."""
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, Enum):
        return plain(value.value)
    wrapped = getattr(value, "obj", None)  # psycopg's Json and Jsonb
    return plain(wrapped) if wrapped is not None else str(value)
