"""What both platforms' schedulers do, held against the catalogue."""

from __future__ import annotations

import pytest

from shadow.catalogue import CatalogueError, check, parse
from shadow.catalogue.check_schedules import Stand, schedule_warnings
from shadow.catalogue.draft import CandidateListing, ListedFunction, ListedSchedule
from tests.integration.ticks.clock import CATALOGUE

NO_CRONS = (ListedFunction("shop-metrics", events=("cron/metrics",)),)
OWN = (ListedFunction("shop-metrics", events=("cron/metrics",), crons=("*/5 * * * *",)),)
SCHEDULES = [ListedSchedule("metrics", "*/5 * * * *"), ListedSchedule("reminders", "0 * * * *")]


def found(
    schedules: list[ListedSchedule], functions: tuple[ListedFunction, ...], **stands: Stand
) -> tuple[list[str], list[str]]:
    candidate = CandidateListing("http://inngest", "shop", functions)
    warned, refused = schedule_warnings(CATALOGUE, {"trigger": schedules}, {"inngest": candidate}, stands)
    return [f"{one.code} {one.key}" for one in warned], [f"{one.code} {one.key}" for one in refused]


def test_legacy_as_declared_and_the_candidate_without_its_trigger_is_as_it_should_be() -> None:
    assert found(SCHEDULES, NO_CRONS) == ([], [])


def test_another_expression_zone_or_no_schedule_on_legacy() -> None:
    assert found([ListedSchedule("metrics", "*/10 * * * *"), ListedSchedule("reminders", "0 * * * *", "Asia/Tokyo")],
                 NO_CRONS)[0] == [
        "schedule-differs tasks.metrics.cron.expression",
        "schedule-differs tasks.reminders.cron.expression",
    ]  # fmt: skip
    assert found([SCHEDULES[0], ListedSchedule("reminders", "0 * * * *", active=False)], NO_CRONS)[0] == [
        "schedule-missing tasks.reminders.cron"
    ]


def test_a_trigger_that_is_synced_uncontained_is_refused() -> None:
    key = "tasks.metrics.candidate.function"
    assert found(SCHEDULES, OWN) == ([], [f"cron-uncontained {key}"])
    assert found(SCHEDULES, OWN, metrics=Stand("shadow", True)) == ([f"cron-doubled {key}"], [])
    assert found(SCHEDULES, OWN, metrics=Stand("live", True)) == ([], [])


def test_a_live_task_whose_candidate_has_no_trigger_or_another() -> None:
    key = "tasks.metrics.candidate.function"
    live = Stand("live", True)
    assert found(SCHEDULES, NO_CRONS, metrics=live) == ([f"cron-absent {key}"], [])
    other = (ListedFunction("shop-metrics", crons=("TZ=Europe/Berlin */5 * * * *",)),)
    assert found(SCHEDULES, other, metrics=live) == ([f"cron-differs {key}"], [])


TEXT = """
platforms:
  trigger: {kind: trigger.dev, side: legacy, url: "https://t", secret_key: secret}
  inngest: {kind: inngest, side: candidate, event_url: "https://i", api_url: "https://i", event_key: k,
            signing_key: "00", app: shop}
sources: {}
tasks:
  daily:
    event: cron/daily
    sources: []
    cron: {expression: "0 2 * * *"}
    legacy: {platform: trigger}
    candidate: {platform: inngest}
"""


@pytest.mark.parametrize(
    ("change", "to", "problem"),
    [
        ("0 2 * * *", "0 25 * * *", "c.yaml:11: tasks.daily.cron.expression: found '0 25 * * *' (Bad hour)"),
        ('"0 2 * * *"', '"@daily"', "c.yaml:11: tasks.daily.cron.expression: found '@daily' (1 field, expected 5)"),
        ('* * *"}', '* * *", timezone: Mars/Olympus}', "c.yaml:11: tasks.daily.cron.timezone: found 'Mars/Olympus'"),
        ('* * *"}', '* * *", drains: true}', "c.yaml:11: tasks.daily.cron.drains: found true without `world`"),
        ('    cron: {expression: "0 2 * * *"}\n', "", "c.yaml:10: tasks.daily.sources: found an empty list"),
        (
            "sources: {}",
            "sources: {schedule: {kind: inngest, keys: [k]}}",
            "c.yaml:6: sources.schedule: found the name",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(change: str, to: str, problem: str) -> None:
    parse(TEXT, "c.yaml", {})
    with pytest.raises(CatalogueError) as error:
        parse(TEXT.replace(change, to), "c.yaml", {})
    assert str(error.value).startswith(problem)


def test_a_scheduled_task_has_an_event_of_its_own() -> None:
    shared = TEXT + TEXT[TEXT.index("  daily:") :].replace("  daily:", "  nightly:")
    codes = [(one.code, one.key) for one in check(parse(shared, "c.yaml", {}))]
    assert codes == [("cron-shares-event", "tasks.daily.event"), ("cron-shares-event", "tasks.nightly.event")]
