"""From what is known of a pair to its judgement. Nothing that one pair holds can keep another from its verdict."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import structlog

from comparators import Judgement, Verdict, judge
from comparators.order_seen import order_seen
from shadow.judge.facts import PairFacts
from shadow.judge.ledger import Evidence
from shadow.judge.rulebook import Rulebook
from shadow.model.reasons import is_changed_by_producer
from shadow.model.world import is_another

log = structlog.get_logger(__name__)

NO_RUN = "no run ended"
"""Why a pair without any outcome by its deadline can't be compared."""

PROBES_UNREAD = "its probes were not read in time"

_LONGEST_REASON = 500


def judgement_of(fact: PairFacts, evidence: Evidence, rulebook: Rulebook, *, explain: bool = False) -> Judgement:
    """What is to be said of a pair that is ready; with `explain`, what each stage of judging did as well.

    Never raises: a comparator that fails makes its pair `not_comparable`, and says so.
    """
    try:
        return _judged(fact, evidence, rulebook, explain=explain)
    except Exception as error:
        # No traceback: its message may quote the payload. The pair's own reason has it.
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            "judge.failed",
            pair=str(fact.pair.id),
            task=fact.pair.task,
            error=type(error).__name__,
            at=f"{Path(place.filename).name}:{place.lineno}",
        )
        return failed(error)


def failed(error: Exception) -> Judgement:
    """The judgement on a pair over which the judge itself failed."""
    reason = f"judge failed: {type(error).__name__}: {error}"
    return Judgement(Verdict.not_comparable, reason=reason[:_LONGEST_REASON])


def _judged(fact: PairFacts, evidence: Evidence, rulebook: Rulebook, *, explain: bool) -> Judgement:
    pair = fact.pair
    reason = pair.incomparable
    if is_changed_by_producer(reason):
        # Neither a difference nor a missing run says anything of the port: any other reason leaves both standing.
        return Judgement(Verdict.not_comparable, reason=reason)
    if fact.legacy is not None and fact.candidate is not None:
        another = next((run.world for run in (fact.legacy, fact.candidate) if is_another(run.world)), None)
        if another is not None:
            # The two found different rows, which explains whatever they did differently, and a match would be chance.
            # So neither is claimed. A run that never came is no matter of rows: then the pair is missing as ever.
            return Judgement(Verdict.not_comparable, reason=another)
    ledgers = evidence.of(fact)
    if ledgers.unreadable is not None and fact.legacy is not None and fact.candidate is not None:
        # What differs may be the hashes alone, and what does not may have been in the event.
        return Judgement(Verdict.not_comparable, reason=ledgers.unreadable)
    rules = rulebook.rules(pair.task)
    if fact.extra:
        # What they did counts with the run's own ledger; a second run that did nothing is still no match.
        sides = " and ".join(sorted({run.side.value for run in fact.extra}))
        reason = reason or f"{sides} ran more than once for this event"
    if ledgers.legacy is None and ledgers.candidate is None:
        reason = reason or NO_RUN
    elif ledgers.candidate is None:
        reason = reason or rulebook.why_missing(pair.task)
    elif ledgers.legacy is not None:
        if rules.output and ledgers.unknown_output is not None:
            # Comparing what is not known would invent a difference; everything else still counts.
            rules = replace(rules, output=False)
            reason = reason or f"it is not known what the {ledgers.unknown_output} run returned"
        reason = reason or fact.doubt or pair.probe_failures
        if pair.probed_at is None and rulebook.probes(pair.task):
            reason = reason or PROBES_UNREAD
    judgement = judge(
        ledgers.legacy,
        ledgers.candidate,
        rules,
        task=pair.task,
        known=ledgers.known,
        inherited=ledgers.inherited,
        reason=reason,
        explain=explain,
    )
    if judgement.verdict is Verdict.mismatch:
        # What the gateway did, or could not do, may explain whatever the two did differently.
        why = evidence.unanswered(fact, rules, ledgers.known) or evidence.gateway_away(fact)
        if why is not None:
            return Judgement(Verdict.not_comparable, reason=why)
    return judgement if ledgers.legacy is None else judgement.of_run(order_seen(ledgers.legacy))
