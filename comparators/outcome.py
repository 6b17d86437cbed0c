"""The outcome comparator: did both runs end alike?

Status decides first. Of two failed runs the messages are compared, without the class name that some runtimes
put in front, and with ids and moments unified like anywhere else. Error names are compared only where a
message is lacking: a port renames its errors (AbortTaskRunError becomes NonRetriableError) and behaves alike.
Attempts are noise unless the rules ask for them, and then only of failed runs: there they are a behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from comparators.case import Case
from comparators.ledger import COMPLETED, Outcome
from comparators.sentence import attempted, ended
from comparators.verdict import Difference, Severity

_ERROR_STATUSES = frozenset({"failed", "crashed"})
_CLASS_NAME = re.compile(r"^(?:Uncaught )?[A-Za-z_.]*(?:Error|Exception): ")


def compare_outcomes(case: Case) -> Iterator[Difference]:
    """Differences of status, error and (when asked for) attempts."""
    legacy, candidate = case.legacy, case.candidate
    if legacy.status != candidate.status:
        completed = COMPLETED in (legacy.status, candidate.status)
        yield case.difference(
            "outcome.status",
            ("outcome", "status"),
            legacy=legacy.status,
            candidate=candidate.status,
            # Which way a run fails depends on the platform too; whether it fails does not.
            severity=Severity.critical if completed else Severity.major,
            sentence=ended(legacy, candidate),
        )
        return
    if legacy.status not in _ERROR_STATUSES:
        return
    if not _same_error(case):
        yield case.difference(
            "outcome.error",
            ("outcome", "error"),
            legacy={"name": legacy.error_name, "message": legacy.error_message},
            candidate={"name": candidate.error_name, "message": candidate.error_message},
            severity=Severity.major,
            sentence=ended(legacy, candidate),
        )
    if case.rules.attempts and legacy.attempts != candidate.attempts:
        yield case.difference(
            "attempts",
            ("outcome", "attempts"),
            legacy=legacy.attempts,
            candidate=candidate.attempts,
            severity=Severity.minor,
            sentence=attempted(legacy, candidate),
        )


def _same_error(case: Case) -> bool:
    legacy, candidate = _message(case.legacy), _message(case.candidate)
    if legacy and candidate:
        return case.correspondence.texts_correspond(legacy, candidate)
    return case.legacy.error_name == case.candidate.error_name and legacy == candidate


def _message(outcome: Outcome) -> str:
    return _CLASS_NAME.sub("", " ".join((outcome.error_message or "").split()))
