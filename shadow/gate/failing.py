"""The condition on failures: the candidate's runs fail no more often than legacy's, within ratio and slack. Pure.

Of a pair, d = (1 if the candidate failed) - ratio * (1 if legacy did). The candidate is not worse where the mean of d
is at most the slack, which the bets of bets.py show: pairs whose runs end alike say nothing against it, however often
both fail. Where the slack is 0 nothing could ever show it, so there, and where two people signed off for
want of pairs, it is met as long as the opposite is not shown.
"""

from __future__ import annotations

from shadow.gate import bets
from shadow.gate.known import Ended, TaskKnown
from shadow.gate.report import Condition, ConditionName, State
from shadow.gate.wording import count, percent

HIGH = 1.0


def values(ended: Ended, ratio: float) -> dict[float, int]:
    """Value of d -> pairs."""
    found: dict[float, int] = {}
    for value, pairs in (
        (0.0, ended.neither_failed),
        (1.0, ended.candidate_failed),
        (-ratio, ended.legacy_failed),
        (1.0 - ratio, ended.both_failed),
    ):
        found[value] = found.get(value, 0) + pairs
    return found


def pairs_needed(known: TaskKnown) -> int | None:
    """How many more pairs without any failure show that the candidate is not worse; None: none do."""
    bound = known.settings.failures
    ended = Ended() if known.epoch is None else known.epoch.ended
    if bound.slack >= HIGH:
        return 0
    return bets.needed(0.0, values(ended, bound.ratio), bound.slack, HIGH, _alpha(known))


def failures(known: TaskKnown) -> Condition:
    """The candidate's runs fail no more often than legacy's, within ratio and slack."""
    name, bound = ConditionName.FAILURES, known.settings.failures
    ended = Ended() if known.epoch is None else known.epoch.ended
    found, alpha = values(ended, bound.ratio), _alpha(known)
    worse = bets.is_above(found, bound.slack, -bound.ratio, alpha)
    shown = bets.is_below(found, bound.slack, HIGH, alpha)
    limit = bets.upper_limit(found, alpha, -bound.ratio, HIGH)
    limit = min(limit, bound.slack) if shown else limit
    fits = not worse and (shown or bound.slack <= 0 or known.signed_off)
    told = _told(ended)
    allowed = f"legacy's{'' if bound.ratio == 1 else f' times {bound.ratio:g}'} + {percent(bound.slack)}"
    if worse:
        says = f"{told}: more than {allowed} is shown"
    elif fits:
        says = f"{told}: within {allowed}"
    else:
        more = count(pairs_needed(known) or 0, "more pair")
        says = f"{told}: not yet shown to be within {allowed}; {more} without failure would"
    if not bound.blocks:
        return Condition(name, State.INFORMATIONAL, limit, bound.slack, says)
    return Condition(name, State.MET if fits else State.UNMET, limit, bound.slack, says)


def _told(ended: Ended) -> str:
    if not ended.pairs:
        return "no runs of a compared pair were counted yet"
    candidate, legacy = ended.candidate_failed + ended.both_failed, ended.legacy_failed + ended.both_failed
    return (
        f"of {count(ended.pairs, 'pair')} {candidate:,} failed on the candidate ({percent(candidate / ended.pairs)})"
        f" and {legacy:,} on legacy"
    )


def _alpha(known: TaskKnown) -> float:
    return 1 - known.settings.confidence if known.epoch is None else known.epoch.statistic.alpha
