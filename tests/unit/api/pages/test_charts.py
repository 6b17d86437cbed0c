"""Charts: lines that say what the figures say."""

from __future__ import annotations

import re
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.pages.charts import HEIGHT, WIDTH, ParityDay, burn_up_chart, parity_chart

FIRST = date(2026, 5, 1)
SHARES = st.one_of(st.none(), st.floats(0, 1))


def days(*told: tuple[float | None, float | None]) -> list[ParityDay]:
    return [ParityDay(FIRST + timedelta(days=number), *one, 10) for number, one in enumerate(told)]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=100), st.floats(0.5, 0.9999))
def test_nothing_is_drawn_outside(told: list[tuple[float | None, float | None]], required: float) -> None:
    chart = parity_chart(days(*told), required)
    for line in chart.lines:
        for x, y in points(line.path):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    assert len(chart.rows) == len(told)
    assert 1 <= len(chart.days) <= 5
    assert len(chart.levels) == len(chart.grid)


def test_a_day_on_which_nothing_was_compared_breaks_the_line() -> None:
    chart = parity_chart(days((1.0, None), (None, None), (0.99, 0.9)), 0.99)
    assert chart.lines[0].path.count("M") == 2
    assert chart.says == "On 3 May 2026 it was 99 %. All pairs together show that it is above 90 %;" + (
        " the gate requires 99 %."
    )
    assert [row.cells for row in chart.rows][1] == ("10", "–", "–")  # noqa: RUF001


def test_where_nothing_was_ever_compared_it_says_so() -> None:
    assert parity_chart(days((None, None)), 0.99).says == "Nothing was compared yet."


def test_the_burn_up_ends_at_what_holds_now() -> None:
    told = [(FIRST, [1, 0, 0]), (FIRST + timedelta(days=1), [4, 2, 1])]
    chart = burn_up_chart(told, ["in shadow", "in ramp", "live"], 8)
    assert chart.says == "Of 8 tasks: 4 in shadow, 2 in ramp, 1 live."
    assert chart.lines[1].path == f"M0.0 {HEIGHT * 7 / 8}H{WIDTH}.0V{HEIGHT / 2}"
    assert chart.rows[0].cells == ("4", "2", "1")


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=400))
def test_any_burn_up_can_be_drawn(counts: list[list[int]]) -> None:
    told = [(FIRST + timedelta(days=number), one) for number, one in enumerate(counts)]
    chart = burn_up_chart(told, ["a", "b", "c"], 9)
    assert len({line.style for line in chart.lines}) == len(chart.lines), "each has a dash of its own"
