"""What two platforms list over their APIs, for `draft`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import httpx

from shadow.catalogue.casts import CastFailed, to_datetime
from shadow.catalogue.draft import CandidateListing, LegacyListing, ListedFunction, ListedSchedule, ListedTask
from shadow.catalogue.model import Flow
from shadow.catalogue.signing_key import hashed_signing_key

PERIOD = "30d"
"""How far back runs are looked at; without it the platform shows 7 days (reference, trigger_dev_api.md 3.5)."""
PAGE_SIZE = 100
MAX_PAGES = 50


class ListingFailed(RuntimeError):
    """A platform did not list what it was asked for. Names the request and the answer, never the key."""


async def legacy_listing(
    http: httpx.AsyncClient, url: str, secret_key: str, *, max_pages: int = MAX_PAGES
) -> LegacyListing:
    """Trigger.dev's tasks: those that ran in the last 30 days, and those that have a schedule.

    There is no list of tasks in its API (reference, trigger_dev_api.md 3.5 and 5).

    Args:
        max_pages: of 100 runs each; a longer list is read no further and the listing says so.

    Raises:
        ListingFailed: the platform cannot be reached, or its answer is no list.
    """
    base, headers = url.rstrip("/"), {"authorization": f"Bearer {secret_key}"}
    seen: dict[str, datetime | None] = {}
    query: dict[str, str | int] = {"page[size]": PAGE_SIZE, "filter[createdAt][period]": PERIOD}
    complete = False
    for _ in range(max_pages):
        page = await _got(http, f"{base}/api/v1/runs", headers, query)
        for run in _items(page, "data", f"{base}/api/v1/runs"):
            # Newest first: the first time of a task is its last run.
            if isinstance(run.get("taskIdentifier"), str):
                seen.setdefault(run["taskIdentifier"], _moment(run.get("createdAt")))
        cursor = _mapping(_mapping(page).get("pagination")).get("next")
        if not cursor:
            complete = True
            break
        query["page[after]"] = str(cursor)
    schedules = await _schedules(http, base, headers, max_pages)
    for schedule in schedules:
        seen.setdefault(schedule.task, None)
    tasks = tuple(ListedTask(task, moment) for task, moment in sorted(seen.items()))
    return LegacyListing(url, tasks, schedules, complete)


async def candidate_listing(http: httpx.AsyncClient, url: str, app: str, signing_key: str | None) -> CandidateListing:
    """Inngest's functions of one app.

    Args:
        signing_key: raw, as the dashboard shows it; None for a dev server.

    Raises:
        ValueError: the signing key is no key.
        ListingFailed: the platform cannot be reached, or its answer is no list.
    """
    address = f"{url.rstrip('/')}/v1/apps/{app}/functions"
    headers = {} if signing_key is None else {"authorization": f"Bearer {hashed_signing_key(signing_key)}"}
    answer = await _got(http, address, headers, {})
    # A bare array (reference, inngest_api.md 2.2); on failure an envelope, often with status 200 (2.4).
    functions = [_function(item) for item in _items({"data": answer}, "data", address)]
    return CandidateListing(url, app, tuple(functions))


async def legacy_schedules(
    http: httpx.AsyncClient, url: str, secret_key: str, *, max_pages: int = MAX_PAGES
) -> tuple[ListedSchedule, ...]:
    """Trigger.dev's schedules alone.

    Raises:
        ListingFailed: the platform cannot be reached, or its answer is no list.
    """
    return await _schedules(http, url.rstrip("/"), {"authorization": f"Bearer {secret_key}"}, max_pages)


async def _schedules(
    http: httpx.AsyncClient, base: str, headers: Mapping[str, str], max_pages: int
) -> tuple[ListedSchedule, ...]:
    schedules: list[ListedSchedule] = []
    for number in range(1, max_pages + 1):
        address = f"{base}/api/v1/schedules"
        page = await _got(http, address, headers, {"page": number, "perPage": PAGE_SIZE})
        for item in _items(page, "data", address):
            generator = _mapping(item.get("generator"))
            if isinstance(item.get("task"), str):
                schedules.append(
                    ListedSchedule(
                        item["task"],
                        str(generator.get("expression", "")),
                        str(item.get("timezone") or "UTC"),
                        item.get("active") is not False,
                        bool(item.get("externalId")),
                    )
                )
        if number >= int(_mapping(_mapping(page).get("pagination")).get("totalPages") or 1):
            break
    return tuple(schedules)


def _function(item: Mapping[str, Any]) -> ListedFunction:
    config = _mapping(item.get("config"))
    triggers = [_mapping(trigger) for trigger in config.get("triggers") or ()]
    return ListedFunction(
        slug=str(config.get("slug") or item.get("id")),
        events=tuple(str(trigger["event"]) for trigger in triggers if trigger.get("event")),
        crons=tuple(str(trigger["cron"]) for trigger in triggers if trigger.get("cron")),
        flow=tuple(_flow(config)),
    )


def _flow(config: Mapping[str, Any]) -> Iterable[Flow]:
    # An `idempotency` expression is a rate limit of one a day and key (reference, inngest_api.md 8).
    if config.get("idempotency") and not config.get(Flow.RATE_LIMIT):
        yield Flow.RATE_LIMIT
    yield from (flow for flow in Flow if config.get(flow))


async def _got(
    http: httpx.AsyncClient, address: str, headers: Mapping[str, str], query: Mapping[str, str | int]
) -> Any:
    try:
        answer = await http.get(address, headers=dict(headers), params=dict(query))
    except httpx.HTTPError as error:
        raise ListingFailed(f"GET {address}: {error or type(error).__name__}") from error
    if answer.status_code != 200:
        raise ListingFailed(f"GET {address}: found status {answer.status_code}, expected 200")
    try:
        return answer.json()
    except ValueError:
        kind = answer.headers.get("content-type", "an answer without a type")
        raise ListingFailed(f"GET {address}: found {kind}, expected JSON") from None


def _items(page: Any, key: str, address: str) -> list[dict[str, Any]]:
    items = _mapping(page).get(key)
    if not isinstance(items, list):
        error = _mapping(items).get("error") or _mapping(page).get("error")
        raise ListingFailed(f"GET {address}: found {str(error)[:200] if error else 'no list'}, expected a list")
    return [_mapping(item) for item in items]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: Any) -> datetime | None:
    try:
        return to_datetime(value)
    except CastFailed:
        return None
