"""One rehearsal of both sides for all tests of this folder: it is the expensive part."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import uvloop

from comparators import Judgement, Ledger
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.plan import Plan, build_plan
from tests.unit.sandbox.commerce.rehearsal import Happening, Performed, Side, happenings, judged, perform

SCALE = 36
"""Gives about two hundred events."""


@dataclass(frozen=True)
class Rehearsed:
    """Both sides without faults, and what was judged of them."""

    dataset: Dataset
    plan: Plan
    what: list[Happening]
    performed: Performed
    judgements: dict[str, Judgement]
    server_url: str
    """Of the PostgreSQL with the databases."""

    @property
    def ledgers(self) -> dict[Side, dict[str, Ledger]]:
        return self.performed.ledgers


@pytest.fixture(scope="session")
def rehearsed(postgres_url: str) -> Rehearsed:
    dataset = Dataset.build()
    plan = build_plan(dataset, scale=SCALE)
    what = happenings(plan, dataset)
    performed = uvloop.run(perform(what, dataset, postgres_url))
    judgements = judged(what, performed.ledgers["legacy"], performed.ledgers["candidate"])
    return Rehearsed(dataset, plan, what, performed, judgements, postgres_url)
