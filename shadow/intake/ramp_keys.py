"""By which key a ramp decides about an event: its root's, else its tenant, else a declared entity of its data."""

from __future__ import annotations

from typing import Any

from shadow.catalogue import Document, Route
from shadow.intake.storable import storable_or_none


def ramp_key(route: Route, tenant: str | None, data: Any, inherited: str | None = None) -> str | None:
    """What is kept as `events.ramp_key`: the key, where it is another than the event's tenant; None where the tenant
    is the key, or there is none.

    Args:
        data: the event's data, parsed.
        inherited: of an event that a run emitted: the key of the event that the run is of.
    """
    if inherited is not None:
        return inherited if inherited != tenant else None
    return entity_of(route, data) if tenant is None else None


def entity_of(route: Route, data: Any) -> str | None:
    """What the route's `cutover.entity` finds in an event's data; None where it declares none, or that is neither text
    nor a whole number."""
    if route.entity is None:
        return None
    try:
        found = route.entity.evaluate(Document(data))
    except (ValueError, RecursionError):
        return None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return storable_or_none(found) if isinstance(found, str) else None
