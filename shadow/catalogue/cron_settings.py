"""When a task of a clock starts: the `cron` of a task."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from shadow.catalogue.values import Duration, Strict

SCHEDULE = "schedule"
"""The source of the events that stand for ticks: no source of a catalogue may be called so."""


class CronSettings(Strict):
    """The schedule of a task that a clock starts. In `shadow` legacy's own scheduler is the clock."""

    expression: str
    """Five fields, as both platforms write it: `0 2 * * *`."""
    timezone: str = "UTC"
    """An IANA name."""
    grace: Duration = timedelta(minutes=5)
    """How late a tick may be before it is reported as missed."""
    tenants: bool = False
    """Whether legacy runs once a tick for each tenant (a schedule with an external id each), not once for all."""
    drains: bool = Field(False)
    """Whether it works off the rows of `world`, so that the candidate needs them as they were at the tick."""
