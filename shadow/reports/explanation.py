"""How a pair comes to its verdict: judged anew for whoever asks, as a shape for the API and as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparators import Judgement, Verdict
from shadow.judge.deciding import undecided
from shadow.judge.explaining import explained
from shadow.judge.rulebook import Rulebook
from shadow.reports.shapes import JudgedAnew, JudgedDifference, PairDetail
from shadow.store.database import Database, Work


async def with_explanation(database: Database, rulebook: Rulebook, pair: PairDetail) -> PairDetail:
    """The pair with what the judge says of it now."""
    async with database.connection(Work.CONTROL) as connection:
        judgement = await explained(connection, pair.id, rulebook)
    return pair if judgement is None else pair.model_copy(update={"explanation": _anew(judgement, pair)})


def as_text(pair: PairDetail) -> str:
    """A pair with its explanation, for a terminal."""
    return "\n".join(_lines(pair))


def _anew(judgement: Judgement, stored: PairDetail) -> JudgedAnew:
    found = [
        JudgedDifference(
            kind=one.kind,
            path=one.path,
            severity=str(one.severity),
            sentence=one.sentence,
            signature=one.signature,
        )
        for one in judgement.differences
    ]
    # Allowances change what a mismatch is called, not what the judge found.
    covered = [one.allowance for one in stored.differences]
    verdict = None if stored.verdict is None else undecided(Verdict(stored.verdict), covered)
    return JudgedAnew(
        verdict=judgement.verdict.value,
        reason=judgement.reason,
        as_stored=verdict is judgement.verdict
        and len(found) == stored.difference_count
        # Of very many only some are kept.
        and Counter(one.signature for one in stored.differences) <= Counter(one.signature for one in found),
        differences=found,
        stages=None if judgement.explanation is None else judgement.explanation.as_json(),
    )


def _lines(pair: PairDetail) -> Iterator[str]:
    anew = pair.explanation
    yield f"pair {pair.id} of {pair.task}: {pair.verdict or 'not judged yet'}"
    if anew is None:
        return
    if not anew.as_stored:
        yield f"judged anew by today's rules and evidence it is: {anew.verdict}"
    if anew.reason:
        yield f"because {anew.reason}"
    for difference in anew.differences:
        yield f"  {difference.severity}: {difference.sentence}"
        yield f"    at {difference.path}"
    if anew.stages is not None:
        yield from _stages(anew.stages)


def _stages(stages: Mapping[str, Any]) -> Iterator[str]:
    if stages["identical"]:
        yield ""
        yield "both ledgers say the same in so many words"
    yield from _section("normalised", [_effect(one["effect"]) for one in stages["normalised"]])
    yield from _section(
        "collapsed",
        [f"{_effect(one['effect'])}: {one['reason']}" for one in stages["collapsed"]],
    )
    yield from _section(
        "paired",
        [
            f"{_effect(one['legacy'])} with #{one['candidate']['position']}, by {one['found_by']}"
            f"{'' if one['equal'] else ': they differ'}"
            for one in stages["paired"]
        ],
    )
    yield from _section("only legacy did", [_effect(one) for one in stages["missing"]])
    yield from _section("only the candidate did", [_effect(one) for one in stages["surplus"]])
    yield from _section(
        "the same id on both sides",
        [
            f"{one['legacy']} = {one['candidate']}, first seen at {one['where']} (born: {one['legacy_birth']})"
            for one in stages["unified"]
        ],
    )
    yield from _section(
        "not the same id",
        [f"{one['legacy']} / {one['candidate']} at {one['where']}: {one['reason']}" for one in stages["kept"]],
    )
    yield from _section(
        "the same moment",
        [f"{one['legacy']} = {one['candidate']} at {one['where']}: {one['because']}" for one in stages["moments"]],
    )
    yield from _section(
        "hidden by rules", [f"{one['place']}: {one['reason'] or one['rule']}" for one in stages["hidden"]]
    )
    yield from _section(
        "classified", [f"{one['severity']} {one['path']}: {one['because']}" for one in stages["classified"]]
    )
    for view in stages["views"]:
        yield ""
        yield f"{view['place']} (- legacy, + candidate)"
        yield from view["text"].split("\n")
    yield ""
    yield stages["verdict"]


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)


def _effect(effect: Mapping[str, Any]) -> str:
    identity = "" if effect["identity"] is None else f" ({effect['identity']})"
    attempt = "" if effect["attempt"] == 1 else f", attempt {effect['attempt']}"
    name = f"{effect['kind']} {effect['target']}/{effect['operation']}{identity}"
    return f"{effect['side']} #{effect['position']} {name}{attempt}"
