"""The two runs of a pair side by side: which effects answer each other, and what is to be said of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from shadow.catalogue.model import Side
from shadow.reports.shapes import DifferenceView, EffectView, PairDetail, RunView

_ALONE = frozenset({"effect.missing", "effect.extra", "effect.duplicate"})
"""Kinds of differences that are of an effect without counterpart. It may lie where a pair of effects does: done twice
under one identity, once it was answered."""

Mark = Literal["same", "differs", "only_legacy", "only_candidate", "repeated", "unknown"]


@dataclass(frozen=True, slots=True)
class Moment:
    """An effect, and how long after the start of its run it was."""

    effect: EffectView
    after: timedelta | None


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline: an effect of legacy, the candidate's that answers it, or one of them alone."""

    legacy: Moment | None
    candidate: Moment | None
    mark: Mark
    found_by: str | None
    """How it is known that they answer each other."""
    says: tuple[str, ...]
    """A sentence for each difference, or why the effect does not count."""
    severity: str | None
    """Of the worst difference."""
    view: str | None
    """Both values as one text, `-` before legacy's lines and `+` before the candidate's."""


def timeline(pair: PairDetail) -> list[Step]:
    """The steps in the order of legacy's ledger; what only the candidate did stands where it did it.

    Which effects answer each other is told by the pair's explanation. Without one, or where it speaks of effects that
    are not there (evidence came meanwhile), effects stand alone and are marked `unknown`.
    """
    ledgers = {Side.LEGACY: _ledger(pair, Side.LEGACY), Side.CANDIDATE: _ledger(pair, Side.CANDIDATE)}
    stages = None if pair.explanation is None else pair.explanation.stages
    if stages is None or not _known(stages, ledgers):
        return _in_order([*_alone(ledgers[Side.LEGACY], legacy=True), *_alone(ledgers[Side.CANDIDATE], legacy=False)])
    return _in_order(list(_steps(stages, ledgers, pair.differences)))


def beside(pair: PairDetail, steps: Sequence[Step]) -> list[DifferenceView]:
    """The differences that no step tells: of outcomes, outputs, order and time."""
    told = {sentence for step in steps for sentence in step.says}
    return [difference for difference in pair.differences if difference.sentence not in told]


def _ledger(pair: PairDetail, side: Side) -> list[Moment]:
    """A side's effects with those of its further runs, as the judge reads them."""
    first = pair.legacy if side is Side.LEGACY else pair.candidate
    runs = [run for run in (first, *(run for run in pair.extra if run.side == side)) if run is not None]
    return [Moment(effect, _after(run, effect)) for run in runs for effect in run.effects]


def _after(run: RunView, effect: EffectView) -> timedelta | None:
    start = run.started_at
    return None if start is None else (effect.occurred_at or effect.received_at) - start


def _known(stages: Mapping[str, Any], ledgers: Mapping[Side, Sequence[Moment]]) -> bool:
    """Whether every effect that the explanation names is where it says."""
    for name in _named(stages):
        ledger, position = ledgers[Side(name["side"])], name["position"]
        if position >= len(ledger):
            return False
        effect = ledger[position].effect
        if (effect.kind, effect.target, effect.operation) != (name["kind"], name["target"], name["operation"]):
            return False
    return True


def _named(stages: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for both in stages["paired"]:
        yield both["legacy"]
        yield both["candidate"]
    yield from stages["missing"]
    yield from stages["surplus"]
    for one in stages["collapsed"]:
        yield one["effect"]


def _steps(
    stages: Mapping[str, Any], ledgers: Mapping[Side, Sequence[Moment]], differences: Sequence[DifferenceView]
) -> Iterator[Step]:
    legacy, candidate = ledgers[Side.LEGACY], ledgers[Side.CANDIDATE]
    views = {view["place"]: view["text"] for view in stages["views"]}
    for both in stages["paired"]:
        found = [one for one in differences if one.kind not in _ALONE and _is_within(one.path, both["place"])]
        yield Step(
            legacy[both["legacy"]["position"]],
            candidate[both["candidate"]["position"]],
            "differs" if found or not both["equal"] else "same",
            both["found_by"],
            tuple(one.sentence for one in found),
            found[0].severity if found else None,
            views.get(both["place"]),
        )
    for one in stages["missing"]:
        yield _lone(one, differences, legacy=legacy[one["position"]])
    for one in stages["surplus"]:
        yield _lone(one, differences, candidate=candidate[one["position"]])
    for one in stages["collapsed"]:
        effect, of_legacy = one["effect"], one["effect"]["side"] == Side.LEGACY
        moment = (legacy if of_legacy else candidate)[effect["position"]]
        yield Step(
            moment if of_legacy else None,
            None if of_legacy else moment,
            "repeated",
            None,
            (one["reason"],),
            None,
            None,
        )


def _lone(
    name: Mapping[str, Any],
    differences: Sequence[DifferenceView],
    *,
    legacy: Moment | None = None,
    candidate: Moment | None = None,
) -> Step:
    found = [one for one in differences if one.kind in _ALONE and one.path == name["place"]][:1]
    mark: Mark = "only_candidate" if legacy is None else "only_legacy"
    severity = found[0].severity if found else None
    return Step(legacy, candidate, mark, None, tuple(one.sentence for one in found), severity, None)


def _alone(ledger: Sequence[Moment], *, legacy: bool) -> Iterator[Step]:
    for moment in ledger:
        yield Step(moment if legacy else None, None if legacy else moment, "unknown", None, (), None, None)


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}[")


def _in_order(steps: list[Step]) -> list[Step]:
    """By when they happened, from the start of the run that did it; what has no such time comes last."""
    return sorted(steps, key=_key)


def _key(step: Step) -> tuple[bool, float, datetime]:
    moment = step.legacy or step.candidate
    assert moment is not None
    effect = moment.effect
    after = 0.0 if moment.after is None else moment.after.total_seconds()
    return moment.after is None, after, effect.occurred_at or effect.received_at
