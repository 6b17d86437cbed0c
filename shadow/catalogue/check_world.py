"""Warnings about the rows that runs without authority need."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shadow.catalogue.problems import dotted
from shadow.catalogue.resolved import ResolvedCatalogue, ResolvedTask, ResolvedWorldRow
from shadow.catalogue.warning import CatalogueWarning

_ROWS = frozenset({"sql", "state"})
"""Kinds of effects that are about rows."""
_OTHER = re.compile(r"^(?!postgres(ql)?(\+\w+)?://)[\w+]+://")
"""A URL of another kind of database; what is no URL is libpq's own notation."""


def world_warnings(task: ResolvedTask, resolved: ResolvedCatalogue) -> Iterator[CatalogueWarning]:
    """What is likely not meant in a task's `world`."""
    key = f"tasks.{task.id}.world"
    drains = task.cron is not None and task.cron.drains
    if task.world and task.sequence == "together":
        yield CatalogueWarning(
            "world-together", key, "rows are copied before a run that goes `after` its twin: here none ever are"
        )
    for index, row in enumerate(task.world):
        place = dotted(("tasks", task.id, "world", index))
        if not drains and (where := _written(task, row)) is not None:
            yield CatalogueWarning(
                "world-written",
                f"{place}.table",
                f"{where} says that the task writes {row.table}: when its rows are copied its twin has changed them",
            )
        if row.changed_at is None and not drains:
            yield CatalogueWarning(
                "world-age-unknown",
                place,
                f"without changed_at nobody sees that a row of {row.table} changed after the event",
            )
        pair = resolved.databases[row.database]
        for side, settings in (("legacy", pair.legacy), ("candidate", pair.candidate)):
            if _OTHER.match(settings.dsn.get_secret_value()):
                yield CatalogueWarning(
                    "world-not-postgresql",
                    f"{place}.database",
                    f"databases.{row.database}.{side} is no PostgreSQL: no rows are copied, and no pair is comparable",
                )


def _written(task: ResolvedTask, row: ResolvedWorldRow) -> str | None:
    """What of the task's settings takes that table for one it writes."""
    named = re.compile(rf"\b{re.escape(row.table.rpartition('.')[2])}\b", re.IGNORECASE)
    for index, rule in enumerate(task.rules.identities):
        if rule.kind in _ROWS and (named.search(rule.operation) or named.search(rule.target)):
            return f"rules.identities[{index}]"
    for probe in task.probes:
        if probe.sql is not None and named.search(probe.sql):
            return f"the probe {probe.name}"
    return None
