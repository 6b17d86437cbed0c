"""Outcomes that are told at the same time: what several say of one run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shadow.outcomes.outcome import RunOutcome, Status

_FILLED_IN = (
    "output",
    "error_name",
    "error_message",
    "attempts",
    "version",
    "cost_cents",
    "executions",
    "started_at",
    "finished_at",
)
"""What a later outcome of a run may say where the first left it open."""


def in_turns(outcomes: Sequence[RunOutcome]) -> list[list[RunOutcome]]:
    """Outcomes in turns, of which each has a run once.

    Of those that say the same of a run the first is filled in with what the others say more, which is what becomes of
    them in the database, one after the other. So there are as many turns as somebody told different ends of one run.
    """
    first: dict[tuple[str, str, Status], tuple[list[RunOutcome], int]] = {}
    ends: Counter[tuple[str, str]] = Counter()
    turns: list[list[RunOutcome]] = []
    for outcome in outcomes:
        run = outcome.platform, outcome.platform_run_id
        if (place := first.get((*run, outcome.status))) is not None:
            known, index = place
            known[index] = _filled_in(known[index], outcome)
            continue
        turn = ends[run]
        ends[run] += 1
        if turn == len(turns):
            turns.append([])
        first[*run, outcome.status] = turns[turn], len(turns[turn])
        turns[turn].append(outcome)
    return turns


def _filled_in(known: RunOutcome, later: RunOutcome) -> RunOutcome:
    """An outcome with what a later one says more; another one, for it may have to be written again by itself."""
    more: dict[str, Any] = {
        name: said for name in _FILLED_IN if getattr(known, name) is None and (said := getattr(later, name)) is not None
    }
    return replace(known, **more) if more else known
