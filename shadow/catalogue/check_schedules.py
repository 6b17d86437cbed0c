"""Warnings about scheduled tasks: by the catalogue alone, and by what both platforms' schedulers really do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shadow.catalogue.draft import CandidateListing, ListedSchedule
from shadow.catalogue.resolved import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.schedule import expression_of
from shadow.catalogue.warning import CatalogueWarning

MOVED = ("live", "retired")
"""Phases in which the candidate's own trigger is the clock; so it is of a ramp for all."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a task stands."""

    phase: str = "legacy"
    contained: bool = False
    """Whether its candidate is proven contained, or declared harmless."""


def cron_warnings(task: ResolvedTask, resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    """What is likely not meant in a task's `cron`."""
    if task.cron is None:
        return
    key = f"tasks.{task.id}"
    sharing = [one.id for one in resolved.tasks_of_event(task.event) if one.id != task.id]
    if sharing:
        yield CatalogueWarning(
            "cron-shares-event",
            f"{key}.event",
            f"{', '.join(sharing)} would start at its ticks too: a scheduled task has an event of its own",
        )
    if task.cron.drains and task.sequence == "together":
        yield CatalogueWarning(
            "drains-together",
            f"{key}.cron.drains",
            "the copy of its queue is put into the candidate's database before a run that goes `after` its twin:"
            " here none ever is",
        )


def schedule_warnings(
    resolved: ResolvedCatalogue,
    schedules: Mapping[str, Sequence[ListedSchedule]],
    candidates: Mapping[str, CandidateListing],
    stands: Mapping[str, Stand],
) -> tuple[list[CatalogueWarning], list[CatalogueWarning]]:
    """What the platforms' schedulers do otherwise than the catalogue says.

    Args:
        schedules: of each legacy platform, by its name in the catalogue.
        candidates: of each candidate platform.
        stands: by task; one that was never moved may be left out.

    Returns:
        warnings, and what is refused: the candidate's own trigger is on, and nothing shows that it is contained.
    """
    warned: list[CatalogueWarning] = []
    refused: list[CatalogueWarning] = []
    for task in resolved.tasks.values():
        stand = stands.get(task.id, Stand())
        if task.legacy.platform in schedules:
            warned += _legacy(task, schedules[task.legacy.platform])
        listing = candidates.get(task.candidate.platform)
        if listing is not None:
            for warning in _candidate(task, listing, stand):
                (refused if warning.code == "cron-uncontained" else warned).append(warning)
    return sorted(warned), sorted(refused)


def _legacy(task: ResolvedTask, schedules: Sequence[ListedSchedule]) -> Iterator[CatalogueWarning]:
    key = f"tasks.{task.id}.cron"
    active = [schedule for schedule in schedules if schedule.task == task.legacy.task and schedule.active]
    if task.cron is None:
        if active:
            yield CatalogueWarning(
                "schedule-undeclared",
                key,
                f"legacy runs it by `{active[0].cron}` ({active[0].timezone}): without a `cron` its ticks are nobody's",
            )
        return
    if not active:
        yield CatalogueWarning("schedule-missing", key, "legacy has no active schedule for it")
    declared = (" ".join(task.cron.expression.split()), task.cron.timezone)
    for schedule in active:
        found = (" ".join(schedule.cron.split()), schedule.timezone)
        if found != declared:
            yield CatalogueWarning(
                "schedule-differs",
                f"{key}.expression",
                f"legacy runs it by `{found[0]}` ({found[1]}): other ticks are expected than it has",
            )


def _candidate(task: ResolvedTask, listing: CandidateListing, stand: Stand) -> Iterator[CatalogueWarning]:
    function = next((one for one in listing.functions if one.slug == task.candidate.function), None)
    key = f"tasks.{task.id}.candidate.function"
    crons = [expression_of(cron) for cron in function.crons] if function is not None else []
    if crons and stand.phase not in (*MOVED, "ramp"):
        if not stand.contained:
            yield CatalogueWarning(
                "cron-uncontained",
                key,
                f"its own cron trigger (`{crons[0][0]}`) is synced, so it runs already, and nothing shows that it is"
                " contained",
            )
        else:
            yield CatalogueWarning(
                "cron-doubled",
                key,
                f"its own cron trigger (`{crons[0][0]}`) is synced while legacy is the clock: each tick runs twice on"
                " the candidate, and the second without authority",
            )
    if not crons and task.cron is not None and function is not None and stand.phase in MOVED:
        yield CatalogueWarning(
            "cron-absent", key, f"it is {stand.phase} and has no cron trigger: nobody runs its ticks"
        )
    declared = None if task.cron is None else (" ".join(task.cron.expression.split()), task.cron.timezone)
    for cron in crons:
        if declared is not None and cron != declared:
            yield CatalogueWarning(
                "cron-differs", key, f"its trigger is due by `{cron[0]}` ({cron[1]}), legacy's by `{declared[0]}`"
            )
