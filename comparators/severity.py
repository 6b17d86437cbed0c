"""How bad a change within a value is."""

from __future__ import annotations

from comparators.diff import Change
from comparators.protected import is_protected
from comparators.shape import leaves
from comparators.verdict import Severity


def severity_of(change: Change, otherwise: Severity = Severity.major) -> Severity:
    """Critical when an amount, currency, recipient, tenant or account is touched."""
    touched = (
        is_protected((*change.parts, *below))
        for value in (change.legacy, change.candidate)
        for below, _ in leaves(value)
    )
    return Severity.critical if any(touched) else otherwise
