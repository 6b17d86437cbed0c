"""Metrics count what they are told, and the reference names each of them with its labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from shadow.observe import metrics
from shadow.observe.durations import Durations
from shadow.reports.figures import GAUGES

REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"^\| `(?P<name>shadow_\w+)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\| (?P<text>[^|]+) \|$", re.M)


def process_metrics() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name as exposed -> (type, labels)."""
    suffix = {"counter": "_total"}
    ours = [metric for metric in vars(metrics).values() if isinstance(metric, Durations)]
    return {metric.name: ("histogram", (metric.label,)) for metric in ours} | {
        metric._name + suffix.get(metric._type, ""): (metric._type, tuple(metric._labelnames))
        for metric in vars(metrics).values()
        if isinstance(metric, Counter | Gauge | Histogram)
    }


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        row["name"]: (row["type"], tuple(re.findall(r"`(\w+)`", row["labels"])))
        for row in _ROW.finditer(REFERENCE.read_text())
    }


def test_the_reference_lists_every_metric_and_no_other() -> None:
    gauges = {name: ("gauge", tuple(labels)) for name, (_text, labels) in GAUGES.items()}
    assert documented() == process_metrics() | gauges


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_each_function_counts_under_its_labels() -> None:
    cases: list[tuple[Callable[[], None], str, float, dict[str, str]]] = [
        (lambda: metrics.accepted("inngest", "app", count=3), "shadow_events_total", 3.0,
         {"door": "inngest", "source": "app", "result": "accepted"}),
        (lambda: metrics.refused("webhook", 401), "shadow_requests_refused_total", 1.0,
         {"door": "webhook", "status": "401"}),
        (lambda: metrics.answered("webhook", 0.1), "shadow_accept_seconds_count", 1.0, {"door": "webhook"}),
        (lambda: metrics.delivered("legacy", "trigger", "failed", 2), "shadow_deliveries_total", 2.0,
         {"side": "legacy", "platform": "trigger", "result": "failed"}),
        (lambda: metrics.delivery_took("legacy", "trigger", 0.5), "shadow_delivery_seconds_sum", 0.5,
         {"side": "legacy", "platform": "trigger"}),
        (lambda: metrics.learned("candidate", "poll"), "shadow_outcomes_total", 1.0,
         {"side": "candidate", "learned_by": "poll"}),
        (lambda: metrics.notified("ops", "given_up"), "shadow_notices_sent_total", 1.0,
         {"channel": "ops", "result": "given_up"}),
        (lambda: metrics.effects("candidate", 4), "shadow_effects_total", 4.0, {"side": "candidate"}),
        (lambda: metrics.sequenced("late", 0.5), "shadow_sequenced_total", 1.0, {"result": "late"}),
        (lambda: metrics.sequenced("settled", 0.5), "shadow_sequenced_seconds_sum", 0.5, {}),
        (lambda: metrics.judged("match"), "shadow_judged_total", 1.0, {"verdict": "match"}),
        (lambda: metrics.judged_void(2), "shadow_judge_void_total", 2.0, {}),
        (lambda: metrics.gateway_absent("cut_off"), "shadow_gateway_absences_total", 1.0, {"kind": "cut_off"}),
        (lambda: metrics.judging_took(0.25), "shadow_judge_seconds_sum", 0.25, {}),
    ]  # fmt: skip
    for call, name, more, labels in cases:
        before = value(name, **labels)
        call()
        assert value(name, **labels) == pytest.approx(before + more), name


def test_a_breaker_has_one_state_at_a_time() -> None:
    states: tuple[metrics.BreakerState, ...] = ("closed", "half_open", "open")
    for state in states:
        metrics.breaker("legacy", "trigger", state)
        found = {
            known: value("shadow_breaker_state", side="legacy", platform="trigger", state=known) for known in states
        }
        assert found == {known: float(known == state) for known in states}


def test_the_exposition_follows_the_scraper() -> None:
    content, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    content, content_type = metrics.exposition("")
    assert content_type.startswith("text/plain")
    assert b"process_cpu_seconds_total" in content
    assert b"_created" not in content
