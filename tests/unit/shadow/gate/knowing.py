"""A task of which everything is well, to be changed by what a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shadow.catalogue.model import GateSettings
from shadow.gate.known import Ended, EpochKnown, Statistic, TaskKnown
from shadow.gate.process import pairs_to_open, upper_bound
from shadow.gate.report import Counted, SignOff

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EPOCH = UUID(int=7)
PAIRS = 400
OPENED = Statistic(
    alpha=0.05,
    log_e=3.7,
    opened_at=NOON - timedelta(hours=1),
    opened_after=335,
    regressed_at=None,
    log_e_above=-1.0,
    regress_alpha=0.05,
    upper_bound=0.0083,
    pairs_needed=0,
)


def statistic(pairs: int, mismatches: int = 0, *, budget: float = 0.01) -> Statistic:
    """Not opened: as it stands after these pairs."""
    return replace(
        OPENED,
        log_e=0.0,
        opened_at=None,
        opened_after=None,
        upper_bound=upper_bound(pairs, mismatches, 0.05),
        pairs_needed=pairs_to_open(pairs, mismatches, budget, 0.05),
    )


def epoch(**more: Any) -> EpochKnown:
    told: dict[str, Any] = {
        "id": EPOCH,
        "number": 2,
        "started_at": NOON - timedelta(days=3),
        "legacy_version": "l1",
        "candidate_version": "c4",
        "live": Counted(match=PAIRS),
        "replayed": Counted(),
        "pending": 0,
        "statistic": OPENED,
        "ended": Ended(neither_failed=PAIRS, timed=PAIRS, newest_at=NOON - timedelta(minutes=5)),
        "ticks": 0,
    }
    return EpochKnown(**{**told, **more})


def known(settings: dict[str, Any] | None = None, **more: Any) -> TaskKnown:
    told: dict[str, Any] = {
        "task": "order-sync",
        "category": "orders",
        "settings": GateSettings.model_validate({"budget": 0.01, **(settings or {})}),
        "now": NOON,
        "epoch": epoch(),
        "pairs_a_day": 120.0,
        "leaks_proven": True,
        "contained_by": "proven for version c4 on 2026-05-01",
        "shapes": 4,
    }
    return TaskKnown(**{**told, **more})


def sign_off(actor: str, number: int = 1) -> SignOff:
    return SignOff(UUID(int=number), actor, "looked at all of them", NOON - timedelta(hours=2))
