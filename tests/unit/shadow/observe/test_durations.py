"""Durations show themselves as prometheus-client's histograms do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from shadow.observe import durations
from shadow.observe.durations import Durations

BUCKETS = (0.125, 0.25, 0.5, 1, 10)
SECONDS = st.one_of(st.sampled_from(BUCKETS), st.floats(0, 20).map(lambda seconds: round(seconds * 1024) / 1024))
"""At the bounds and between them; all of them whole in binary, so that sums do not depend on their order."""


@given(st.lists(st.tuples(st.sampled_from(["webhook", "inngest"]), SECONDS | st.none()), max_size=40))
def test_they_are_shown_as_any_histogram(told: list[tuple[str, float | None]]) -> None:
    """None: somebody looks."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counted = Durations("seconds", "How long.", "door", buckets=BUCKETS, registry=ours)
    usual = Histogram("seconds", "How long.", ["door"], buckets=BUCKETS, registry=theirs)
    for door, seconds in told:
        if seconds is None:
            list(ours.collect())
        else:
            counted.observe(door, seconds)
            usual.labels(door).observe(seconds)
    assert _shown(ours) == _shown(theirs)


def _shown(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_however_many_there_are_few_are_noted() -> None:
    registry = CollectorRegistry()
    counted = Durations("seconds", "How long.", "door", buckets=BUCKETS, registry=registry)
    for _ in range(5 * durations.MOST_NOTED + 1):
        counted.observe("webhook", 0.25)
        assert len(counted._noted["webhook"]) < durations.MOST_NOTED
    assert registry.get_sample_value("seconds_count", {"door": "webhook"}) == 5 * durations.MOST_NOTED + 1
    assert registry.get_sample_value("seconds_sum", {"door": "webhook"}) == (5 * durations.MOST_NOTED + 1) / 4
