"""What is still in flight on legacy, for the API."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from shadow.cutover.decision import Phase
from shadow.reports.shapes import Shape


class DrainView(Shape):
    """What of a task legacy still does with authority after the candidate took over."""

    task: str
    phase: Phase = Field(description="The one that its route stands in, or is about to.")
    since: datetime | None = Field(
        description="From when on the candidate has authority, or more of it; null in legacy and shadow, where nothing"
        " drains."
    )
    left: int = Field(description="runs + waiting + dead: at 0 nothing is lost by switching legacy off.")
    runs: int = Field(description="Runs with authority that have not finished; scheduled ones, too.")
    scheduled: int = Field(description="Of these, those that start later.")
    waiting: int = Field(description="Events on their way to legacy, which has no run of them yet.")
    dead: int = Field(description="Events that legacy would not take: dead letters.")
    oldest: datetime | None = Field(description="When the oldest of their events was accepted.")
    examples: list[UUID] = Field(description="The oldest of the runs.")


class Drain(Shape):
    """Of every task of a route, which move together."""

    route: str
    left: int
    tasks: list[DrainView]
