"""What is changed of an issued run besides its course: its tags and its metadata (reference 3.7).

Kept sealed beside the call that they came with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shadow.fanout.issued import OVERLAY, IssuedRun, issued_overlay
from shadow.intake import run_tags
from shadow.store.database import Connection

MOST_TAGS = 10
_HOLD = b"SELECT id FROM events WHERE id = %s FOR UPDATE"
_KEEP = b"""
INSERT INTO bodies (id, part, content) VALUES (%s, %s, %s)
ON CONFLICT (id, part) DO UPDATE SET content = excluded.content
"""


class TooManyTags(ValueError):
    """The run would have more tags than one may have."""


async def add_tags(conn: Connection, run: IssuedRun, tags: Sequence[str]) -> int:
    """Add tags to a run.

    Returns:
        how many are new.

    Raises:
        TooManyTags: none has been added.
    """
    overlay = await _held(conn, run)
    before = {*run.options.tags, *overlay.get("tags", ())}
    new = [tag for tag in tags if tag not in before]
    if not new:
        return 0
    if (total := len(before) + len(new)) > MOST_TAGS:
        named = ", ".join(f"'{tag}'" for tag in new)
        raise TooManyTags(
            f"Runs can only have {MOST_TAGS} tags, you're trying to set {total}. These tags have not been set: {named}."
        )
    await _keep(conn, run, {**overlay, "tags": [*overlay.get("tags", ()), *new]})
    await run_tags.keep(conn, [(run.event, new)])
    return len(new)


async def change_metadata(conn: Connection, run: IssuedRun, change: Mapping[str, Any]) -> Any:
    """Replace a run's metadata, or apply operations to its members; those for a parent or a root find nothing here.

    Returns:
        the metadata as it is then.
    """
    overlay = await _held(conn, run)
    metadata = change["metadata"] if "metadata" in change else overlay.get("metadata", run.options.metadata)
    operations = change.get("operations")
    if isinstance(operations, list):
        metadata = dict(metadata) if isinstance(metadata, dict) else {}
        for operation in operations:
            if isinstance(operation, dict):
                metadata = applied(metadata, operation)
    await _keep(conn, run, {**overlay, "metadata": metadata})
    return metadata if metadata is not None else {}


def applied(metadata: dict[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata after one operation of the SDK's; one that nobody knows changes nothing."""
    key, value = str(operation.get("key", "")), operation.get("value")
    present = metadata.get(key)
    listed = present if isinstance(present, list) else [] if present is None else [present]
    match operation.get("type"):
        case "set":
            return {**metadata, key: value}
        case "delete":
            return {name: member for name, member in metadata.items() if name != key}
        case "append":
            return {**metadata, key: [*listed, value]}
        case "remove":
            return {**metadata, key: [item for item in listed if item != value]}
        case "increment" if isinstance(value, int | float):
            return {**metadata, key: (present if isinstance(present, int | float) else 0) + value}
        case "update":
            return dict(value) if isinstance(value, dict) else {}
        case _:
            return metadata


async def _held(conn: Connection, run: IssuedRun) -> Mapping[str, Any]:
    """What has been changed so far; nobody else changes it until the transaction ends."""
    await conn.execute(_HOLD, (run.event,))
    return await issued_overlay(conn, run.event)


async def _keep(conn: Connection, run: IssuedRun, overlay: Mapping[str, Any]) -> None:
    await conn.vault.ready([run.tenant])
    sealed = conn.vault.seal(run.tenant, run.event.bytes, OVERLAY, orjson.dumps(overlay))
    await conn.execute(_KEEP, (run.event, OVERLAY, sealed))
