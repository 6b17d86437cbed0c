"""Tasks that a person declared harmless, for tests of what comes after."""

from __future__ import annotations

from shadow.catalogue import ResolvedCatalogue
from shadow.containment.record import declare
from shadow.store.database import Database


async def declared(database: Database, catalogue: ResolvedCatalogue) -> None:
    """All tasks of the catalogue may enter `shadow`."""
    for task in catalogue.tasks:
        await declare(database, task, actor="tests", reason="its targets are pretended")
