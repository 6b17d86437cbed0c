"""What a task's gate asks for before it opens: the `gate` of a task, a category or `defaults`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from shadow.catalogue.values import Duration, Strict

BUDGET = 0.01
"""Of a task whose category has no stricter one."""

BUDGETS = {"payouts": 0.002, "payments": 0.002, "billing": 0.005, "subscriptions": 0.005}
"""Of tasks whose category has that name, where the catalogue says none."""


class BoundSetting(Strict):
    """How much worse than legacy the candidate may be, and whether that holds the gate shut."""

    ratio: float = Field(ge=1, allow_inf_nan=False)
    slack: float = Field(0.0, ge=0, allow_inf_nan=False)
    """What may come on top: a share of runs that fail, or seconds."""
    blocks: bool = True
    """`false`: shown only."""


class GateSettings(Strict):
    """When a task may move on. Each key by itself is inherited."""

    budget: float | None = Field(None, gt=0, lt=1)
    """The share of pairs that may differ: shown to be below it before the gate opens. Default by category, else 1 %."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """1 - alpha: the most that a gate opens falsely with, however often one looks, is alpha."""
    regress_confidence: float = Field(0.95, gt=0.5, lt=1)
    """With which the opposite must be shown before an open gate regresses."""
    not_comparable: float = Field(0.2, ge=0, le=1)
    """The share of pairs that may be incomparable."""
    fresh: Duration = timedelta(days=2)
    """How old the newest pair may be."""
    soak: Duration = timedelta(days=1)
    """How long the epoch must have lasted."""
    ticks: int = Field(7, ge=0)
    """Of a cron task: of how many of its ticks the pairs must have been counted."""
    coverage: Duration = timedelta(days=30)
    """Whatever shape of event or effect legacy showed within that time must have been compared."""
    failures: BoundSetting = BoundSetting(ratio=1.0, slack=0.02)
    """Runs that fail."""
    latency: BoundSetting = BoundSetting(ratio=2.0, slack=1.0, blocks=False)
    """How long runs take, without what they waited at the gateway."""
    sign_off_below: float = Field(1.0, ge=0)
    """Pairs a day: with less, two named people may sign off in the statistic's place."""
    unknown_leaks: Literal["declared", "refuse"] = "declared"
    """What opens a gate whose leaks read `unknown`: a declaration on record, or nothing."""


class MigrationGate(Strict):
    """What holds for all gates together."""

    family_wise: bool = False
    """Whether alpha is that of any gate of the migration opening falsely: it is shared among all tasks."""
    over_epochs: bool = False
    """Whether alpha is that of a task's gate opening falsely in any epoch: later epochs get less of it."""
