"""Accepted rules: proposals that a person took over, in force beside those of the catalogue until they expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import structlog

from comparators import Rules
from comparators.rules import VALUE_RULES, IgnoreRule, RuleError, ValueRule
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

Settings: TypeAlias = "dict[str, Any]"
"""The fields of a rule, and its `type`: what `rule_of` makes a rule of, and what is stored of it."""

_IN_FORCE = """
SELECT task, settings FROM proposals WHERE state = 'accepted' AND expires_at > now() ORDER BY decided_at, id
"""


def rule_of(settings: Mapping[str, Any]) -> ValueRule:
    """The comparators' rule.

    Raises:
        RuleError: it would weaken what is protected, or says nothing.
    """
    fields: dict[str, Any] = {}
    for key, value in settings.items():
        fields[key] = tuple(value) if isinstance(value, list) else value
    made: Callable[..., ValueRule] = VALUE_RULES[fields.pop("type")]
    return made(**fields)


def usable(task: str, settings: Mapping[str, Any]) -> ValueRule | None:
    """A stored rule; None for one that this version of Shadow can't read. Judging without it finds more, never less."""
    try:
        return rule_of(settings)
    except (RuleError, KeyError, TypeError) as error:
        log.error("judge.rule_unusable", task=task, error=type(error).__name__)
        return None


async def in_force(connection: Connection) -> dict[str, list[ValueRule]]:
    """Task to the rules that people accepted and that have not expired."""
    found: dict[str, list[ValueRule]] = {}
    for task, settings in await (await connection.execute(_IN_FORCE)).fetchall():
        rule = usable(task, settings)
        if rule is not None:
            found.setdefault(task, []).append(rule)
    return found


def joined(rules: Rules, accepted: Sequence[ValueRule]) -> Rules:
    """The rules of a task with those that were accepted."""
    if not accepted:
        return rules
    ignored = tuple(rule for rule in accepted if isinstance(rule, IgnoreRule))
    others = tuple(rule for rule in accepted if not isinstance(rule, IgnoreRule))
    return replace(rules, ignore=(*rules.ignore, *ignored), values=(*rules.values, *others))
