"""A task's report as Markdown, JSON and JUnit XML."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.cutover.decision import Phase
from shadow.reports import formats
from shadow.reports.formats import Report
from shadow.reports.parity import Figures, parity_of
from shadow.reports.shapes import Counts, Parity, SignatureSummary

PAIR = UUID("01997f3c-52a0-7d10-8a4b-90f1c2d3e4f5")


def report(sentence: str = "They differ.", *, signed: bool = True, **verdicts: int) -> Report:
    figures = Figures(opened=sum(verdicts.values()))
    figures.verdicts.update({name: count for name, count in verdicts.items() if name != "pending"})
    counts = figures.as_counts(Counts)
    found = SignatureSummary(
        id="s1-aa",
        task="t",
        kind="output.changed",
        path="$['output']",
        severity="major",
        sentence=sentence,
        example_pair=PAIR,
        pairs=verdicts.get("mismatch", 0) + verdicts.get("allowed", 0),
        allowed=verdicts.get("allowed", 0),
        tenant_count=1,
        first_seen=datetime(2026, 5, 1, tzinfo=UTC),
        last_seen=datetime(2026, 5, 1, tzinfo=UTC),
    )
    return Report(
        parity=Parity(
            task="t", phase=Phase.SHADOW, since=None, until=None, tenant=None, unattributed=0, counts=counts, days=[]
        ),
        signatures=[found] if signed and found.pairs else [],
    )


def junit(of: Report) -> dict[str, str]:
    """Case -> what became of it."""
    suite = ElementTree.fromstring(formats.as_junit(of))
    cases = {case.get("name", ""): case[0].tag if len(case) else "passed" for case in suite}
    outcomes = list(cases.values())
    assert suite.get("tests") == str(len(outcomes))
    assert suite.get("failures") == str(outcomes.count("failure"))
    assert suite.get("skipped") == str(outcomes.count("skipped"))
    return cases


@pytest.mark.parametrize(
    ("verdicts", "parity"),
    [
        ({}, None),
        ({"match": 3}, 1.0),
        ({"match": 3, "mismatch": 1}, 0.75),
        ({"match": 1, "missing_candidate": 1, "missing_legacy": 2}, 0.25),
        ({"match": 1, "not_comparable": 9}, 1.0),  # neither for nor against
        ({"match": 1, "allowed": 9}, 1.0),  # no match, and no shortfall
        ({"allowed": 9}, None),
        ({"not_comparable": 9}, None),  # silence is not success
        ({"mismatch": 1}, 0.0),
    ],
)
def test_parity_counts_what_was_compared(verdicts: dict[str, int], parity: float | None) -> None:
    assert parity_of(verdicts) == parity


@pytest.mark.parametrize(
    ("parity", "said"),
    [
        (None, "nothing compared"),
        (1.0, "100 %"),
        (0.999999, "99.99 %"),  # never rounded up to everything
        (0.5, "50.00 %"),
        (0.0, "0.00 %"),
    ],
)
def test_only_full_parity_is_said_to_be_full(parity: float | None, said: str) -> None:
    assert formats.percent(parity) == said


def test_full_parity_passes_every_case() -> None:
    assert set(junit(report(match=4)).values()) == {"passed"}


def test_every_shortfall_has_a_case_of_its_own() -> None:
    cases = junit(report(match=1, mismatch=2, missing_candidate=1, missing_legacy=1, not_comparable=1, pending=1))
    assert cases == {
        "pairs were compared": "passed",
        "no pair differs": "failure",
        "no pair differs in what is allowed": "passed",
        "no run of the candidate is missing": "failure",
        "no run of legacy is missing": "failure",
        "every pair could be compared": "skipped",
        "no pair waits for its verdict": "skipped",
        "output.changed s1-aa": "failure",
    }


def test_allowed_pairs_and_signatures_are_skipped_neither_passed_nor_failed() -> None:
    cases = junit(report(match=1, allowed=2))
    assert cases["no pair differs in what is allowed"] == "skipped"
    assert cases["output.changed s1-aa"] == "skipped"
    assert "failure" not in cases.values()


def test_a_signature_that_is_not_allowed_everywhere_fails() -> None:
    cases = junit(report(match=1, allowed=2, mismatch=1))
    assert cases["output.changed s1-aa"] == "failure"


def test_nothing_compared_is_a_failure() -> None:
    assert junit(report())["pairs were compared"] == "failure"


@given(st.text())
def test_junit_is_xml_whatever_a_sentence_holds(sentence: str) -> None:
    junit(report(sentence.replace("\ud800", ""), mismatch=1))


def test_json_is_what_the_api_says() -> None:
    said = orjson.loads(formats.as_json(report(match=3, mismatch=1)))
    assert said["parity"]["counts"]["parity"] == 0.75
    assert said["signatures"][0]["pairs"] == 1


def test_markdown_keeps_a_sentence_in_its_cell() -> None:
    text = formats.as_markdown(report("a | b\n<script>", mismatch=1))
    assert "| 1 | 0 | major | a \\| b \\<script\\> | `s1-aa` |" in text
    assert "| parity | 0.00 % |" in text


@pytest.mark.parametrize("part", [{"since": date(2026, 5, 1)}, {"until": date(2026, 5, 1)}, {"tenant": ""}])
def test_a_partial_report_is_not_failed_by_signatures_of_other_days_and_tenants(part: dict[str, object]) -> None:
    whole = report(match=1, mismatch=1)
    partial = whole.model_copy(update={"parity": whole.parity.model_copy(update=part)})
    assert "output.changed s1-aa" in junit(whole)
    assert "output.changed s1-aa" not in junit(partial)
    assert junit(partial)["no pair differs"] == "failure"


def test_markdown_says_of_what_its_differences_are() -> None:
    assert "## Differences (all time, all tenants)" in formats.as_markdown(report(mismatch=1))
    assert "Differences" not in formats.as_markdown(report(match=1))
