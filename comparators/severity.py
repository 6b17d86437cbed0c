"""How bad a change within a value is."""

from __future__ import annotations

from comparators.diff import Change
from comparators.protected import is_protected
from comparators.shape import leaves
from comparators.verdict import Difference, Severity


def severity_of(change: Change, otherwise: Severity = Severity.major) -> Severity:
    """Critical when an amount, currency, recipient, tenant or account is touched."""
    touched = (
        is_protected((*change.parts, *below))
        for value in (change.legacy, change.candidate)
        for below, _ in leaves(value)
    )
    return Severity.critical if any(touched) else otherwise


_BY_KIND = {
    "effect.missing": "the world lacks an effect",
    "effect.extra": "the world saw an effect that it should not have seen",
    "effect.duplicate": "the world saw an effect more often than it should have",
    "effect.key_dropped": "without the provider's idempotency key a retry would be done twice",
    "effect.key_added": "a key more makes nothing worse",
    "effect.reordered": "an order that was declared was not kept",
    "outcome.status": "the runs ended differently",
    "outcome.error": "both failed, of different causes",
    "attempts": "both gave up, after different numbers of attempts",
    "timing": "it did the same, and took longer than was agreed on",
    "cost": "it did the same, and cost more than was agreed on",
}
_BY_SEVERITY = {
    Severity.critical: "it touches an amount, a currency, a recipient, a tenant, an account or what was acted on",
    Severity.major: "what was done or returned differs; no amount, recipient, tenant or account is touched",
    Severity.minor: "visible, and it makes nothing worse for anybody",
}


def why(difference: Difference) -> str:
    """Why a difference has its severity, in words."""
    return _BY_KIND.get(difference.kind) or _BY_SEVERITY[difference.severity]
