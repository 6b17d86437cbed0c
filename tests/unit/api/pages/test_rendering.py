"""How figures and moments are written."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from api.pages.rendering import clock, day, duration, environment, figure, number, of_condition, percent, words
from shadow.gate.report import ConditionName


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (None, "–"),  # noqa: RUF001
        (1.0, "100 %"),
        (0.99999, "99.99 %"),  # never rounded up to perfect
        (0.5, "50 %"),
        (0.01, "1 %"),
        (0.000001, "0.01 %"),  # nor down to nothing
        (0.0, "0 %"),
    ],
)
def test_a_share_is_never_rounded_to_what_it_is_not(share: float | None, written: str) -> None:
    assert percent(share) == written


def test_figures_have_the_digits_that_tell() -> None:
    assert [figure(value) for value in (None, 3.0, 1234567.0, 0.0068123, 1e300)] == [
        "–",  # noqa: RUF001
        "3",
        "1,234,567",
        "0.006812",
        "1e+300",
    ]
    assert number(1234) == "1,234"


def test_moments_are_written_in_utc() -> None:
    moment = datetime(2026, 5, 2, 1, 30, tzinfo=timezone(timedelta(hours=3)))
    assert clock(moment) == "2026-05-01 22:30:00 UTC"
    assert day(moment) == "1 May 2026"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.2, "+0.200 s"), (-1, "-1.000 s"), (184, "+3 min 4 s"), (3700, "+1 h 1 min"), (59.9996, "+60.000 s")],
)
def test_durations_are_short(seconds: float, written: str) -> None:
    assert duration(timedelta(seconds=seconds)) == written


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        (ConditionName.STATISTIC, 0.026, "2.6 %"),
        (ConditionName.SOAK, 31.24, "31.2 s"),
        (ConditionName.SOAK, 86_400.0, "1 day"),
        (ConditionName.FRESHNESS, 5_400.0, "1.5 hours"),
        (ConditionName.TICKS, 7.0, "7"),
        (ConditionName.SOAK, None, "–"),  # noqa: RUF001
    ],
)
def test_a_conditions_figure_has_its_unit(name: ConditionName, value: float | None, written: str) -> None:
    assert of_condition(value, name) == written


def test_names_become_words() -> None:
    assert words("missing_candidate") == "missing candidate"


def test_whatever_is_rendered_is_escaped() -> None:
    made = environment().from_string("<a title='{{ value }}'>{{ value }}</a>").render(value="<b>'\"&")
    assert made == "<a title='&lt;b&gt;&#39;&#34;&amp;'>&lt;b&gt;&#39;&#34;&amp;</a>"
