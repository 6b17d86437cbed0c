"""Going back without being asked: the one way in which Shadow itself moves a route."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shadow.catalogue import Route
from shadow.cutover.decision import Phase
from shadow.cutover.moves import Move, hold, stand_of, write_move
from shadow.store.database import Connection

ACTOR = "shadow"
_ORDER = list(Phase)


async def go_back(
    connection: Connection, route: Route, to: Phase, *, reason: str, evidence: Mapping[str, Any] | None = None
) -> Move | None:
    """Move a route back, in the caller's transaction; None where it is there already, or about to be.

    A retired route stays: who knows whether there is a legacy to go back to. Forward it moves by a person only.

    Args:
        to: `shadow` or `legacy`.
        reason: one sentence, with the ids and figures of what was seen.
        evidence: the same for programs.
    """
    await hold(connection)
    current, coming, _at = await stand_of(connection, route, datetime.now(UTC))
    heading = (coming or current).phase
    if heading is Phase.RETIRED or _ORDER.index(heading) <= _ORDER.index(to):
        return None
    return await write_move(connection, route, to, actor=ACTOR, reason=reason, cause="automatic", evidence=evidence)
