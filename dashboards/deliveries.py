"""Delivery and platforms: what comes in, what is handed on, how runs' ends are learned, and what is stuck."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.frame import Placed, Section, dashboard
from dashboards.panels import NONE_IS_GOOD, Query, figure, lines, steps

_RATE = "[$__rate_interval]"


def deliveries() -> Dashboard:
    """The dashboard as Grafana's model."""
    return dashboard(
        "delivery and platforms",
        "shadow-deliveries",
        "Do events come in and go out, do the platforms take them, and is anything stuck?",
        _now(),
        _doors(),
        _out(),
        _platforms(),
        _ticks(),
        _processes(),
    )


def _now() -> Section:
    return Section(
        "Now",
        [
            Placed(
                figure(
                    "Dispatches due",
                    "In the queue now, both sides. Those that wait for their twin, or for legacy, are not among them.",
                    Query('sum(shadow_dispatches{state="due"})'),
                    thresholds=steps("green", (1000, "yellow"), (10000, "red")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Oldest dispatch",
                    "Age of the oldest that is due.",
                    Query("max(shadow_dispatch_oldest_seconds)"),
                    unit="s",
                    thresholds=steps("green", (60, "yellow"), (300, "red")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Dead letters",
                    "Dispatches that their platform will not take, on both sides.",
                    Query("sum(shadow_dead_letters)"),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Open breakers",
                    "Platforms that are left alone for a while because they fail.",
                    Query('sum(max by (side, platform) (shadow_breaker_state{state="open"}))'),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Smallest quota left",
                    "Of what platforms say is left of their request quotas.",
                    Query("min(shadow_platform_quota_left_ratio)"),
                    unit="percentunit",
                    thresholds=steps("red", (0.2, "yellow"), (0.4, "green")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Processes",
                    "Scrape targets of this service that answer.",
                    Query('sum(up{job=~"shadow.*"})'),
                    thresholds=steps("red", (1, "green")),
                ),
                4,
                5,
            ),
        ],
    )


def _doors() -> Section:
    return Section(
        "Doors",
        [
            Placed(
                lines(
                    "Events accepted",
                    "Made durable a second, by door.",
                    Query(f'sum by (door) (rate(shadow_events_total{{result="accepted"}}{_RATE}))', "{{door}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Answer time",
                    "99 of 100 requests at a door are answered within this.",
                    Query(
                        f"histogram_quantile(0.99, sum by (le, door) (rate(shadow_accept_seconds_bucket{_RATE})))",
                        "{{door}}",
                    ),
                    unit="s",
                ),
                8,
            ),
            Placed(
                lines(
                    "Refused and repeated",
                    "Requests that a door answered with an error, and events that were known already, a second.",
                    Query(f"sum(rate(shadow_requests_refused_total{_RATE})) or vector(0)", "refused"),
                    Query(f'sum(rate(shadow_events_total{{result="duplicate"}}{_RATE})) or vector(0)', "repeated"),
                    unit="ops",
                ),
                8,
            ),
        ],
    )


def _out() -> Section:
    return Section(
        "Deliveries",
        [
            Placed(
                lines(
                    "Deliveries",
                    "Dispatches handed to the platforms a second, by result.",
                    Query(f"sum by (side, result) (rate(shadow_deliveries_total{_RATE}))", "{{side}} {{result}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Delivery time",
                    "95 of 100 deliveries are answered by their platform within this.",
                    Query(
                        "histogram_quantile(0.95,"
                        f" sum by (le, platform) (rate(shadow_delivery_seconds_bucket{_RATE})))",
                        "{{platform}}",
                    ),
                    unit="s",
                ),
                8,
            ),
            Placed(
                lines(
                    "Dispatches waiting",
                    "Dead letters left out: due, held until legacy takes the event, or sequenced after a twin.",
                    Query('sum by (side, state) (shadow_dispatches{state!="dead"})', "{{side}} {{state}}"),
                ),
                8,
            ),
            Placed(
                lines(
                    "Oldest dispatch",
                    "Age of the oldest that is due, by side.",
                    Query("max by (side) (shadow_dispatch_oldest_seconds)", "{{side}}"),
                    unit="s",
                ),
                8,
            ),
            Placed(
                lines(
                    "Dead letters",
                    "Dispatches that their platform will not take, by side.",
                    Query("sum by (side) (shadow_dead_letters)", "{{side}}"),
                ),
                8,
            ),
            Placed(
                lines(
                    "Events not delivered",
                    "Events in the queue whose pairs are not opened yet, of all tasks.",
                    Query("sum(shadow_events_undelivered)", "events"),
                ),
                8,
            ),
        ],
    )


def _platforms() -> Section:
    return Section(
        "Platforms",
        [
            Placed(
                lines(
                    "Outcomes learned",
                    "Runs whose end was learned a second: pushed to the watcher, asked for, or reported by a worker.",
                    Query(f"sum by (side, learned_by) (rate(shadow_outcomes_total{_RATE}))", "{{side}} {{learned_by}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Quotas and budgets left",
                    "What a platform says is left of its quota, and what is left of our own budget for asking it.",
                    Query("min by (platform) (shadow_platform_quota_left_ratio)", "{{platform}}: quota"),
                    Query("min by (platform) (shadow_poll_budget_left_ratio)", "{{platform}}: our budget"),
                    unit="percentunit",
                ),
                8,
            ),
            Placed(
                lines(
                    "Breakers that are not closed",
                    "1 while a platform is left alone (open) or tried with one delivery at a time (half open).",
                    Query('max by (platform, state) (shadow_breaker_state{state!="closed"})', "{{platform}} {{state}}"),
                ),
                8,
            ),
        ],
    )


def _ticks() -> Section:
    return Section(
        "Ticks and notices",
        [
            Placed(
                lines(
                    "Ticks missed",
                    "Ticks of cron tasks that had no run on a side when their grace was over, in an hour.",
                    Query("sum(increase(shadow_ticks_missed_total[1h])) or vector(0)", "ticks"),
                ),
                12,
                7,
            ),
            Placed(
                lines(
                    "Notices that did not arrive",
                    "Attempts to tell a channel that failed, and are made again, or were given up, in an hour.",
                    Query(
                        'sum(increase(shadow_notices_sent_total{result="failed"}[1h])) or vector(0)',
                        "failed",
                    ),
                    Query(
                        'sum(increase(shadow_notices_sent_total{result="given_up"}[1h])) or vector(0)',
                        "given up",
                    ),
                ),
                12,
                7,
            ),
        ],
    )


def _processes() -> Section:
    return Section(
        "Judge and processes",
        [
            Placed(
                lines(
                    "Verdicts",
                    "Written a second, repeated ones included.",
                    Query(f"sum by (verdict) (rate(shadow_judged_total{_RATE}))", "{{verdict}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Comparing",
                    "95 of 100 pairs are compared within this.",
                    Query(f"histogram_quantile(0.95, sum by (le) (rate(shadow_judge_seconds_bucket{_RATE})))", "pairs"),
                    unit="s",
                ),
                8,
            ),
            Placed(
                lines(
                    "Memory",
                    "Resident, by process.",
                    Query('process_resident_memory_bytes{job="shadow"}', "{{instance}}"),
                    unit="bytes",
                ),
                8,
            ),
        ],
    )
