"""Egress and containment: what workers do to the world, and whether any run without authority reached it."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.frame import Placed, Section, dashboard
from dashboards.panels import NONE_IS_GOOD, Column, Query, bars, figure, lines, ranking, steps

_RATE = "[$__rate_interval]"
_CONTAINED = 'state=~"proven|declared"'


def egress() -> Dashboard:
    """The dashboard as Grafana's model."""
    return dashboard(
        "egress and containment",
        "shadow-egress",
        "What do workers do to the world through the gateway, and does any run without authority reach it?",
        _now(),
        _calls(),
        _containment(),
    )


def _now() -> Section:
    uncontained = (
        'count(shadow_phase_info{phase=~"shadow|ramp"} == 1 unless on (task)'
        f" (shadow_containment{{{_CONTAINED}}} == 1)) or vector(0)"
    )
    return Section(
        "Now",
        [
            Placed(
                figure(
                    "Leaks",
                    "Writes of runs without authority that reached their target, ever.",
                    Query("sum(shadow_leaks)"),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Uncontained in shadow",
                    "Tasks in shadow or ramp whose containment is neither proven nor declared.",
                    Query(uncontained),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Refused calls",
                    "Calls that the gateway refused in the chosen time.",
                    Query('sum(increase(shadow_egress_calls_total{disposition="refuse"}[$__range])) or vector(0)'),
                    thresholds=steps("green", (1, "yellow")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Failed in the gateway",
                    "Calls that were refused because the gateway failed; any is a bug.",
                    Query("sum(increase(shadow_egress_failed_total[$__range]))"),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Written to disk",
                    "Calls and answers that were spooled because the database was away.",
                    Query("sum(increase(shadow_egress_spooled_total[$__range]))"),
                    thresholds=steps("green", (1, "yellow")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Incidents",
                    "Noted in the chosen time, of any kind; see /v1/incidents.",
                    Query("sum(increase(shadow_incidents_total[$__range])) or vector(0)"),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
        ],
    )


def _calls() -> Section:
    return Section(
        "Calls",
        [
            Placed(
                lines(
                    "Writes by disposition",
                    "Calls that write, a second: forwarded, replayed from the twin's answer, stubbed, or refused.",
                    Query(
                        f'sum by (side, disposition) (rate(shadow_egress_calls_total{{effect="write"}}{_RATE}))',
                        "{{side}} {{disposition}}",
                    ),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Calls by target",
                    "A second, of both sides.",
                    Query(f"sum by (target) (rate(shadow_egress_calls_total{_RATE}))", "{{target}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Gateway time",
                    "From a call's arrival to the head of its answer: the target's time and any wait for the twin.",
                    Query(
                        f"histogram_quantile(0.5, sum by (le) (rate(shadow_egress_seconds_bucket{_RATE})))",
                        "half of them",
                    ),
                    Query(
                        f"histogram_quantile(0.95, sum by (le) (rate(shadow_egress_seconds_bucket{_RATE})))",
                        "95 of 100",
                    ),
                    unit="s",
                ),
                8,
            ),
            Placed(
                lines(
                    "Effects",
                    "Recorded a second, by side.",
                    Query(f"sum by (side) (rate(shadow_effects_total{_RATE}))", "{{side}}"),
                    unit="ops",
                ),
                8,
            ),
            Placed(
                lines(
                    "Nobody's effects",
                    "Effects of which nobody knows whose they are, now.",
                    Query("sum(shadow_unattributed_effects)", "effects"),
                ),
                8,
            ),
            Placed(
                lines(
                    "Waiting for a twin's answer",
                    "Calls that were held, a second.",
                    Query(f"sum(rate(shadow_egress_held_total{_RATE})) or vector(0)", "held"),
                    unit="ops",
                ),
                8,
            ),
        ],
    )


def _containment() -> Section:
    return Section(
        "Containment",
        [
            Placed(
                bars(
                    "Tasks by containment",
                    "How many tasks' candidates are proven or declared to be contained, and how many are not.",
                    Query("sort_desc(sum by (state) (shadow_containment) > 0)", "{{state}}"),
                ),
                8,
                9,
            ),
            Placed(
                ranking(
                    "Containment of tasks in shadow and ramp",
                    "The state of each; a click opens the task's page.",
                    Query(
                        'shadow_containment == 1 and on (task) (shadow_phase_info{phase=~"shadow|ramp"} == 1)',
                    ),
                    [
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("state", "containment"),
                    ],
                ),
                8,
                9,
            ),
            Placed(
                ranking(
                    "Leaks by task",
                    "Ever; every task is listed, most leaks first.",
                    Query("sort_desc(shadow_leaks)"),
                    [Column("Value", "leaks", width=80), Column("task", "task", link="/pages/tasks/${__value.text}")],
                ),
                8,
                9,
            ),
        ],
    )
