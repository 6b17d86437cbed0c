"""What both platforms' schedulers do, held against the catalogue and where each task stands."""

from __future__ import annotations

from pathlib import Path

from shadow.catalogue import CatalogueWarning, ResolvedCatalogue
from shadow.catalogue.check_schedules import Stand, schedule_warnings
from shadow.catalogue.listing import candidate_listing, legacy_schedules
from shadow.catalogue.model import InngestPlatform, Side, TriggerPlatform
from shadow.cli.options import opened
from shadow.containment.record import State
from shadow.cutover.decision import Phase
from shadow.platforms.client import carrying_client
from shadow.platforms.tls import contexts
from shadow.reports.containments import containment_states
from shadow.reports.parity import standing_phases

_CONTAINED = (State.PROVEN, State.DECLARED)


async def scheduled(
    resolved: ResolvedCatalogue, data: Path, database_url: str | None
) -> tuple[list[CatalogueWarning], list[CatalogueWarning]]:
    """Warnings, and what is refused; see `schedule_warnings`.

    Raises:
        ListingFailed: a platform can't be reached, or does not list.
    """
    legacy, candidates = {}, {}
    async with carrying_client(tls_of=contexts(resolved)) as http:
        for name, platform in resolved.platforms.items():
            if isinstance(platform, TriggerPlatform) and platform.side is Side.LEGACY:
                key = platform.secret_key.get_secret_value()
                legacy[name] = await legacy_schedules(http, platform.url, key)
            if isinstance(platform, InngestPlatform) and platform.side is Side.CANDIDATE:
                signing = platform.signing_key.get_secret_value() if platform.signing_key else None
                candidates[name] = await candidate_listing(http, platform.api_url, platform.app, signing)
    async with opened(data, database_url) as database, database.engine.connect() as connection:
        phases = await standing_phases(connection)
        contained = await containment_states(connection)
    stands = {
        task: Stand(phases.get(task, Phase.LEGACY).value, contained.get(task) in _CONTAINED) for task in resolved.tasks
    }
    return schedule_warnings(resolved, legacy, candidates, stands)
