"""The parity of tasks: how each candidate does, what differs, and what its gate says."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.frame import TASK, Placed, Section, dashboard
from dashboards.panels import (
    NEUTRAL,
    SHARE,
    Column,
    Query,
    bars,
    figure,
    lines,
    ranking,
    steps,
    verdicts,
)

_COMPARED = 'verdict=~"match|mismatch|missing_candidate|missing_legacy"'
_WRONG = 'verdict=~"mismatch|missing_candidate|missing_legacy"'


def parity() -> Dashboard:
    """The dashboard as Grafana's model."""
    return dashboard(
        "task parity",
        "shadow-parity",
        "Does the candidate do what legacy does? From the tallies; no figure counts silence as success.",
        _now(),
        _over_time(),
        _what_differs(),
        _gate(),
        by_category=True,
        by_task=True,
    )


def _now() -> Section:
    return Section(
        "Now",
        [
            Placed(
                figure(
                    "Parity",
                    "match / (match + mismatch + missing) over the chosen tasks. Allowed pairs are in neither.",
                    Query(f'sum(shadow_pairs{{{TASK},verdict="match"}}) / sum(shadow_pairs{{{TASK},{_COMPARED}}})'),
                    unit="percentunit",
                    thresholds=SHARE,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Pairs",
                    "Pairs opened for the chosen tasks.",
                    Query(f"sum(shadow_pairs_opened{{{TASK}}})"),
                    thresholds=NEUTRAL,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Pending",
                    "Pairs without a verdict yet, and events whose pairs are not opened yet.",
                    Query(f'sum(shadow_pairs{{{TASK},verdict="pending"}}) + sum(shadow_events_undelivered{{{TASK}}})'),
                    thresholds=NEUTRAL,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Not comparable",
                    "Pairs that could not be compared. They count neither for nor against.",
                    Query(f'sum(shadow_pairs{{{TASK},verdict="not_comparable"}})'),
                    thresholds=steps("green", (1, "yellow")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Allowed",
                    "Pairs that differ only in what allowances cover. They are no matches.",
                    Query(f'sum(shadow_pairs{{{TASK},verdict="allowed"}})'),
                    thresholds=NEUTRAL,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Unattributed effects",
                    "Effects of which nobody knows whose they are, and that may be of the chosen tasks.",
                    Query(f"sum(shadow_unattributed_effects{{{TASK}}})"),
                    thresholds=steps("green", (1, "yellow")),
                ),
                4,
                5,
            ),
        ],
    )


def _over_time() -> Section:
    return Section(
        "Over time",
        [
            Placed(
                lines(
                    "Parity",
                    "By task. It may go down when pairs are judged again.",
                    Query(f"shadow_parity_ratio{{{TASK}}}", "{{task}}"),
                    unit="percentunit",
                ),
                8,
                9,
            ),
            Placed(
                lines(
                    "Mismatch rate is below",
                    "The bound that each gate has shown, with its confidence. A gate opens below its budget.",
                    Query(f"shadow_gate_upper_bound{{{TASK}}}", "{{task}}"),
                    Query(f"min(shadow_gate_budget{{{TASK}}})", "smallest budget"),
                    unit="percentunit",
                ),
                8,
                9,
            ),
            Placed(
                verdicts(
                    lines(
                        "Verdicts",
                        "All pairs of the chosen tasks. A verdict may go down when its pairs are judged again.",
                        Query(f"sum by (verdict) (shadow_pairs{{{TASK}}})", "{{verdict}}"),
                        stacked=True,
                    )
                ),
                8,
                9,
            ),
        ],
    )


def _what_differs() -> Section:
    example = "on (signature) group_left (pair) shadow_signature_example"
    return Section(
        "What differs",
        [
            Placed(
                bars(
                    "Parity per task",
                    "Worst first. A task of which nothing was compared has no bar.",
                    Query(f"sort(shadow_parity_ratio{{{TASK}}})", "{{task}}"),
                    unit="percentunit",
                    most=1,
                    thresholds=SHARE,
                    nothing="nothing compared yet",
                ),
                8,
                10,
            ),
            Placed(
                ranking(
                    "Tasks with the most pairs that differ or miss a run",
                    "The ten worst, by kind of shortfall.",
                    Query(f"sort_desc(topk(10, sum by (task, verdict) (shadow_pairs{{{TASK},{_WRONG}}}) > 0))"),
                    [
                        Column("Value", "pairs", width=80),
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("verdict", "verdict"),
                    ],
                ),
                8,
                10,
            ),
            Placed(
                bars(
                    "Differences by kind",
                    "Pairs that show each kind of difference and may not, of the 20 most frequent signatures.",
                    Query(f"sort_desc(sum by (kind) (shadow_signature_pairs{{{TASK}}}))", "{{kind}}"),
                ),
                8,
                10,
            ),
            Placed(
                ranking(
                    "Most frequent differences",
                    "By signature, where it is not allowed. A click opens the signature, or a pair that shows it.",
                    Query(f"sort_desc(shadow_signature_pairs{{{TASK}}} * {example})"),
                    [
                        Column("Value", "pairs", width=80),
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("kind", "difference"),
                        Column("severity", "severity", width=90),
                        Column("signature", "signature", link="/pages/signatures/${__value.text}"),
                        Column("pair", "example", link="/pages/pairs/${__value.text}"),
                    ],
                ),
                24,
                10,
            ),
        ],
    )


def _gate() -> Section:
    return Section(
        "Gate",
        [
            Placed(
                ranking(
                    "Conditions that are not met",
                    "What holds the gates of the chosen tasks shut; the task's page says why.",
                    Query(f'sort(shadow_gate_condition{{{TASK},state="unmet"}})'),
                    [
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("condition", "condition"),
                    ],
                ),
                8,
                9,
            ),
            Placed(
                lines(
                    "Pairs that count",
                    "Compared pairs of the epoch, live and replayed. A deploy or a change of rules begins a new one.",
                    Query(f"sum by (origin) (shadow_gate_pairs{{{TASK}}})", "{{origin}}"),
                    Query(f"sum(shadow_gate_pending{{{TASK}}})", "wait for an older one"),
                ),
                8,
                9,
            ),
            Placed(
                lines(
                    "Mismatches that count",
                    "Of these pairs, those that differ or miss a run.",
                    Query(f"sum by (origin) (shadow_gate_mismatches{{{TASK}}})", "{{origin}}"),
                ),
                8,
                9,
            ),
        ],
    )
