"""Templates: everything escaped, nothing inline, figures and moments written one way."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.pages.assets import assets
from shadow.access.tokens import Scope
from shadow.gate.report import ConditionName

_NOTHING = "–"  # noqa: RUF001 - a dash, where there is no figure
_LONG = 120
"""Characters beyond which a value is folded."""

_SHARES = frozenset(
    {ConditionName.STATISTIC, ConditionName.NOT_COMPARABLE, ConditionName.FAILURES, ConditionName.LATENCY}
)
_SECONDS = frozenset({ConditionName.FRESHNESS, ConditionName.SOAK})


@cache
def environment() -> Environment:
    """The templates of this package."""
    made = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(asset=_asset, query=_query, nothing=_NOTHING)
    made.filters.update(
        percent=percent,
        number=number,
        figure=figure,
        of_condition=of_condition,
        iso=iso,
        clock=clock,
        day=day,
        duration=duration,
        json=as_text,
        words=words,
        is_long=lambda text: len(text) > _LONG or "\n" in text,
    )
    return made


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page. Who is signed in is known to every template."""
    session = getattr(request.state, "visitor", None)
    made = (
        environment()
        .get_template(template)
        .render(
            **{"form_token": session.form_token if session else "", **context},
            session=session,
            may_operate=session is not None and Scope.OPERATE in session.token.scopes,
            here=request.url.path,
            now=datetime.now(UTC),
        )
    )
    return HTMLResponse(made, status)


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a percentage; never rounded up to 100 %, nor down to 0 %."""
    if share is None:
        return _NOTHING
    scale = 10**digits
    exact = round(share * 100 * scale, 6)
    rounded = math.floor(exact) if share > 0.5 else math.ceil(exact)
    return f"{rounded / scale:.{digits}f}".rstrip("0").rstrip(".") + " %"


def number(value: int | None) -> str:
    return _NOTHING if value is None else f"{value:,}"


def figure(value: float | None) -> str:
    """A figure in whatever unit: four digits that tell."""
    if value is None:
        return _NOTHING
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"


def of_condition(value: float | None, name: ConditionName) -> str:
    """A figure of a gate's condition, or its limit, in the condition's unit."""
    if value is not None and name in _SHARES:
        return percent(value)
    if value is not None and name in _SECONDS:
        return _age(value)
    return figure(value)


def _age(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            written = figure(round(seconds / length, 1))
            return f"{written} {unit}{'' if written == '1' else 's'}"
    return f"{figure(round(seconds, 1))} s"


def iso(moment: datetime | date) -> str:
    """For machines: the exact moment."""
    return moment.isoformat()


def clock(moment: datetime) -> str:
    """For people, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(moment: datetime | date) -> str:
    return (moment.astimezone(UTC) if isinstance(moment, datetime) else moment).strftime("%-d %b %Y")


def duration(value: timedelta) -> str:
    """How long after something: `+1.204 s`, `+3 min 4 s`."""
    seconds = value.total_seconds()
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    if seconds < 60:
        return f"{sign}{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{sign}{minutes} min {rest} s"
    return f"{sign}{minutes // 60} h {minutes % 60} min"


def as_text(value: Any) -> str:
    """A JSON value as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def words(name: str) -> str:
    """A name of ours as words: `missing_candidate` -> `missing candidate`."""
    return name.replace("_", " ").replace(".", ": ")


def _asset(name: str) -> str:
    return f"/pages/static/{assets()[name].address}"


def _query(path: str, **parameters: Any) -> str:
    """An address with those parameters that are there."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
