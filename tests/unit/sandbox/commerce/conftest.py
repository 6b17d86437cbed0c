"""One rehearsal of both sides for all tests of this folder: it is the expensive part."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import uvloop

from comparators import Judgement, Ledger
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.plan import Plan, build_plan
from tests.unit.sandbox.commerce.rehearsal import Happening, Side, happenings, judged, perform

SCALE = 36
"""Gives about two hundred events."""


@dataclass(frozen=True)
class Rehearsed:
    """Both sides without faults, and what was judged of them."""

    dataset: Dataset
    plan: Plan
    what: list[Happening]
    ledgers: dict[Side, dict[str, Ledger]]
    judgements: dict[str, Judgement]


@pytest.fixture(scope="session")
def rehearsed() -> Rehearsed:
    dataset = Dataset.build()
    plan = build_plan(dataset, scale=SCALE)
    what = happenings(plan, dataset)
    ledgers = uvloop.run(perform(what, dataset))
    judgements = judged(what, ledgers["legacy"], ledgers["candidate"])
    return Rehearsed(dataset, plan, what, ledgers, judgements)
