"""Why a route goes back by itself: what was seen since it was moved, held against what its tasks allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shadow.catalogue.cutover_settings import Reason
from shadow.catalogue.resolved import ResolvedCutover
from shadow.cutover.decision import Phase

_LONGEST_QUOTE = 300
"""Characters of what is quoted: a difference's sentence, an error."""


@dataclass(frozen=True, slots=True)
class Critical:
    """Pairs with a difference of severity critical that nobody has allowed."""

    pair: UUID
    """The first of them."""
    signature: str
    sentence: str
    pairs: int
    """How many, up to the most that were looked at."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Writes of runs without authority that reached their target."""

    incident: UUID
    """The first of them."""
    detail: str
    incidents: int


@dataclass(frozen=True, slots=True)
class Runs:
    """The candidate's newest runs with authority."""

    finished: int
    failed: int
    """Of these."""
    overdue: int = 0
    """Beside these: not finished by the task's deadline. A worker that is gone fails nothing."""
    examples: tuple[UUID, ...] = ()
    """The newest that failed, then the first that are overdue."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Events that the candidate's platform would not take."""

    event: UUID
    """The first of them."""
    error: str | None
    dispatches: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one task since its route was moved."""

    task: str
    critical: Critical | None = None
    leak: Leak | None = None
    runs: Runs = Runs(0, 0)
    legacy: Runs = Runs(0, 0)
    """Legacy's, in the pairs that were counted: some tasks fail by nature, and the candidate's fail with them."""
    dead: Dead | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """One reason to go back."""

    reason: Reason
    task: str
    says: str
    """A clause for people, with figures and ids."""
    facts: dict[str, Any]
    """The same for programs: JSON."""


def why_back(seen: Seen, settings: ResolvedCutover) -> tuple[Why, ...]:
    """Every reason that the task gives to go back, the gravest first; none where all is as it may be."""
    return tuple(
        Why(reason, seen.task, says, {"task": seen.task, "reason": reason, **facts})
        for reason, says, facts in _found(seen, settings)
        if reason in settings.back_on
    )


def _found(seen: Seen, settings: ResolvedCutover) -> Iterator[tuple[Reason, str, dict[str, Any]]]:
    if (leak := seen.leak) is not None:
        says = f"{_number(leak.incidents, 'leak', 'leaks')} (incident {leak.incident}: {_quoted(leak.detail)})"
        yield "leak", says, {"incident": str(leak.incident), "incidents": leak.incidents}
    if (critical := seen.critical) is not None:
        number = _number(critical.pairs, "pair with a critical difference", "pairs with a critical difference")
        says = f"{number} (pair {critical.pair}, signature {critical.signature}: {_quoted(critical.sentence)})"
        facts = {"pair": str(critical.pair), "signature": critical.signature, "pairs": critical.pairs}
        yield "critical", says, facts
    runs = seen.runs
    total, wrong = runs.finished + runs.overdue, runs.failed + runs.overdue
    usual = seen.legacy.failed / seen.legacy.finished if seen.legacy.finished >= settings.failures_runs else 0.0
    if total >= settings.failures_runs and wrong > (usual + settings.failures) * total:
        unfinished = f" and {runs.overdue} unfinished" if runs.overdue else ""
        beyond = f" beyond legacy's own {usual:.0%}" if usual else ""
        says = (
            f"{runs.failed} failed{unfinished} runs of the candidate's last {total} with authority, more than"
            f" {settings.failures:.0%}{beyond} (run {', '.join(map(str, runs.examples[:1]))})"
        )
        facts = {"failed": runs.failed, "overdue": runs.overdue, "finished": runs.finished, "legacy_share": usual}
        facts |= {"runs": [str(run) for run in runs.examples]}
        yield "failures", says, facts
    dead = seen.dead
    if dead is not None and dead.dispatches >= settings.dead_letters:
        error = f": {_quoted(dead.error)}" if dead.error else ""
        number = _number(dead.dispatches, "event", "events")
        says = f"{number} that the candidate's platform would not take (event {dead.event}{error})"
        yield "dead_letters", says, {"event": str(dead.event), "dispatches": dead.dispatches}


def sentence(whys: Iterable[Why]) -> str:
    """All of them as the one sentence that the audit keeps."""
    said: dict[str, list[str]] = {}
    for why in whys:
        said.setdefault(why.task, []).append(why.says)
    return "by itself: " + "; ".join(f"{task} has {', and '.join(each)}" for task, each in said.items())


def back_to(phase: Phase, whys: Iterable[Why], *, contained: bool) -> Phase:
    """Where a route that stands in `phase` goes back to.

    To `shadow`, where the candidate goes on without authority; but to `legacy` where it might reach the world all the
    same: it did, or it has had all authority since its containment was last shown.
    """
    if any(why.reason == "leak" for why in whys):
        return Phase.LEGACY
    return Phase.LEGACY if phase is Phase.LIVE and not contained else Phase.SHADOW


def _number(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count} {many}"


def _quoted(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST_QUOTE else flat[: _LONGEST_QUOTE - 3] + "..."
