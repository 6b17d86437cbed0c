"""The drafted catalogue: what is matched, what is left to a person, and that it loads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.draft import CandidateListing, LegacyListing, ListedFunction, ListedSchedule, ListedTask, draft
from shadow.catalogue.model import Flow
from shadow.catalogue.variables import Placeholders

SEEN = datetime(2026, 11, 24, 1, tzinfo=UTC)


def drafted(
    tasks: list[str], functions: list[ListedFunction], *schedules: ListedSchedule, complete: bool = True
) -> tuple[str, ResolvedCatalogue]:
    text = draft(
        LegacyListing("https://api.trigger.dev", tuple(ListedTask(one, SEEN) for one in tasks), schedules, complete),
        CandidateListing("https://api.inngest.com", "commerce", tuple(functions)),
    )
    return text, parse(text, "drafted.yaml", Placeholders({}))


def function(name: str, *events: str, flow: tuple[Flow, ...] = ()) -> ListedFunction:
    return ListedFunction(f"commerce-{name}", events, flow=flow)


def test_the_same_name_is_a_match() -> None:
    _, catalogue = drafted(["process-payout"], [function("process-payout", "payout/approved", flow=(Flow.SINGLETON,))])
    task = catalogue.tasks["process-payout"]
    assert task.event == "payout/approved"
    assert (task.legacy.task, task.candidate.function) == ("process-payout", "commerce-process-payout")
    assert task.candidate.flow == (Flow.SINGLETON,)
    assert task.sources == ("app-trigger",)


@pytest.mark.parametrize("name", ["processPayout", "process_payout", "PROCESS.PAYOUT", "payout-process"])
def test_the_same_words_are_a_match_and_are_marked(name: str) -> None:
    text, catalogue = drafted([name], [function("process-payout", "payout/approved")])
    assert [task.candidate.function for task in catalogue.tasks.values()] == ["commerce-process-payout"]
    assert f"# matched by likeness: {name} and commerce-process-payout" in text


def test_an_exact_match_goes_before_one_by_likeness() -> None:
    text, catalogue = drafted(["pay_out", "pay-out"], [function("pay-out", "a/b")])
    assert [task.legacy.task for task in catalogue.tasks.values()] == ["pay-out"]
    assert "#   pay_out" in text


def test_what_could_mean_two_is_left_to_a_person() -> None:
    _, catalogue = drafted(["payOut", "pay_out"], [function("pay-out", "a/b")])
    assert catalogue.tasks == {}


def test_what_finds_no_match_stands_in_comments_with_the_likeliest() -> None:
    text, _ = drafted(["send-receipt"], [function("send-receipts", "receipt/due")])
    assert "#   send-receipt  (last seen 2026-11-24; perhaps commerce-send-receipts)" in text
    assert "#   commerce-send-receipts  (receipt/due)" in text


def test_tasks_that_share_an_event_are_not_fed_by_calls() -> None:
    _, catalogue = drafted(["a", "b", "c"], [function("a", "x/y"), function("b", "x/y"), function("c", "z")])
    assert {task.id: task.sources for task in catalogue.tasks.values()} == {
        "a": ("app-inngest",),
        "b": ("app-inngest",),
        "c": ("app-trigger",),
    }


def test_schedules_and_cron_functions_are_noted() -> None:
    cron = ListedFunction("commerce-daily", crons=("0 2 * * *",))
    text, catalogue = drafted(["daily"], [cron], ListedSchedule("daily", "0 2 * * *", "Europe/Oslo", active=False))
    assert "# scheduled: 0 2 * * * (Europe/Oslo, inactive)" in text
    assert catalogue.tasks["daily"].event == "cron/daily"


def test_a_task_with_an_active_schedule_gets_its_cron() -> None:
    functions = [ListedFunction("commerce-daily", crons=("0 2 * * *",)), function("sweep", "queue/sweep")]
    schedules = [ListedSchedule("daily", "0  2 * * *", "Europe/Oslo"), ListedSchedule("sweep", "*/5 * * * *")]
    text, catalogue = drafted(["daily", "sweep"], functions, *schedules)
    daily, sweep = catalogue.tasks["daily"], catalogue.tasks["sweep"]
    assert daily.cron is not None
    assert (daily.cron.expression, daily.cron.timezone) == ("0 2 * * *", "Europe/Oslo")
    assert daily.sources == ()
    assert sweep.cron is not None
    assert sweep.sources == ("app-trigger",)
    assert "tenants" not in text


def test_schedules_of_tenants_are_told_by_their_external_ids() -> None:
    schedules = [ListedSchedule("daily", "0 2 * * *", external=True) for _tenant in range(2)]
    _, catalogue = drafted(["daily"], [ListedFunction("commerce-daily", crons=("0 2 * * *",))], *schedules)
    cron = catalogue.tasks["daily"].cron
    assert cron is not None
    assert cron.tenants


def test_a_schedule_that_nobody_can_read_is_left_to_a_person() -> None:
    text, catalogue = drafted(["daily"], [function("daily", "x/y")], ListedSchedule("daily", "@daily"))
    assert catalogue.tasks["daily"].cron is None
    assert "# cron: not drafted, as @daily (UTC) can't be read" in text


def test_a_list_that_was_not_read_to_its_end_is_said_to_be_so() -> None:
    assert "rare tasks may be missing" in drafted([], [], complete=False)[0]
    assert "rare tasks may be missing" not in drafted([], [])[0]


@given(st.lists(st.text(min_size=1, max_size=12).filter(lambda name: name < "\ud800"), max_size=5, unique=True))
def test_whatever_ids_there_are_the_draft_loads_and_keeps_them(ids: list[str]) -> None:
    _, catalogue = drafted(ids, [function(name, f"event/{number}") for number, name in enumerate(ids)])
    for task in catalogue.tasks.values():
        assert task.legacy.task in ids
        assert task.candidate.function == f"commerce-{task.legacy.task}"
    # An id without a letter or digit has no words to match by, but it has itself.
    assert len(catalogue.tasks) == len(ids)
