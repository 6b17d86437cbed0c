"""Ignore: a value is not compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.rules.rule import ValueRule


@dataclass(frozen=True, slots=True)
class IgnoreRule(ValueRule):
    """Leaves a path out of the comparison, with a reason.

    Refused when it names amounts, currency, recipients, tenants or accounts, or when it selects everything. Whatever it
    selects, protected values below it are compared all the same, and so is what another rule below it speaks of.
    Ignoring an element of an array hides its content, not that it is there.
    """

    type: ClassVar[str] = "ignore"
    leaves_out: ClassVar[bool] = True
    needs_reason: ClassVar[bool] = True

    def weakens(self) -> str | None:
        return "ignored"
