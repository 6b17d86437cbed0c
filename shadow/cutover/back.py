"""Going back without being asked: the one way in which Shadow itself moves a route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.cutover.decision import Phase
from shadow.cutover.joined import joined_with
from shadow.cutover.moves import Move, Stand, hold, stand_of, write_move
from shadow.store.database import Connection

ACTOR = "shadow"
_ORDER = list(Phase)


async def go_back(
    connection: Connection,
    catalogue: ResolvedCatalogue,
    route: Route,
    to: Phase,
    *,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> Move | None:
    """Move a route back, in the caller's transaction, and with it those that it has started runs of past the doors.

    A retired route stays: who knows whether there is a legacy to go back to. Forward a route is moved by people only.

    Args:
        to: `shadow` or `legacy`.
        reason: one sentence, with the ids and figures of what was seen.
        evidence: the same for programs.

    Returns:
        the route's move; None where it is there already, or about to be.
    """
    await hold(connection)
    now = datetime.now(UTC)
    current, heading = await _stands(connection, route, now)
    if not _is_ahead(heading, to):
        return None
    joined = await joined_with(connection, catalogue, route) if current.is_handed_over else ()
    done = await write_move(
        connection, route, to, actor=ACTOR, reason=reason, cause="automatic", evidence=evidence, now=now
    )
    for other in joined:
        its, its_heading = await _stands(connection, other, now)
        if its.is_handed_over and _is_ahead(its_heading, to):
            why = f"{reason} (moves together with {route.name})"
            await write_move(connection, other, to, actor=ACTOR, reason=why, cause="automatic", now=now)
    return done


async def _stands(connection: Connection, route: Route, now: datetime) -> tuple[Stand, Stand]:
    """Where it stands, and where it does once its last move has taken effect."""
    current, coming, _at = await stand_of(connection, route, now)
    return current, coming or current


def _is_ahead(heading: Stand, to: Phase) -> bool:
    return heading.phase is not Phase.RETIRED and _ORDER.index(heading.phase) > _ORDER.index(to)
