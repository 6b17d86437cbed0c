"""Rules: what the judge is told of a task, beyond what holds for all tasks.

One module a type of rule. `ValueRule` says what a rule about values may do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from comparators.rules.arrays import KeyedListRule, SetRule
from comparators.rules.embedded import EmbeddedJsonRule
from comparators.rules.exact import ExactRule
from comparators.rules.identity import IdentityRule
from comparators.rules.ignore import IgnoreRule
from comparators.rules.money import MoneyRule
from comparators.rules.number import NumberRule
from comparators.rules.opaque import OpaqueIdRule
from comparators.rules.order import OrderRule
from comparators.rules.pattern import PatternRule
from comparators.rules.presence import PresenceRule
from comparators.rules.ratio import RatioRule
from comparators.rules.rule import Pair, Place, RuleError, ValueRule
from comparators.rules.ruleset import Rules
from comparators.rules.selection import EffectPattern, Scope
from comparators.rules.text import TextRule
from comparators.rules.timestamp import TimestampRule
from comparators.rules.url import UrlRule

VALUE_RULES: Mapping[str, type[ValueRule]] = MappingProxyType(
    {
        rule.type: rule
        for rule in (
            ExactRule,
            NumberRule,
            MoneyRule,
            TimestampRule,
            OpaqueIdRule,
            TextRule,
            UrlRule,
            SetRule,
            KeyedListRule,
            EmbeddedJsonRule,
            PresenceRule,
            PatternRule,
            IgnoreRule,
        )
    }
)
"""Every type of rule about values, by what the catalogue calls it."""

__all__ = [
    "VALUE_RULES",
    "EffectPattern",
    "EmbeddedJsonRule",
    "ExactRule",
    "IdentityRule",
    "IgnoreRule",
    "KeyedListRule",
    "MoneyRule",
    "NumberRule",
    "OpaqueIdRule",
    "OrderRule",
    "Pair",
    "PatternRule",
    "Place",
    "PresenceRule",
    "RatioRule",
    "RuleError",
    "Rules",
    "Scope",
    "SetRule",
    "TextRule",
    "TimestampRule",
    "UrlRule",
    "ValueRule",
]
