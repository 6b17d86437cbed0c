"""How long a process drains: as long as anything under way may take, within reason."""

from __future__ import annotations

from datetime import timedelta

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.drain import LEAST, MOST, drain_time

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "http://127.0.0.1:1", secret_key: tr_dev_key, timeout: 8s}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "http://h", api_url: "http://h", event_key: k, app: a}}
sources: {{}}
targets:
  pay: {{url: "http://127.0.0.1:1", timeout: {timeout}, operations: [{{match: "GET /x", effect: read}}]}}
tasks: {{}}
"""


def catalogue(timeout: str) -> ResolvedCatalogue:
    return parse(CATALOGUE.format(timeout=timeout), "drain.yaml", {})


def test_it_is_a_little_longer_than_the_longest_timeout() -> None:
    assert drain_time(catalogue("30s")) == timedelta(seconds=32)


def test_short_timeouts_and_very_long_ones_make_no_difference() -> None:
    assert drain_time(catalogue("1s")) in (LEAST, timedelta(seconds=17))
    assert drain_time(catalogue("1h")) == MOST


def test_whoever_runs_the_process_has_the_last_word() -> None:
    assert drain_time(catalogue("30s"), timedelta(seconds=3)) == timedelta(seconds=3)
