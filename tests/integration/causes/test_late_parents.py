"""What a child gets with a parent that becomes known after it was accepted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.causes.late_parents import with_parents
from shadow.fanout.stored_events import load_events
from shadow.model.ids import derived_id, new_id
from shadow.store.database import Connection, Database, Work
from tests.unit.shadow.catalogues import small

CATALOGUE = small()


async def event(conn: Connection, **columns: Any) -> UUID:
    values = {
        "id": new_id(),
        "source": "s",
        "door": "inngest",
        "name": "payout/approved",
        "delivery_id": str(new_id()),
        "route": "pay",
        "phase": "shadow",
        "authority": "legacy",
        **columns,
    }
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    await conn.execute(f"INSERT INTO events ({names}) VALUES ({marks})".encode(), list(values.values()))
    return UUID(str(values["id"]))


@pytest.mark.parametrize(
    ("root", "tenant", "before", "after"),
    [
        ({"tenant": "acme"}, None, None, "acme"),  # the root's tenant
        ({"tenant": "acme"}, "acme", None, None),  # which is the child's own
        ({"tenant": "acme"}, "globex", None, "acme"),
        ({"ramp_key": "p-1"}, "globex", None, "p-1"),  # its entity, or what it had inherited itself
        ({}, None, "p-2", "p-2"),  # the root has none: the child keeps what it was decided by
    ],
)
async def test_its_own_children_follow_the_key_of_the_root(
    database: Database, root: dict[str, str], tenant: str | None, before: str | None, after: str | None
) -> None:
    async with database.connection(Work.CONTROL) as conn:
        parent = await event(conn, origin="producer", **root)
        run = derived_id(parent, "pay", Side.LEGACY)
        await conn.execute(
            "INSERT INTO runs (id, event_id, task, side, platform, authority, state)"
            " VALUES (%s, %s, 'pay', 'legacy', 'trigger', 'real', 'sent')",
            (run, parent),
        )
        await conn.execute("INSERT INTO run_aliases (platform, alias, run_id) VALUES ('trigger', 'run_1', %s)", (run,))
        child = await event(conn, origin="legacy", tenant=tenant, ramp_key=before)
        (found,) = await with_parents(conn, CATALOGUE, await load_events(conn, [child]), {child: "run_1"})
        assert found.parent_run == run
        (stored,) = await load_events(conn, [child])
        assert (stored.parent_run, stored.ramp_key) == (run, after)
