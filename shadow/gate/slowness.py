"""The condition on latency: half of the candidate's runs take at most ratio * legacy's + slack. Pure.

Of a pair, d = 1 if the candidate took longer than that, else 0; what a run waited at the gateway for its twin's answer
does not count. That the median pair is within the bound is that the mean of d is below one half, which the bets of
bets.py show. A median needs no bound on durations, and one run that hung says as much as one that was just too slow.
"""

from __future__ import annotations

import math

from shadow.gate import bets
from shadow.gate.known import Ended, TaskKnown
from shadow.gate.report import Condition, ConditionName, State
from shadow.gate.wording import count, percent

HALF = 0.5


def pairs_needed(known: TaskKnown) -> int | None:
    """How many more pairs within the bound show it."""
    ended = Ended() if known.epoch is None else known.epoch.ended
    return bets.needed(0.0, _values(ended), HALF, 1.0, _alpha(known))


def latency(known: TaskKnown) -> Condition:
    """The median pair's candidate takes at most ratio * legacy + slack."""
    name, bound = ConditionName.LATENCY, known.settings.latency
    ended = Ended() if known.epoch is None else known.epoch.ended
    found, alpha = _values(ended), _alpha(known)
    fits = bets.is_below(found, HALF, 1.0, alpha)
    limit = bets.upper_limit(found, alpha, 0.0, 1.0)
    limit = min(limit, HALF) if fits else limit
    if known.signed_off:
        fits = not bets.is_above(found, HALF, 0.0, alpha)
    allowed = f"{bound.ratio:g} times legacy's time + {bound.slack:g} s"
    if not ended.timed:
        says = f"no runs were timed yet; half of the candidate's may take more than {allowed}"
    else:
        mean = math.exp(max(min(ended.log_ratio / ended.timed, 20.0), -20.0))
        says = (
            f"of {count(ended.timed, 'pair')} the candidate took more than {allowed} in {ended.slower:,}"
            f" ({percent(ended.slower / ended.timed)}, and half may); its mean is {mean:.3g} times legacy's"
        )
        if not fits:
            says = f"{says}; that half are within it is not shown"
    if not bound.blocks:
        return Condition(name, State.INFORMATIONAL, limit, HALF, says)
    return Condition(name, State.MET if fits else State.UNMET, limit, HALF, says)


def _values(ended: Ended) -> dict[float, int]:
    return {0.0: ended.timed - ended.slower, 1.0: ended.slower}


def _alpha(known: TaskKnown) -> float:
    return 1 - known.settings.confidence if known.epoch is None else known.epoch.statistic.alpha
