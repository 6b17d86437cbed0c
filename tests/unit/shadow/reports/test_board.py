"""The board of what is on record: phases, blockers, next steps, and the days behind it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.cutover.decision import Phase
from shadow.gate.report import ConditionName, State
from shadow.reports.board import LONGEST, Found, Moved, Standing, board_of, burn_up
from shadow.reports.board_shapes import Board, BoardTask
from tests.unit.shadow.reports.gates import NOON, condition, report

CATALOGUE = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, secret_key: tr_dev_secret}
  inngest: {kind: inngest, side: candidate, event_key: key, app: shop}
sources:
  app: {kind: inngest, keys: [producer]}
tasks:
  payout:
    {category: payouts, event: payout/approved, sources: [app],
     legacy: {platform: trigger}, candidate: {platform: inngest}}
  ledger:
    {category: payouts, event: payout/approved, sources: [app],
     legacy: {platform: trigger}, candidate: {platform: inngest}}
  digest:
    {event: digest/due, sources: [app], legacy: {platform: trigger}, candidate: {platform: inngest}}
"""
SHUT = condition(ConditionName.STATISTIC, State.UNMET, "260 more clean pairs are needed")


def catalogue() -> ResolvedCatalogue:
    return parse(CATALOGUE, "test.yaml", {})


def the_board(**found: Any) -> Board:
    return board_of(catalogue(), Found(**{"standing": {}, "contained": {}, "reports": {}, "moves": [], **found}), NOON)


def row(board: Board, task: str) -> BoardTask:
    return next(found for found in board.tasks if found.task == task)


def test_a_task_of_which_nothing_is_known_waits_for_its_containment() -> None:
    digest = row(the_board(), "digest")
    assert (digest.phase, digest.gate, digest.since) == (Phase.LEGACY, "unknown", None)
    assert [blocker.name for blocker in digest.blockers] == ["containment"]
    assert (digest.next.phase, digest.next.ready, digest.next.on) == (Phase.SHADOW, False, None)


def test_a_contained_task_may_run_in_shadow_without_any_gate() -> None:
    digest = row(the_board(contained={"digest": "declared"}), "digest")
    assert digest.blockers == []
    assert (digest.next.phase, digest.next.ready) == (Phase.SHADOW, True)


def test_a_closed_gate_says_which_condition_holds_it_shut_and_when_it_may_open() -> None:
    opens = NOON + timedelta(days=3)
    digest = row(
        the_board(
            standing={"digest": Standing(Phase.SHADOW, since=NOON)},
            reports={"digest": report("digest", SHUT, opens_at=opens)},
        ),
        "digest",
    )
    assert (digest.gate, digest.pairs_needed, digest.since) == ("closed", 260, NOON)
    assert [(blocker.name, blocker.says) for blocker in digest.blockers] == [("statistic", SHUT.says)]
    assert (digest.next.phase, digest.next.on, digest.next.says) == (Phase.RAMP, opens, SHUT.says)


def test_a_task_in_shadow_that_nothing_evaluated_waits_for_that() -> None:
    digest = row(the_board(standing={"digest": Standing(Phase.SHADOW)}), "digest")
    assert [blocker.name for blocker in digest.blockers] == ["gate"]
    assert digest.next.on is None


@pytest.mark.parametrize(
    ("standing", "to"),
    [
        (Standing(Phase.SHADOW), Phase.RAMP),
        (Standing(Phase.RAMP, 10), Phase.RAMP),
        (Standing(Phase.RAMP, 100), Phase.LIVE),
        (Standing(Phase.LIVE), Phase.RETIRED),
        (Standing(Phase.RETIRED), None),
    ],
)
def test_through_an_open_gate_the_next_step_may_be_taken_now(standing: Standing, to: Phase | None) -> None:
    digest = row(the_board(standing={"digest": standing}, reports={"digest": report("digest")}), "digest")
    assert digest.next.phase is to
    assert digest.next.ready is (to is not None)
    assert digest.share == (standing.share if standing.phase is Phase.RAMP else None)


def test_a_live_task_is_retired_through_its_gate_once_legacy_has_finished() -> None:
    live = {"standing": {"digest": Standing(Phase.LIVE)}}
    waits = row(the_board(**live, reports={"digest": report("digest")}, left={"digest": 3}), "digest")
    assert [blocker.name for blocker in waits.blockers] == ["draining"]
    assert (waits.next.ready, waits.next.on) == (False, None)
    assert "3 runs" in waits.next.says
    assert [blocker.name for blocker in row(the_board(**live), "digest").blockers] == ["gate"]


def test_tasks_of_a_route_wait_for_each_other() -> None:
    later = NOON + timedelta(days=9)
    board = the_board(
        standing={task: Standing(Phase.SHADOW) for task in ("payout", "ledger")},
        reports={"payout": report("payout"), "ledger": report("ledger", SHUT, opens_at=later)},
    )
    payout = row(board, "payout")
    assert payout.gate == "open"
    assert [blocker.name for blocker in payout.blockers] == ["route"]
    assert "ledger" in payout.blockers[0].says
    assert (payout.next.ready, payout.next.on) == (False, later)
    assert [blocker.name for blocker in row(board, "ledger").blockers] == ["statistic"]


def test_a_step_has_no_date_while_one_of_the_route_has_none() -> None:
    board = the_board(
        standing={task: Standing(Phase.SHADOW) for task in ("payout", "ledger")},
        reports={"payout": report("payout", SHUT, opens_at=NOON), "ledger": report("ledger", SHUT, opens_at=None)},
    )
    assert row(board, "payout").next.on is None


def test_categories_are_counted_apart_and_together() -> None:
    board = the_board(standing={"payout": Standing(Phase.LIVE)}, reports={"payout": report("payout")})
    assert [(found.category, found.tasks) for found in board.categories] == [("payouts", 2), (None, 1)]
    assert (board.total.tasks, board.total.open) == (3, 1)
    assert board.total.phases[Phase.LIVE] == board.categories[0].phases[Phase.LIVE] == 1
    assert board.total.phases[Phase.LEGACY] == 2


def test_the_burn_up_has_every_day_since_the_first_move() -> None:
    day = timedelta(days=1)
    days = burn_up(
        ["payout", "digest"],
        [
            Moved(("payout",), Phase.SHADOW, NOON - 3 * day),
            Moved(("payout",), Phase.LIVE, NOON - 2 * day),
            Moved(("payout", "gone"), Phase.SHADOW, NOON - 2 * day + timedelta(hours=1)),
            Moved(("digest",), Phase.LIVE, NOON),
        ],
        NOON,
    )
    assert [(found.day, found.moved) for found in days] == [
        (date(2026, 5, 1), 0),
        (date(2026, 5, 2), 0),  # it had gone live, and back within the day
        (date(2026, 5, 3), 0),
        (date(2026, 5, 4), 1),
    ]
    assert days[-1].phases == {
        Phase.LEGACY: 0,
        Phase.SHADOW: 1,
        Phase.RAMP: 0,
        Phase.LIVE: 1,
        Phase.RETIRED: 0,
    }


def test_without_a_move_the_burn_up_is_of_today() -> None:
    assert [(found.day, found.moved) for found in burn_up(["digest"], [], NOON)] == [(NOON.date(), 0)]


_MOVES = st.lists(
    st.builds(
        Moved,
        st.sets(st.sampled_from(["a", "b", "c"]), min_size=1).map(lambda names: tuple(sorted(names))),
        st.sampled_from(Phase),
        st.datetimes(datetime(2024, 5, 4), datetime(2026, 5, 4)).map(lambda at: at.replace(tzinfo=NOON.tzinfo)),
    ),
    max_size=30,
)


@given(_MOVES)
def test_every_day_of_a_burn_up_counts_every_task_once_and_the_last_is_how_they_stand(made: list[Moved]) -> None:
    made = sorted(made, key=lambda move: move.at)
    days = burn_up(["a", "b", "c"], made, NOON)
    assert all(sum(found.phases.values()) == 3 for found in days)
    assert [found.day for found in days] == sorted({found.day for found in days})
    assert days[-1].day == NOON.date()
    assert NOON.date() - days[0].day <= LONGEST
    standing = dict.fromkeys("abc", Phase.LEGACY)
    for move in made:
        standing.update(dict.fromkeys(move.tasks, move.to))
    assert days[-1].moved == sum(phase in (Phase.LIVE, Phase.RETIRED) for phase in standing.values())
