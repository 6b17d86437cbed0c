"""The output comparator: did both runs return the same?"""

from __future__ import annotations

from collections.abc import Iterator

from comparators.case import Case
from comparators.diff import How, changes
from comparators.sentence import changed_output
from comparators.severity import severity_of
from comparators.verdict import Difference, Severity


def compare_outputs(case: Case) -> Iterator[Difference]:
    """Differences of the outputs of two completed runs."""
    if case.output is None or case.output.equal:
        return
    for change in changes(case.output.legacy, case.output.candidate):
        # A member more hurts no reader of the output.
        otherwise = Severity.minor if change.how is How.added else Severity.major
        yield case.difference(
            f"output.{change.how}",
            ("output", *change.parts),
            legacy=change.legacy,
            candidate=change.candidate,
            severity=severity_of(change, otherwise),
            sentence=changed_output(change),
        )
