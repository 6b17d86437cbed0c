"""Whether a route's events carry what a ramp sticks to: a tenant, or a declared entity."""

from __future__ import annotations

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.catalogue.model import WebhookSource
from shadow.store.database import Connection

_LATEST = 20_000
"""Events of any route among which those of this one are looked for."""
_KEYED = b"""
SELECT count(*), count(*) FILTER (WHERE tenant IS NOT NULL OR ramp_key IS NOT NULL)
FROM (SELECT route, tenant, ramp_key FROM events ORDER BY id DESC LIMIT %s) AS latest WHERE route = %s
"""


async def why_whole_only(connection: Connection, catalogue: ResolvedCatalogue, route: Route) -> str | None:
    """Why the route can only be moved from 0 to 100 %: none of its events has a key; None where they have, or may."""
    tasks = [catalogue.tasks[name] for name in route.tasks]
    clocks = [task.id for task in tasks if task.cron is not None and not task.sources]
    if clocks:
        return (
            f"a share of {route.name!r} can't be moved: ticks of {', '.join(clocks)} have no key. Move it from 0 to 100"
        )
    if route.entity is not None:
        return None
    remedy = f"Declare an entity (`cutover: {{entity: ...}}` of {route.tasks[0]!r}), or move it from 0 to 100 at once"
    if silent := _tell_no_tenant(catalogue, route):
        return (
            f"a share of {route.name!r} can't be moved: its events from {', '.join(silent)} have neither a tenant nor a"
            f" declared entity for a ramp to stick to. {remedy}"
        )
    row = await (await connection.execute(_KEYED, (_LATEST, route.name))).fetchone()
    if row is not None and row[0] and not row[1]:
        return (
            f"a share of {route.name!r} can't be moved: none of its last {row[0]} events had a tenant, and no entity is"
            f" declared for a ramp to stick to. {remedy}"
        )
    return None


def _tell_no_tenant(catalogue: ResolvedCatalogue, route: Route) -> list[str]:
    """The route's sources whose events never have a tenant, as the catalogue says."""
    silent = set()
    for task in route.tasks:
        for name in catalogue.tasks[task].sources:
            source = catalogue.sources[name]
            if isinstance(source, WebhookSource):
                told = any(mapping.tenant is not None for mapping in source.events if mapping.name in route.events)
            else:
                told = source.tenant is not None
            if not told:
                silent.add(name)
    return sorted(silent)
