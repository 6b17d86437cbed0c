"""Comparators: two ledgers in, a verdict and its differences out. Pure: no I/O, no clock."""

from __future__ import annotations

from comparators.canonical import JSON, canonical, fingerprint
from comparators.case import Case
from comparators.judge import judge
from comparators.ledger import Effect, Ledger, Outcome
from comparators.plugins import PluginError
from comparators.registry import Comparator, comparators, register, unregister
from comparators.rules import (
    VALUE_RULES,
    EffectPattern,
    IdentityRule,
    IgnoreRule,
    OrderRule,
    RatioRule,
    RuleError,
    Rules,
    ValueRule,
)
from comparators.signature import signature_of
from comparators.verdict import Difference, Judgement, RuleUse, Severity, Verdict

__all__ = [  # noqa: RUF022  # in plain order, so that the test of it is plain too
    "Case",
    "Comparator",
    "Difference",
    "Effect",
    "EffectPattern",
    "IdentityRule",
    "IgnoreRule",
    "JSON",
    "Judgement",
    "Ledger",
    "OrderRule",
    "Outcome",
    "PluginError",
    "RatioRule",
    "RuleError",
    "RuleUse",
    "Rules",
    "Severity",
    "VALUE_RULES",
    "ValueRule",
    "Verdict",
    "canonical",
    "comparators",
    "fingerprint",
    "judge",
    "register",
    "signature_of",
    "unregister",
]
