"""Faults: the mistakes that the candidate can be told to make, each of a kind that real migrations make.

The candidate asks `Faults.at(seam, value)` wherever a fault may set in. A fault is one small function from the
value that is right to the value that is wrong; with no fault at a seam the value comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import Any, TypeVar

from sandbox.commerce.database import Row
from sandbox.commerce.messages import Message

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One mistake, in one task."""

    name: str
    task: str
    seam: str
    description: str
    spoil: Callable[[Any], Any]


_REGISTERED: dict[str, Fault] = {}


def _fault(name: str, task: str, seam: str, description: str) -> Callable[[Callable[[Any], Any]], Fault]:
    def register(spoil: Callable[[Any], Any]) -> Fault:
        _REGISTERED[name] = fault = Fault(name, task, seam, description, spoil)
        return fault

    return register


# -- sync-shopify-order -----------------------------------------------------------------------------


@_fault("order-no-commission", "sync-shopify-order", "order.discounts", "the commission step was forgotten")
def _no_commission(discounts: list[Row]) -> list[Row]:
    return []


@_fault("order-wrong-delay", "sync-shopify-order", "order.review_delay", "asks for the review hours, not days, on")
def _wrong_delay(delay: timedelta) -> timedelta:
    return timedelta(hours=delay.days)


@_fault("dropped-field", "sync-shopify-order", "order.row", "saves orders without their customer's name")
def _dropped_field(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "customer_name"}


@_fault("type-drift", "sync-shopify-order", "order.row", "writes the order number as text")
def _type_drift(row: Row) -> Row:
    return {**row, "number": str(row["number"])}


# -- send-review-email ------------------------------------------------------------------------------


@_fault("review-skip-ignored", "send-review-email", "review.reviewed", "mails customers who have reviewed already")
def _skip_ignored(reviewed: bool) -> bool:
    return False


@_fault("email-wrong-recipient", "send-review-email", "review.message", "mails the shop instead of the customer")
def _wrong_recipient(message: Message) -> Message:
    return replace(message, to=message.sender)


@_fault("email-double-escaped", "send-review-email", "review.message", "escapes the HTML of the email twice")
def _double_escaped(message: Message) -> Message:
    return replace(message, html=message.html.replace("&", "&amp;"))


@_fault("email-sent-twice", "send-review-email", "review.sends", "sends the email in two steps instead of one")
def _sent_twice(step_ids: tuple[str, ...]) -> tuple[str, ...]:
    return (*step_ids, *(f"{step_id}-again" for step_id in step_ids))


@_fault("event-schema-drift", "send-review-email", "review.reminder", "emits the reminder with a renamed field")
def _schema_drift(data: Row) -> Row:
    return {("seq" if name == "sequence" else name): value for name, value in data.items()}


# -- process-payout ---------------------------------------------------------------------------------


@_fault("payout-twice", "process-payout", "payout.in_step", "pays outside a step: again at every re-entry")
def _outside_a_step(in_step: bool) -> bool:
    return False


@_fault("payout-in-dollars", "process-payout", "payout.amount_cents", "takes cents for units")
def _in_dollars(amount_cents: int) -> int:
    return max(1, amount_cents // 100)


@_fault("swallowed-error", "process-payout", "payout.raises", "reports success when the provider declined")
def _swallowed(raises: bool) -> bool:
    return False


# -- process-creator-application --------------------------------------------------------------------


@_fault("application-missing-slack", "process-creator-application", "application.told", "does not post to Slack")
def _missing_slack(told: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(target for target in told if target != "slack")


@_fault("application-wrong-tenant", "process-creator-application", "application.pixel", "uses one pixel for all")
def _wrong_tenant(pixel: str) -> str:
    return "880000"


# -- process-attribution ----------------------------------------------------------------------------


@_fault("attribution-missing-ga4", "process-attribution", "attribution.told", "does not send purchases to GA4")
def _missing_ga4(told: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(target for target in told if target != "ga4")


@_fault("attribution-model-dropped", "process-attribution", "attribution.models", "computes one model less")
def _model_dropped(models: tuple[str, ...]) -> tuple[str, ...]:
    return models[:-1]


@_fault("attribution-value-in-cents", "process-attribution", "attribution.value", "sends cents where units are meant")
def _value_in_cents(value: float) -> float:
    return value * 100


# -- aggregate-daily-metrics ------------------------------------------------------------------------


@_fault("metrics-yesterday-local-time", "aggregate-daily-metrics", "metrics.zone", "cuts days in local time, not UTC")
def _local_time(zone: tzinfo) -> tzinfo:
    return timezone(UTC.utcoffset(None) - timedelta(hours=5))


# -- process-webhook-queue --------------------------------------------------------------------------


@_fault("webhook-queue-stops-at-50", "process-webhook-queue", "queue.page", "takes half a page")
def _half_a_page(page: int) -> int:
    return page // 2


@_fault("webhook-queue-stops-on-failure", "process-webhook-queue", "queue.goes_on", "one failure stops the rest")
def _stops_on_failure(goes_on: bool) -> bool:
    return False


FAULTS = MappingProxyType(_REGISTERED)
"""All faults by name."""

DEFAULT_FAULTS = ("payout-twice", "review-skip-ignored", "attribution-missing-ga4")
"""What the demo turns on: money, mail and analytics, in three different tasks."""


class Faults:
    """The faults that one candidate has; they may be changed while it runs."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Raises ValueError for an unknown name."""
        self.names: frozenset[str] = frozenset()
        self._spoilers: dict[str, list[Fault]] = {}
        self.change(names)

    def change(self, names: Iterable[str]) -> None:
        """Have these from now on, and no others. Raises ValueError for an unknown name, and changes nothing then."""
        wanted = frozenset(names)
        unknown = wanted - FAULTS.keys()
        if unknown:
            raise ValueError(
                f"unknown fault {', '.join(sorted(unknown))}; expected some of {', '.join(sorted(FAULTS))}"
            )
        self.names = wanted
        self._spoilers = {}
        for name in sorted(self.names):
            self._spoilers.setdefault(FAULTS[name].seam, []).append(FAULTS[name])

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Faults from `a,b`; `none` and the empty text are none. Raises ValueError for an unknown name."""
        names = [name.strip() for name in text.split(",")]
        return cls(name for name in names if name not in ("", "none"))

    def at(self, seam: str, value: T) -> T:
        """The value, spoilt by the faults at that seam."""
        for fault in self._spoilers.get(seam, ()):
            value = fault.spoil(value)
        return value

    def by_task(self) -> dict[str, list[str]]:
        """Names of the faults by the task they are in."""
        tasks: dict[str, list[str]] = {}
        for name in sorted(self.names):
            tasks.setdefault(FAULTS[name].task, []).append(name)
        return tasks
