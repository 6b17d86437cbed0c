"""The metrics of this process (prometheus-client), in the words of the glossary.

The stages call the small functions below; the control port serves `exposition()` at `/metrics`. Counts here
start at 0 with the process; what is true of the whole installation is on `/metrics/parity` (reports/figures.py).
Every metric is described in docs/reference/metrics.md.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shadow.observe.durations import Durations

REGISTRY = CollectorRegistry()
"""A registry of our own: other libraries in the process add nothing to it."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there; a second series each, which nobody asks for
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

Accepted = Literal["accepted", "duplicate", "spooled"]
DeliveryResult = Literal["delivered", "cached", "throttled", "failed", "misconfigured", "rejected"]
Way = Literal["own", "bridged", "withheld"]
BreakerState = Literal["closed", "half_open", "open"]

EVENTS = Counter("shadow_events", "Events that a door made durable.", ["door", "source", "result"], registry=REGISTRY)
REFUSED = Counter("shadow_requests_refused", "Requests that a door refused.", ["door", "status"], registry=REGISTRY)
ACCEPT_SECONDS = Durations(
    "shadow_accept_seconds",
    "From a request's arrival at a door to its answer.",
    "door",
    buckets=_FAST,
    registry=REGISTRY,
)
CHILDREN = Counter(
    "shadow_children",
    "Events that runs emitted.",
    ["side", "parent", "way"],
    registry=REGISTRY,
)
CLOCK_RUNS = Counter(
    "shadow_clock_runs",
    "Runs of tasks with a `cron` that a platform's own scheduler started.",
    ["side", "authority"],
    registry=REGISTRY,
)
TICKS_MISSED = Counter(
    "shadow_ticks_missed", "Ticks without a run on their side beyond their grace.", ["task", "side"], registry=REGISTRY
)
QUEUE_COPIES = Counter(
    "shadow_queue_copies", "Queues that were to be copied just before a tick.", ["task", "result"], registry=REGISTRY
)
DELIVERIES = Counter(
    "shadow_deliveries",
    "Attempts to hand a dispatch to a platform.",
    ["side", "platform", "result"],
    registry=REGISTRY,
)
DELIVERY_SECONDS = Histogram(
    "shadow_delivery_seconds",
    "How long a platform took to answer a delivery.",
    ["side", "platform"],
    buckets=(*_FAST, 30),
    registry=REGISTRY,
)
BREAKER = Gauge(
    "shadow_breaker_state",
    "The circuit breaker before a platform: 1 at its present state, 0 at the others.",
    ["side", "platform", "state"],
    registry=REGISTRY,
)
QUOTA_LEFT = Gauge(
    "shadow_platform_quota_left_ratio",
    "What a platform last said is left of its request quota.",
    ["side", "platform"],
    registry=REGISTRY,
)
BUDGET_LEFT = Gauge(
    "shadow_poll_budget_left_ratio",
    "What is left of the requests that may be spent on asking a platform.",
    ["side", "platform"],
    registry=REGISTRY,
)
OUTPUTS_UNREAD = Counter(
    "shadow_outputs_unread",
    "Runs of which it was told that they ended, and not what they returned: no request was left to read it.",
    ["side", "platform"],
    registry=REGISTRY,
)
OUTPUTS_WAITING = Gauge(
    "shadow_outputs_waiting",
    "Runs that have ended and wait for a request with which they are read, as of the last look at the list.",
    ["side", "platform"],
    registry=REGISTRY,
)
OUTCOMES = Counter(
    "shadow_outcomes",
    "Runs whose outcome was learned.",
    ["side", "learned_by"],
    registry=REGISTRY,
)
EFFECTS = Counter("shadow_effects", "Effects that were recorded.", ["side"], registry=REGISTRY)
UNATTRIBUTED = Counter(
    "shadow_effects_unattributed",
    "Effects of which nobody knew whose they are.",
    ["side", "seen_by"],
    registry=REGISTRY,
)
ATTRIBUTED_LATE = Counter(
    "shadow_effects_attributed_late",
    "Unattributed effects of which it was learned later whose they are.",
    ["side"],
    registry=REGISTRY,
)
TRACE_ASKED = Counter(
    "shadow_trace_requests",
    "Requests to Trigger.dev for the trace of a run, or who shares it.",
    ["result"],
    registry=REGISTRY,
)
SEQUENCED = Counter(
    "shadow_sequenced",
    "Dispatches that waited for their twin and were let go.",
    ["result"],
    registry=REGISTRY,
)
SEQUENCED_SECONDS = Histogram(
    "shadow_sequenced_seconds",
    "From an event's start until its dispatch without authority was let go.",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
    registry=REGISTRY,
)
ROW_SLOT_LAG = Gauge(
    "shadow_row_slot_lag_bytes",
    "How much of its database server's log a slot has not read.",
    ["database", "side"],
    registry=REGISTRY,
)
ROW_SLOT_DROPPED = Counter(
    "shadow_row_slots_dropped",
    "Slots that were dropped because they fell too far behind.",
    ["database", "side"],
    registry=REGISTRY,
)
PROBES = Counter(
    "shadow_probes", "Probes that were read on a side, or could not be.", ["side", "result"], registry=REGISTRY
)
MAILS = Counter("shadow_mails", "Mails that workers sent by SMTP.", ["side", "disposition"], registry=REGISTRY)
JUDGED = Counter("shadow_judged", "Verdicts that were written, repeated ones included.", ["verdict"], registry=REGISTRY)
JUDGE_VOID = Counter(
    "shadow_judge_void",
    "Judgements thrown away because their pair learned something meanwhile.",
    registry=REGISTRY,
)
JUDGE_SECONDS = Histogram(
    "shadow_judge_seconds", "How long the comparison of one pair took.", buckets=_FAST, registry=REGISTRY
)
NOTIFIED = Counter(
    "shadow_notices_sent",
    "Attempts to tell a channel of a notice.",
    ["channel", "result"],
    registry=REGISTRY,
)
EXPIRED = Counter("shadow_expired", "Rows deleted because they were too old.", ["what"], registry=REGISTRY)

EGRESS_CALLS = Counter(
    "shadow_egress_calls",
    "Calls of workers that the gateway decided on.",
    ["target", "side", "effect", "disposition"],
    registry=REGISTRY,
)
EGRESS_SECONDS = Histogram(
    "shadow_egress_seconds",
    "From a call's arrival at the gateway to the head of its answer, the target's own time included.",
    buckets=_FAST,
    registry=REGISTRY,
)
EGRESS_HELD = Counter(
    "shadow_egress_held", "Calls that were held for their twin's answer.", ["target"], registry=REGISTRY
)
EGRESS_FAILED = Counter("shadow_egress_failed", "Calls refused because the gateway failed.", registry=REGISTRY)
GATEWAY_ABSENCES = Counter(
    "shadow_gateway_absences", "Times when a gateway was not there, as this process found.", ["kind"], registry=REGISTRY
)
EGRESS_SPOOLED = Counter(
    "shadow_egress_spooled", "Calls and answers written to disk because the database was away.", registry=REGISTRY
)
SPOOLED = Counter(
    "shadow_spooled", "Items written to the local disk because the database was away.", ["kind"], registry=REGISTRY
)
SPOOL_ITEMS = Gauge("shadow_spool_items", "Items on the local disk that wait for the database.", registry=REGISTRY)
SPOOL_BYTES = Gauge("shadow_spool_bytes", "Bytes of items on the local disk.", registry=REGISTRY)
SPOOL_REFUSED = Gauge(
    "shadow_spool_refused", "Items on the local disk that the database will not take.", registry=REGISTRY
)
SPOOL_DAMAGED = Gauge(
    "shadow_spool_damaged_files", "Damaged files of the spool that were put aside.", registry=REGISTRY
)
PHASES_AGE = Gauge(
    "shadow_phases_age_seconds",
    "How long ago the phases were read by which this process decides; 0 while the database is there.",
    registry=REGISTRY,
)
INCIDENTS = Counter("shadow_incidents", "Incidents that this process noted.", ["kind"], registry=REGISTRY)
LEAKS = Counter(
    "shadow_leaks", "Writes of runs without authority that reached their target.", ["task"], registry=REGISTRY
)


def accepted(door: str, source: str, result: Accepted = "accepted", count: int = 1) -> None:
    """Events of one request that are durable now, or were already."""
    EVENTS.labels(door, source, result).inc(count)


def child(side: str, parent: str, way: Way, count: int = 1) -> None:
    """Runs of that side, whose authority is `real`, `none` or `unknown`, emitted events that went that way."""
    CHILDREN.labels(side, parent, way).inc(count)


def clock_run(side: str, authority: str) -> None:
    """A run that a scheduler started became known."""
    CLOCK_RUNS.labels(side, authority).inc()


def tick_missed(task: str, side: str) -> None:
    """A tick's run did not come on its side."""
    TICKS_MISSED.labels(task, side).inc()


def queue_copied(task: str, result: Literal["taken", "failed"]) -> None:
    """A queue was read just before a tick, or could not be."""
    QUEUE_COPIES.labels(task, result).inc()


def refused(door: str, status: int) -> None:
    """A request that a door answered with an error; `status` is its HTTP status."""
    REFUSED.labels(door, str(status)).inc()


def answered(door: str, seconds: float) -> None:
    """A request that a door took, and the time until its answer."""
    ACCEPT_SECONDS.observe(door, seconds)


def delivered(side: str, platform: str, result: DeliveryResult, count: int = 1) -> None:
    """Dispatches of one delivery that had this result."""
    DELIVERIES.labels(side, platform, result).inc(count)


def delivery_took(side: str, platform: str, seconds: float) -> None:
    """The time a platform took to answer one delivery, however many dispatches it held."""
    DELIVERY_SECONDS.labels(side, platform).observe(seconds)


def delivering(side: str, platform: str) -> None:
    """A side's deliveries to a platform are to come: counted from 0, or `rate` would not see the first of them."""
    DELIVERY_SECONDS.labels(side, platform)


def breaker(side: str, platform: str, state: BreakerState) -> None:
    """The present state of a platform's circuit breaker."""
    for known in ("closed", "half_open", "open"):
        BREAKER.labels(side, platform, known).set(known == state)


def quota_left(side: str, platform: str, ratio: float) -> None:
    """The share of its quota that a platform says is left, of all that is spent there, ours and others'."""
    QUOTA_LEFT.labels(side, platform).set(ratio)


def budget_left(side: str, platform: str, ratio: float) -> None:
    """The share of our own budget for asking a platform that is left; 0 where requests wait."""
    BUDGET_LEFT.labels(side, platform).set(ratio)


def outputs(side: str, platform: str, *, waiting: int, unread: int) -> None:
    """What one look at a run list left: runs that wait to be read, and those that were told unread."""
    OUTPUTS_WAITING.labels(side, platform).set(waiting)
    OUTPUTS_UNREAD.labels(side, platform).inc(unread)


def learned(side: str, learned_by: str, count: int = 1) -> None:
    """Outcomes that were learned by the watcher, a poll or a report."""
    OUTCOMES.labels(side, learned_by).inc(count)


def effects(side: str, count: int = 1) -> None:
    """Effects that were recorded."""
    EFFECTS.labels(side).inc(count)


def unattributed(side: str, seen_by: str, count: int = 1) -> None:
    """Effects that were recorded as nobody's."""
    UNATTRIBUTED.labels(side, seen_by).inc(count)


def attributed_late(side: str, count: int = 1) -> None:
    """Effects that are somebody's now."""
    ATTRIBUTED_LATE.labels(side).inc(count)


def trace_asked(result: Literal["told", "refused", "unreachable", "over_budget"]) -> None:
    """A platform was asked whose a trace is, or was not for want of budget."""
    TRACE_ASKED.labels(result).inc()


def sequenced(result: Literal["settled", "late"], seconds: float) -> None:
    """A dispatch was let go so long after its event's start: its twins had settled, or its patience was over."""
    SEQUENCED.labels(result).inc()
    SEQUENCED_SECONDS.observe(seconds)


def row_slot_lag(database: str, side: str, lag_bytes: int) -> None:
    """How far a slot is behind."""
    ROW_SLOT_LAG.labels(database, side).set(lag_bytes)


def row_slot_dropped(database: str, side: str) -> None:
    """A slot was dropped, and what it had not read is unseen."""
    ROW_SLOT_DROPPED.labels(database, side).inc()


def probed(side: str, result: Literal["read", "failed"]) -> None:
    """A probe was read on a side, or could not be."""
    PROBES.labels(side, result).inc()


def mailed(side: str, disposition: str) -> None:
    """A mail came in, and was sent on, kept back or refused."""
    MAILS.labels(side, disposition).inc()


def judged(verdict: str, count: int = 1) -> None:
    """Verdicts that were written."""
    JUDGED.labels(verdict).inc(count)


def judged_void(count: int) -> None:
    """Judgements that were thrown away."""
    JUDGE_VOID.inc(count)


def judging_took(seconds: float) -> None:
    """The time the comparison of one pair took."""
    JUDGE_SECONDS.observe(seconds)


def expired(what: Literal["originals", "evidence"], count: int) -> None:
    """Bodies of originals, or rows of evidence outside dropped months, that retention deleted."""
    EXPIRED.labels(what).inc(count)


def notified(channel: str, result: Literal["sent", "failed", "given_up"]) -> None:
    """An attempt to tell a channel of a notice; what failed is tried again, what was given up is not."""
    NOTIFIED.labels(channel, result).inc()


def egress_call(target: str, side: str, effect: str, disposition: str) -> None:
    """A call that the gateway decided on."""
    EGRESS_CALLS.labels(target, side, effect, disposition).inc()


def egress_took(seconds: float) -> None:
    """The time until the head of a call's answer."""
    EGRESS_SECONDS.observe(seconds)


def egress_held(target: str) -> None:
    """A call that is held for its twin's answer."""
    EGRESS_HELD.labels(target).inc()


def egress_failed() -> None:
    """A call that was refused because the gateway failed."""
    EGRESS_FAILED.inc()


def gateway_absent(kind: Literal["cut_off", "none_there"]) -> None:
    """A gateway that was cut off, or a time when there was none."""
    GATEWAY_ABSENCES.labels(kind).inc()


def egress_spooled() -> None:
    """A call or answer that was written to disk."""
    EGRESS_SPOOLED.inc()


def spooled(kind: str) -> None:
    """An item that was written to the local disk."""
    SPOOLED.labels(kind).inc()


def spool_waits(items: int, size: int, refused: int, damaged: int) -> None:
    """How the spool stands."""
    SPOOL_DAMAGED.set(damaged)
    SPOOL_ITEMS.set(items)
    SPOOL_BYTES.set(size)
    SPOOL_REFUSED.set(refused)


def phases_age(seconds: float) -> None:
    """How old what is known of the phases is."""
    PHASES_AGE.set(seconds)


def incident(kind: str) -> None:
    """An incident that was noted."""
    INCIDENTS.labels(kind).inc()


def leak(task: str) -> None:
    """A write of a run without authority that reached its target."""
    LEAKS.labels(task).inc()


def exposition(accept: str, registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """The metrics in the format that an `Accept` header asks for: (content, content type)."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
