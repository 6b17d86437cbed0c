"""Why a rule is not proposed, though values differ."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """The type of a refusal."""

    PROTECTED = "protected"
    """It would hide amounts, currency, recipients, tenants or accounts."""
    TOO_FEW = "too_few"
    """Too few pairs were compared, or too few of them differ, to tell noise from chance."""
    WHOLE_VALUE = "whole_value"
    """What differs is everything, or an object or array: a rule for it would hide more than the drifting value."""
    SYSTEMATIC = "systematic"
    """One side's value follows from the other's (always an hour later, a hundred times as much), leans to one side
    of it or is another pair's: a fault, not noise."""
    ONE_SIDED = "one_sided"
    """One side's value drifts while the other's is always the same: one of them does not do what the other does."""
    UNWITNESSED = "unwitnessed"
    """Only a rule that leaves the value out would explain what differs. Live pairs can't tell that from a candidate
    that makes values up or takes those of others; legacy against itself could."""
    STEADY = "steady"
    """Legacy against itself never differs there: what differs comes of the candidate."""
    HIDES_MORE = "hides_more"
    """It would make differences at other places go away as well."""
