"""What the judge is told of a task: its rules, declared or accepted, how long it settles, its flow control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from comparators import Rules
from comparators.rules import ValueRule
from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import RuleSettings
from shadow.catalogue.rule_settings import cost_rule, identity_rule, ignore_rule, latency_rule, order_rule, value_rule
from shadow.judge.accepted import in_force, joined
from shadow.judge.fingerprint import fingerprint_of
from shadow.judge.orders import Orders, kept_orders
from shadow.store.database import Connection

DEFAULT_SETTLE = timedelta(seconds=5)
"""For pairs of a task that the catalogue no longer names."""


NO_RULES = fingerprint_of(Rules())
"""The fingerprint of the rules of a task that the catalogue no longer names."""


def rules_of(settings: RuleSettings) -> Rules:
    """The comparators' rules for what the catalogue says.

    Raises:
        ValueError: a path is no JSONPath, or a rule would hide amounts, currency or recipients.
    """
    return Rules(
        identities=tuple(map(identity_rule, settings.identities)),
        ignore=tuple(map(ignore_rule, settings.ignore)),
        values=tuple(map(value_rule, settings.values)),
        before=tuple(map(order_rule, settings.before)),
        output=settings.output,
        attempts=settings.attempts,
        latency=latency_rule(settings.latency),
        cost=cost_rule(settings.cost),
    )


class Rulebook:
    """The rules of every task: those of the catalogue, made once, and with `look` those that people accepted.

    Args:
        on_trial: by task, rules that are taken for accepted, to see what they would do.

    Raises:
        ValueError: a task's rules are refused; the message names the task.
    """

    def __init__(
        self, catalogue: ResolvedCatalogue, on_trial: Mapping[str, Sequence[ValueRule]] = MappingProxyType({})
    ) -> None:
        self.orders = Orders()
        self._on_trial = on_trial
        self._accepted: Mapping[str, Sequence[ValueRule]] = {}
        self._tasks = catalogue.tasks
        self._declared = {task.id: _rules_of(task) for task in catalogue.tasks.values()}
        self._rules = dict(self._declared)
        self._fingerprints = {task: fingerprint_of(rules) for task, rules in self._rules.items()}

    def rules(self, task: str) -> Rules:
        """The rules of that task; the defaults for one that the catalogue no longer names."""
        return self._rules.get(task, Rules())

    def fingerprint(self, task: str) -> str:
        """What the task's rules are recognised by: kept with each pair that is judged with them."""
        return self._fingerprints.get(task) or NO_RULES

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Those of all tasks that the catalogue names; any other's is `NO_RULES`."""
        return self._fingerprints

    def ids(self) -> dict[str, list[str]]:
        """By task, the ids of its rules, by which they are counted; learned order is counted apart."""
        return {
            task: [rule.id for rule in joined(rules, self._accepted.get(task, ())).all()]
            for task, rules in self._declared.items()
        }

    async def look(self, connection: Connection) -> None:
        """Read which rules were accepted, and what order legacy keeps where tasks ask that candidates keep it too."""
        await self.orders.refresh(connection)
        self._accepted = await in_force(connection)
        for task in self._tasks.values():
            accepted = (*self._accepted.get(task.id, ()), *self._on_trial.get(task.id, ()))
            rules = joined(self._declared[task.id], accepted)
            if task.rules.order == "learned":
                learned = kept_orders(self.orders.of(task.id), task.rules.order_runs)
                rules = replace(rules, before=(*rules.before, *learned))
            if rules != self._rules[task.id]:
                self._rules[task.id] = rules
                self._fingerprints[task.id] = fingerprint_of(rules)

    def as_now(self) -> Rulebook:
        """These rules, whatever is read after: what is judged with them is to be marked with them too."""
        taken = copy(self)
        taken._rules, taken._fingerprints = dict(self._rules), dict(self._fingerprints)
        return taken

    def settle(self, task: str) -> timedelta:
        found = self._tasks.get(task)
        return found.settle if found else DEFAULT_SETTLE

    def probes(self, task: str) -> bool:
        """Whether anything is read on both sides before its pairs are judged."""
        found = self._tasks.get(task)
        return found is not None and bool(found.probes)

    def why_missing(self, task: str) -> str | None:
        """The candidate's flow control that may have dropped or merged a run of that task."""
        found = self._tasks.get(task)
        if found is None or not found.candidate.flow:
            return None
        names = " and ".join(flow.value for flow in found.candidate.flow)
        return f"the candidate's run never came: its own flow control ({names}) may have dropped or merged it"


def _rules_of(task: ResolvedTask) -> Rules:
    try:
        return rules_of(task.rules)
    except ValueError as error:
        raise ValueError(f"tasks.{task.id}.rules: {error}") from error
