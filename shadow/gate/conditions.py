"""The conditions of a gate: each a pure function of what is known, which says whether it is met and why.

A gate is open when none is unmet. What is not known never counts as met, except where something would have to have
happened (a leak, a regression); and a worse figure never turns an unmet condition into a met one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from shadow.gate.failing import failures
from shadow.gate.known import EpochKnown, TaskKnown
from shadow.gate.report import Condition, ConditionName, State
from shadow.gate.slowness import latency
from shadow.gate.wording import count, days, percent

_SHOWN = 3
"""How many of a list are named in a sentence."""
_LARGEST_E = 1e300


def judged(known: TaskKnown) -> tuple[Condition, ...]:
    """All conditions, in the order in which they are shown."""
    return tuple(condition(known) for condition in _CONDITIONS)


def statistic(known: TaskKnown) -> Condition:
    """The mismatch rate is shown to be below the budget, or two people signed off where pairs are too few."""
    epoch, budget = known.epoch, known.budget
    bound = 1.0 if epoch is None else epoch.statistic.upper_bound
    if epoch is not None and epoch.statistic.opened_at is not None:
        opened_after = count(epoch.statistic.opened_after or 0, "pair")
        says = (
            f"fewer than {percent(budget)} of pairs differ: shown after {opened_after};"
            f" at most {percent(bound)} do, by the {count(epoch.compared, 'pair')} so far"
        )
        return Condition(ConditionName.STATISTIC, State.MET, bound, budget, says)
    if known.signed_off:
        names = " and ".join(sorted({one.actor for one in known.sign_offs}))
        says = (
            f"{names} signed off: with {_a_day(known)}, below {known.settings.sign_off_below:g},"
            " their word stands in the statistic's place"
        )
        return Condition(ConditionName.STATISTIC, State.MET, bound, budget, says)
    says = f"that fewer than {percent(budget)} of pairs differ is not shown: {_so_far(epoch)}; {_missing(known)}"
    return Condition(ConditionName.STATISTIC, State.UNMET, bound, budget, says)


def _so_far(epoch: EpochKnown | None) -> str:
    if epoch is None or not epoch.compared:
        return "nothing was compared yet"
    return (
        f"{epoch.mismatches:,} of {count(epoch.compared, 'pair')} differ, so at most"
        f" {percent(epoch.statistic.upper_bound)} do"
    )


def _missing(known: TaskKnown) -> str:
    """What is missing of the statistic."""
    needed = None if known.epoch is None else known.epoch.statistic.pairs_needed
    clean = "its epoch has not begun" if needed is None else f"{count(needed, 'more clean pair')} would show it"
    if known.pairs_a_day >= known.settings.sign_off_below:
        return clean
    actors = sorted({one.actor for one in known.sign_offs})
    signed = f"{actors[0]} did, and one other must" if actors else "two people may"
    return f"{clean}, or, with {_a_day(known)}, a sign-off: {signed}"


def regression(known: TaskKnown) -> Condition:
    """It has not been shown since that the mismatch rate is above the budget."""
    if known.epoch is None:
        return Condition(ConditionName.REGRESSION, State.MET, None, None, "nothing was counted yet")
    found = known.epoch.statistic
    figure, limit = min(math.exp(min(found.log_e_above, 690.0)), _LARGEST_E), 1 / found.regress_alpha
    if found.regressed_at is not None:
        says = (
            f"since {found.regressed_at:%Y-%m-%d %H:%M} UTC more than {percent(known.budget)} of pairs are shown to"
            " differ: it opens again in a new epoch, after a deployment or a change of rules"
        )
        return Condition(ConditionName.REGRESSION, State.UNMET, figure, limit, says)
    says = f"nothing shows that more than {percent(known.budget)} of pairs differ (e-value {figure:.3g} of {limit:g})"
    return Condition(ConditionName.REGRESSION, State.MET, figure, limit, says)


def not_comparable(known: TaskKnown) -> Condition:
    """The share of pairs that can't be compared is within a budget of its own. A single one is always within it."""
    name, budget = ConditionName.NOT_COMPARABLE, known.settings.not_comparable
    found, of = (0, 0) if known.epoch is None else (known.epoch.not_comparable, known.epoch.resolved)
    if not of:
        return Condition(name, State.MET, None, budget, "nothing was counted yet")
    share = found / of
    says = f"{found:,} of {count(of, 'pair')} can't be compared: {percent(share)}, and {percent(budget)} may be"
    if found <= max(1.0, budget * of):
        return Condition(name, State.MET, share, budget, says)
    return Condition(name, State.UNMET, share, budget, f"{says}; each pair says why it can't")


def critical_signatures(known: TaskKnown) -> Condition:
    """No signature of severity critical is open in the epoch."""
    name, found = ConditionName.CRITICAL, known.critical
    if not found:
        return Condition(name, State.MET, 0, 0, "no critical difference is open")
    says = (
        f"{count(len(found), 'critical signature')} open, to be mended or allowed:"
        f" {_list([f'{one.sentence} ({one.id})' for one in found])}"
    )
    return Condition(name, State.UNMET, len(found), 0, says)


def leaks(known: TaskKnown) -> Condition:
    """Nothing of the candidate reached the world without authority, as far as anybody can tell."""
    name = ConditionName.LEAKS
    if known.leaks:
        says = f"{count(known.leaks, 'leak')} of this version: a run without authority reached the world"
        return Condition(name, State.UNMET, known.leaks, 0, says)
    if known.leaks_proven:
        return Condition(name, State.MET, 0, 0, "none, and a witness outside the gateway saw none")
    if known.settings.unknown_leaks == "refuse":
        says = "unknown, as no witness outside the gateway was asked, and `unknown_leaks` refuses that"
        return Condition(name, State.UNMET, None, 0, says)
    if known.declared:
        says = "unknown, as no witness outside the gateway was asked; a declaration on record answers for it"
        return Condition(name, State.MET, None, 0, says)
    says = "unknown, as no witness outside the gateway was asked: prove the containment with one, or declare it"
    return Condition(name, State.UNMET, None, 0, says)


def containment(known: TaskKnown) -> Condition:
    """The candidate's present version is shown not to reach the world without authority, or declared harmless."""
    name = ConditionName.CONTAINMENT
    if known.uncontained is not None:
        says = f"not contained: {known.uncontained}; `shadow contain {known.task}` proves it"
        return Condition(name, State.UNMET, None, None, says)
    return Condition(name, State.MET, None, None, known.contained_by or "contained")


def freshness(known: TaskKnown) -> Condition:
    """The newest pair is not too old to speak of how things are now."""
    name, limit = ConditionName.FRESHNESS, known.settings.fresh
    newest = None if known.epoch is None else known.epoch.ended.newest_at
    if known.signed_off:
        says = "where two people signed off for want of pairs, the newest one may be of any age"
        return Condition(name, State.NOT_APPLICABLE, None, limit.total_seconds(), says)
    if newest is None:
        return Condition(name, State.UNMET, None, limit.total_seconds(), "no pair was compared in this epoch yet")
    age = max(known.now - newest, limit * 0)
    says = f"the newest pair that was compared is {days(age)} old, and {days(limit)} may be"
    state = State.MET if age <= limit else State.UNMET
    return Condition(name, state, age.total_seconds(), limit.total_seconds(), says)


def soak(known: TaskKnown) -> Condition:
    """The epoch has lasted long enough for what happens seldom to happen."""
    name, limit = ConditionName.SOAK, known.settings.soak
    if known.epoch is None:
        return Condition(name, State.UNMET, None, limit.total_seconds(), "no epoch has begun")
    age = max(known.now - known.epoch.started_at, limit * 0)
    says = f"its epoch has lasted {days(age)} of {days(limit)}"
    state = State.MET if age >= limit else State.UNMET
    return Condition(name, state, age.total_seconds(), limit.total_seconds(), says)


def ticks(known: TaskKnown) -> Condition:
    """A task of a clock was compared over a number of its ticks."""
    name, limit = ConditionName.TICKS, known.settings.ticks
    if not known.cron:
        return Condition(name, State.NOT_APPLICABLE, None, None, "no clock starts it")
    found = 0 if known.epoch is None else known.epoch.ticks
    says = f"pairs of {found:,} of {count(limit, 'tick')} were compared"
    return Condition(name, State.MET if found >= limit else State.UNMET, found, limit, says)


def coverage(known: TaskKnown) -> Condition:
    """Whatever shape of event or effect legacy showed lately was compared in the epoch."""
    name, found = ConditionName.COVERAGE, known.uncompared
    span = f"in the last {days(known.settings.coverage)}"
    if not found:
        says = f"all {count(known.shapes, 'shape')} of events and effects that legacy showed {span} were compared"
        return Condition(name, State.MET, 0, 0, says if known.shapes else f"legacy showed nothing {span}")
    says = (
        f"{count(len(found), 'shape')} of {known.shapes:,} that legacy showed {span} not compared in this epoch:"
        f" {_list([f'{one.of} {one.shape}' for one in found])}; `shadow replay --task {known.task}` has it run"
        " recorded events with them"
    )
    return Condition(name, State.UNMET, len(found), 0, says)


def allowances(known: TaskKnown) -> Condition:
    """None has expired that covered pairs of the epoch, unless what it covered is gone."""
    name, found = ConditionName.ALLOWANCES, known.expired
    if not found:
        return Condition(name, State.MET, 0, 0, "no allowance of open signatures has expired")
    named = [f"{signature} on {moment:%Y-%m-%d}" for signature, moment in sorted(found.items())]
    says = f"{count(len(found), 'allowance')} expired while what it covered is still there: {_list(named)}"
    return Condition(name, State.UNMET, len(found), 0, says)


def _a_day(known: TaskKnown) -> str:
    return f"{known.pairs_a_day:.3g} pairs a day"


def _list(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return "; ".join(items[:_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


_CONDITIONS: tuple[Callable[[TaskKnown], Condition], ...] = (
    statistic,
    regression,
    not_comparable,
    critical_signatures,
    leaks,
    containment,
    freshness,
    soak,
    ticks,
    coverage,
    failures,
    latency,
    allowances,
)
