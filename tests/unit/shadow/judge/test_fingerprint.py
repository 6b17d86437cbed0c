"""The fingerprint of rules: the same as long as they judge alike."""

from __future__ import annotations

import pytest

from comparators import IdentityRule, IgnoreRule, Rules
from shadow.judge.fingerprint import fingerprint_of

TIMES = IgnoreRule("output", "$.tookMs", "how long it took")
NAMES = IgnoreRule("output", "$.host", "which machine")
ORDER = IdentityRule("http", "stripe", "*", ("$.order",))


def test_it_is_the_same_in_every_process_and_version() -> None:
    assert fingerprint_of(Rules()) == "r1-a60d5ad8eabe4477"


def test_an_option_that_is_not_used_leaves_no_trace() -> None:
    """So that the next version may know more options without every pair having been judged with other rules."""
    assert fingerprint_of(Rules(output=True, attempts=False, before=())) == fingerprint_of(Rules())


def test_rewording_a_reason_changes_nothing() -> None:
    reworded = IgnoreRule("output", "$.tookMs", "it varies")
    assert fingerprint_of(Rules(ignore=(TIMES,))) == fingerprint_of(Rules(ignore=(reworded,)))


@pytest.mark.parametrize(
    "other",
    [
        Rules(),
        Rules(ignore=(TIMES, NAMES)),
        Rules(ignore=(IgnoreRule("effect", "$.tookMs", "how long it took"),)),
        Rules(ignore=(TIMES,), output=False),
        Rules(ignore=(TIMES,), identities=(ORDER,)),
    ],
)
def test_whatever_may_judge_differently_changes_it(other: Rules) -> None:
    assert fingerprint_of(other) != fingerprint_of(Rules(ignore=(TIMES,)))


def test_the_order_of_rules_counts() -> None:
    assert fingerprint_of(Rules(ignore=(TIMES, NAMES))) != fingerprint_of(Rules(ignore=(NAMES, TIMES)))
