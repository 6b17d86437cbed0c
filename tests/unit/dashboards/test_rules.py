"""Prometheus' rules: each alert fires when it should and not otherwise, by `promtool test rules`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.generated import PROMETHEUS
from dashboards.prometheus_rules import ALERTS, RULES, RUNBOOK
from shadow.reports.figures import GAUGES
from tests.prometheus import binary
from tests.unit.dashboards.test_dashboards import _GROUPING, _LABEL, _OWN, SERIES

ROOT = Path(__file__).parents[3]
NAMES = sorted({alert.name for alert in ALERTS})
EXPRESSIONS = sorted({*(rule.expression for rule in RULES), *(alert.expression for alert in ALERTS)})
RECORDED = {rule.name for rule in RULES}
_RECORDED_LABELS = {"task", "side", "platform", "result", "door", "phase"}

UP = {'up{job="shadow",instance="serve"}': "1x600", 'up{job="shadow-parity",instance="shadow"}': "1x600"}
"""Both jobs answer, in every case that does not say otherwise."""


@dataclass(frozen=True)
class Case:
    """What Prometheus has, a value a minute, and the alerts that fire `at` a minute."""

    alert: str
    says: str
    series: Mapping[str, str]
    at: int
    fires: tuple[Mapping[str, str], ...] = ()
    """The labels of each, without the name; none: it is silent."""
    up: Mapping[str, str] = field(default_factory=lambda: UP)


def pairs(task: str, match: str, mismatch: str, missing: str = "0x600") -> dict[str, str]:
    values = {"match": match, "mismatch": mismatch, "missing_candidate": missing, "missing_legacy": "0x600"}
    found = {f'shadow_pairs{{task="{task}",verdict="{verdict}"}}': given for verdict, given in values.items()}
    return {**found, f'shadow_parity_ratio{{task="{task}"}}': "0.99x600"}


PHASE = 'shadow_phase_info{task="pay",phase="shadow"}'
PROVEN = 'shadow_containment{task="pay",state="proven"}'
ENDED = 'shadow_containment{task="pay",state="ended"}'
REGRESSION = 'shadow_gate_condition{task="pay",condition="regression",state="%s"}'
OLDEST = 'shadow_dispatch_oldest_seconds{side="%s"}'
BREAKER = 'shadow_breaker_state{side="candidate",platform="inngest",state="%s"}'
QUOTA = 'shadow_platform_quota_left_ratio{side="legacy",platform="trigger"}'
THROTTLED = 'shadow_deliveries_total{side="legacy",platform="trigger",result="%s"}'
TICK = 'shadow_ticks_missed_total{task="pay",side="candidate"}'
GIVEN_UP = 'shadow_notices_sent_total{channel="ops",result="given_up"}'
SENT = 'shadow_notices_sent_total{channel="ops",result="failed"}'
DAMAGED, REFUSED = 'shadow_spool_damaged_files{instance="serve"}', 'shadow_spool_refused{instance="serve"}'
SERVE, PARITY = UP
PAY = {"task": "pay"}
CRITICAL, WARNING, INFO = {"severity": "critical"}, {"severity": "warning"}, {"severity": "info"}
REGRESSED = {**PAY, "condition": "regression", "state": "unmet", **WARNING}
PLATFORM = {"side": "legacy", "platform": "trigger", **WARNING}
INNGEST = {"side": "candidate", "platform": "inngest", **WARNING}

CASES = (
    Case("ShadowLeak", "of a new one at once", {'shadow_leaks{task="pay"}': "0x29 1x600"}, 31, ({**PAY, **CRITICAL},)),
    Case("ShadowLeak", "silent of an old one", {'shadow_leaks{task="pay"}': "1x600"}, 90),
    Case("ShadowLeak", "silent an hour later", {'shadow_leaks{task="pay"}': "0x29 1x600"}, 100),
    Case(
        "ShadowUncontained",
        "of a proof that ended in shadow",
        {PHASE: "1x600", PROVEN: "1x10 0x600", ENDED: "0x10 1x600"},
        22,
        ({**PAY, "phase": "shadow", **CRITICAL},),
    ),
    Case("ShadowUncontained", "silent of a proven one", {PHASE: "1x600", PROVEN: "1x600", ENDED: "0x600"}, 60),
    Case("ShadowUncontained", "silent in legacy", {PHASE: "0x600", PROVEN: "0x600", ENDED: "1x600"}, 60),
    Case("ShadowUncontained", "silent within its patience", {PHASE: "1x600", PROVEN: "1x10 0x600"}, 15),
    Case(
        "ShadowMovedBack",
        "of a move that nobody made",
        {'shadow_automatic_moves{task="pay"}': "0x29 1x600"},
        31,
        ({**PAY, **WARNING},),
    ),
    Case("ShadowMovedBack", "silent of an old one", {'shadow_automatic_moves{task="pay"}': "2x600"}, 90),
    Case(
        "ShadowParityDropped",
        "of an hour in which one in five differs",
        pairs("pay", "900+0x60 900+4x240", "9+0x60 9+1x240"),
        130,
        ({**PAY, **WARNING},),
    ),
    Case("ShadowParityDropped", "silent while it is as ever", pairs("pay", "0+99x300", "0+1x300"), 130),
    Case("ShadowParityDropped", "silent of a few pairs", pairs("pay", "900x600", "9x60 10x60 11x60 12x600"), 130),
    Case(
        "ShadowParityDropped",
        "silent while nothing is compared",
        pairs("pay", "900x600", "9x600"),
        130,
    ),
    Case("ShadowGateRegressed", "at once", {REGRESSION % "unmet": "1x600"}, 1, (REGRESSED,)),
    Case("ShadowGateRegressed", "silent of a gate that holds", {REGRESSION % "met": "1x600"}, 60),
    Case(
        "ShadowGateRegressed",
        "silent of one that is shut for another reason",
        {'shadow_gate_condition{task="pay",condition="statistic",state="unmet"}': "1x600"},
        60,
    ),
    Case("ShadowTwinMissing", "of one", pairs("pay", "9x600", "0x600", "0x20 1x600"), 27, ({**PAY, **WARNING},)),
    Case("ShadowTwinMissing", "silent of those of long ago", pairs("pay", "9x600", "0x600", "5x600"), 90),
    Case("ShadowTwinMissing", "silent when judging again finds it", pairs("pay", "9x600", "0x600", "5x20 4x600"), 60),
    Case("ShadowBacklog", "of legacy's", {OLDEST % "legacy": "0+60x600"}, 8, ({"side": "legacy", **CRITICAL},)),
    Case(
        "ShadowBacklog",
        "of the candidate's",
        {OLDEST % "candidate": "0+60x600"},
        12,
        ({"side": "candidate", **WARNING},),
    ),
    Case(
        "ShadowBacklog",
        "silent of a queue that moves",
        {OLDEST % "legacy": "20x600", OLDEST % "candidate": "250x600"},
        60,
    ),
    Case("ShadowBacklog", "silent of one late moment", {OLDEST % "legacy": "0x9 500 0x600"}, 10),
    Case(
        "ShadowDeadLetters",
        "after a while",
        {'shadow_dead_letters{side="candidate"}': "2x600"},
        6,
        ({"side": "candidate", **WARNING},),
    ),
    Case("ShadowDeadLetters", "silent of none", {'shadow_dead_letters{side="candidate"}': "0x600"}, 60),
    Case("ShadowDeadLetters", "silent of one resent", {'shadow_dead_letters{side="candidate"}': "1x2 0x600"}, 20),
    Case(
        "ShadowBreakerOpen",
        "of one that stays",
        {BREAKER % "open": "1x600", BREAKER % "closed": "0x600"},
        6,
        (INNGEST,),
    ),
    Case(
        "ShadowBreakerOpen",
        "of one that is tried in vain",
        {BREAKER % "open": "1 0 1 0 1 0 1 0 1 0", BREAKER % "half_open": "0 1 0 1 0 1 0 1 0 1"},
        8,
        (INNGEST,),
    ),
    Case(
        "ShadowBreakerOpen",
        "silent of one that closes",
        {BREAKER % "open": "1x2 0x600", BREAKER % "closed": "0x2 1x600"},
        9,
    ),
    Case("ShadowRateLimitNear", "of a quota", {QUOTA: "0.2x600"}, 6, (PLATFORM,)),
    Case("ShadowRateLimitNear", "of refusals", {THROTTLED % "throttled": "0+3x600"}, 20, (PLATFORM,)),
    Case("ShadowRateLimitNear", "silent with room", {QUOTA: "0.9x600", THROTTLED % "delivered": "0+3x600"}, 60),
    Case("ShadowRateLimitNear", "silent of a moment", {QUOTA: "0.9 0.1 0.9x600"}, 6),
    Case(
        "ShadowAllowanceEnding",
        "in two days",
        {'shadow_allowance_left_seconds{task="pay"}': "172800x9"},
        1,
        ({**PAY, **INFO},),
    ),
    Case(
        "ShadowAllowanceEnding", "silent in a month", {'shadow_allowance_left_seconds{task="pay"}': "2592000x600"}, 60
    ),
    Case("ShadowTickMissed", "of the first", {TICK: "_x9 1x600"}, 11, ({**PAY, "side": "candidate", **WARNING},)),
    Case("ShadowTickMissed", "of another", {TICK: "1x99 2x600"}, 101, ({**PAY, "side": "candidate", **WARNING},)),
    Case("ShadowTickMissed", "silent of old ones", {TICK: "1x600"}, 120),
    Case("ShadowNoticeGivenUp", "of the first", {GIVEN_UP: "_x9 1x600"}, 11, ({"channel": "ops", **WARNING},)),
    Case("ShadowNoticeGivenUp", "silent of old ones", {GIVEN_UP: "1x600"}, 120),
    Case("ShadowNoticeGivenUp", "silent of what is tried again", {SENT: "0+1x600"}, 120),
    Case("ShadowSpoolDamaged", "at once", {DAMAGED: "0x9 1x600"}, 11, ({"instance": "serve", **CRITICAL},)),
    Case("ShadowSpoolDamaged", "silent of none", {DAMAGED: "0x600"}, 60),
    Case("ShadowSpoolRefused", "after a while", {REFUSED: "2x600"}, 6, ({"instance": "serve", **WARNING},)),
    Case("ShadowSpoolRefused", "silent of none", {REFUSED: "0x600"}, 60),
    Case("ShadowSpoolRefused", "silent of what is taken in the end", {REFUSED: "2x2 0x600"}, 20),
    Case(
        "ShadowTargetDown",
        "of a process that does not answer",
        {},
        4,
        ({"job": "shadow", "instance": "serve", **CRITICAL},),
        {SERVE: "0x600", PARITY: "1x600"},
    ),
    Case("ShadowTargetDown", "silent of a restart", {}, 4, (), {SERVE: "1x2 0 1x600", PARITY: "1x600"}),
    Case("ShadowTargetDown", "silent of what is not ours", {'up{job="node",instance="x"}': "0x600"}, 30),
    Case("ShadowTargetLost", "of a job that is gone", {}, 8, ({"job": "shadow-parity", **CRITICAL},), {SERVE: "1x600"}),
    Case("ShadowTargetLost", "silent while both are there", {}, 30),
)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    assert (
        {case.alert for case in CASES if case.fires} == {case.alert for case in CASES if not case.fires} == set(NAMES)
    )


def test_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    """One run of promtool; what it says names the case."""
    document = {
        "rule_files": [str(PROMETHEUS / "rules.yml"), str(PROMETHEUS / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": f"{case.alert}: {case.says}",
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in {**case.up, **case.series}.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.at}m",
                        "alertname": case.alert,
                        "exp_alerts": [
                            {"exp_labels": dict(labels), **annotated(case, labels)} for labels in case.fires
                        ],
                    }
                ],
            }
            for case in CASES
        ],
    }
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run(
        [binary("promtool"), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def annotated(case: Case, labels: Mapping[str, str]) -> dict[str, Any]:
    """promtool compares annotations too: they are those of the rule, with its labels and the value put in."""
    rule = next(
        alert.as_rule() for alert in ALERTS if alert.name == case.alert and alert.severity == labels["severity"]
    )
    return {
        "exp_annotations": {
            name: VALUES.get((case.alert, case.says), lambda text: text)(_with_labels(text, labels))
            for name, text in rule["annotations"].items()
        }
    }


def _with_labels(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)


def _value(shown: str) -> Any:
    return lambda text: re.sub(r"\{\{ \$value[^}]*\}\}", shown, text)


VALUES: dict[tuple[str, str], Any] = {
    ("ShadowParityDropped", "of an hour in which one in five differs"): _value("19%"),
    ("ShadowBacklog", "of legacy's"): _value("8m 0s"),
    ("ShadowBacklog", "of the candidate's"): _value("12m 0s"),
    ("ShadowDeadLetters", "after a while"): _value("2"),
    ("ShadowAllowanceEnding", "in two days"): _value("2d 0h 0m 0s"),
}
"""How a case's value is put."""


def test_the_rule_files_are_valid() -> None:
    files = [str(PROMETHEUS / name) for name in ("rules.yml", "alerts.yml")]
    done = subprocess.run(
        [binary("promtool"), "check", "rules", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "expression", sorted({*(rule.expression for rule in RULES), *(rule.expression for rule in ALERTS)})
)
def test_rules_ask_for_series_and_labels_that_exist_and_never_for_the_rate_of_a_gauge(expression: str) -> None:
    selectors = re.findall(r"((?:\w+:)?\b(?:shadow_\w+|up\b)(?::\w+)?)(?:\{([^}]*)\})?", expression)
    assert selectors
    labels = set(_OWN)
    for name, matchers in selectors:
        if ":" in name:
            assert name in RECORDED, name
            labels |= _RECORDED_LABELS
            continue
        assert name in SERIES, name
        assert set(_LABEL.findall(matchers)) <= SERIES[name] | _OWN
        labels |= SERIES[name]
    for grouping in _GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",") if label.strip()} <= labels
    for name in re.findall(r"(?:rate|irate|increase)\((shadow_\w+)", expression):
        assert name not in GAUGES


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_says_what_to_do_and_has_a_heading_in_the_runbook(name: str) -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / RUNBOOK).read_text(), re.M)
    for alert in ALERTS:
        if alert.name == name:
            rule = alert.as_rule()
            assert len(rule["annotations"]["summary"]) > 10
            assert len(rule["annotations"]["description"]) > 40
            assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
    assert headings.count(name) == 1


def test_the_runbook_is_of_these_alerts() -> None:
    headings = set(re.findall(r"^## (Shadow\w+)$", (ROOT / RUNBOOK).read_text(), re.M))
    assert headings == set(NAMES)
