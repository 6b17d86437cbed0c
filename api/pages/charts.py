"""What charts draw, as paths in a box of 600 by 200, and the same figures as a table. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from api.pages.rendering import day as written_day
from api.pages.rendering import percent

WIDTH, HEIGHT = 600, 200
_MOST_DAYS = 5
"""Days named below a chart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its style has a colour and dashes of its own, so that either tells it."""

    name: str
    style: str
    path: str
    dots: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    day: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart."""

    says: str
    """What it shows, in a sentence."""
    lines: tuple[Line, ...]
    levels: tuple[str, ...]
    """What its horizontal lines stand for, from the top."""
    grid: tuple[float, ...]
    days: tuple[str, ...]
    """From left to right, evenly spread."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class ParityDay:
    """A day of a task."""

    day: date
    parity: float | None
    """Of that day's pairs; None where none was compared."""
    bound: float | None
    """What parity is shown to be above by all pairs up to then; None where nothing is known."""
    compared: int


def parity_chart(days: Sequence[ParityDay], required: float) -> Chart:
    """Parity by day, the bound, and what the gate requires; at least one day."""
    bound = next((one.bound for one in reversed(days) if one.bound is not None), None)
    known = [one.parity for one in days if one.parity is not None]
    # The first bounds of an epoch are near 0, and would leave no room for what they have come to.
    low = _floor(min([*known, required, *([] if bound is None else [bound])]))
    last = next((one for one in reversed(days) if one.parity is not None), None)
    says = "Nothing was compared yet." if last is None else f"On {written_day(last.day)} it was {percent(last.parity)}."
    if bound is not None:
        says += f" All pairs together show that it is above {percent(bound)};"
        says += f" the gate requires {percent(required)}."
    spread = [_x(number, len(days)) for number in range(len(days))]
    parity = [None if one.parity is None else _y(one.parity, low) for one in days]
    bounds = [None if one.bound is None or one.bound < low else _y(one.bound, low) for one in days]
    at = _y(required, low)
    return Chart(
        says,
        (
            Line("parity of the day", "one", _path(spread, parity), _dots(spread, parity)),
            Line("shown to be above, by all pairs until then", "two", _path(spread, bounds), _dots(spread, bounds, 1)),
            Line("required by the gate", "three", f"M0 {at}H{WIDTH}"),
        ),
        tuple(percent(low + (1 - low) * share) for share in (1, 0.5, 0)),
        (0, HEIGHT / 2, HEIGHT),
        _named(days[number].day for number in _some(len(days))),
        ("Compared", "Parity", "Shown to be above"),
        tuple(
            Row(written_day(one.day), (f"{one.compared:,}", percent(one.parity), percent(one.bound)))
            for one in reversed(days)
        ),
    )


def burn_up_chart(days: Sequence[tuple[date, Sequence[int]]], names: Sequence[str], total: int) -> Chart:
    """How many tasks had come how far by each day, as steps.

    Args:
        days: each with a count for every name.
        names: from the nearest phase to the furthest; at most three.
    """
    spread = [_x(number, len(days)) for number in range(len(days))]
    top = max(total, 1)
    lines = [
        Line(name, style, _steps(spread, [_y(counts[number] / top, 0) for _, counts in days]))
        for number, (name, style) in enumerate(zip(names, ("one", "two", "four"), strict=True))
    ]
    newest = days[-1][1]
    counted = ", ".join(f"{count} {name}" for count, name in zip(newest, names, strict=True))
    return Chart(
        f"Of {total} tasks: {counted}.",
        (Line("all tasks", "all", f"M0 0H{WIDTH}"), *lines),
        (str(total), str(round(total / 2)) if total > 1 else "", "0"),
        (0, HEIGHT / 2, HEIGHT),
        _named(days[number][0] for number in _some(len(days))),
        tuple(names),
        tuple(Row(written_day(day), tuple(str(count) for count in counts)) for day, counts in reversed(days)),
    )


def _floor(value: float) -> float:
    """A round share a little below, so that lines do not lie on the edge."""
    for step in (0.001, 0.005, 0.01, 0.05, 0.1):
        if 1 - value <= step * 5:
            return max(0.0, round(math.floor(value / step - 0.1) * step, 6))
    return max(0.0, round(math.floor(value * 10 - 0.1) / 10, 6))


def _x(number: int, of: int) -> float:
    return WIDTH / 2 if of == 1 else round(number * WIDTH / (of - 1), 2)


def _y(share: float, low: float) -> float:
    return round(HEIGHT * (1 - (share - low) / (1 - low)), 2)


def _path(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    """A line through the points; it is broken where there is none."""
    parts = []
    pen = "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x} {y}")
        pen = "L"
    return "".join(parts) or "M0 0"


def _dots(xs: Sequence[float], ys: Sequence[float | None], most: int = 60) -> str:
    """A dot for each point, unless they would run into each other."""
    found = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
    return "".join(f"M{x} {y}h0" for x, y in found) if len(found) <= most else ""


def _steps(xs: Sequence[float], ys: Sequence[float]) -> str:
    if len(xs) == 1:
        return f"M0 {ys[0]}H{WIDTH}"
    parts = [f"M{xs[0]} {ys[0]}"]
    parts.extend(f"H{x}V{y}" for x, y in zip(xs[1:], ys[1:], strict=True))
    return "".join(parts)


def _some(number: int) -> list[int]:
    """Places of the days that are named: evenly spread, the first and the last among them."""
    if number <= _MOST_DAYS:
        return list(range(number))
    step = (number - 1) / (_MOST_DAYS - 1)
    return [round(place * step) for place in range(_MOST_DAYS)]


def _named(days: Iterable[date]) -> tuple[str, ...]:
    return tuple(one.strftime("%-d %b") for one in days)
