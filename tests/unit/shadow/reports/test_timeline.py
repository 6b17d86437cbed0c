"""Two ledgers side by side: every effect stands in exactly one step, whatever the explanation knows of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.reports.shapes import DifferenceView, EffectView, JudgedAnew, PairDetail, RunView
from shadow.reports.timeline import beside, timeline

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def effect(number: int, operation: str, after: float) -> EffectView:
    return EffectView(
        id=UUID(int=number),
        kind="http",
        target="bank",
        operation=operation,
        identity=None,
        idempotency_key=None,
        attempt=1,
        occurred_at=NOON + timedelta(seconds=after),
        received_at=NOON + timedelta(seconds=after),
        seen_by="gateway",
        attributed_by="headers",
        disposition=None,
        status=None,
        waited_ms=None,
        data={"n": number},
    )


def run(side: Side, *effects: EffectView, started: bool = True) -> RunView:
    return RunView.model_validate(
        {
            **dict.fromkeys(name for name in RunView.model_fields),
            "id": UUID(int=900 + len(side.value)),
            "task": "t",
            "side": side,
            "platform": "p",
            "authority": "none",
            "state": "finished",
            "started_at": NOON if started else None,
            "effects": effects,
        }
    )


def difference(path: str, sentence: str, kind: str = "effect.changed") -> DifferenceView:
    return DifferenceView(
        kind=kind,
        path=path,
        severity="critical",
        sentence=sentence,
        signature="s1-1",
        legacy=1,
        candidate=2,
        allowance=None,
    )


def pair(
    legacy: RunView | None,
    candidate: RunView | None,
    stages: dict[str, Any] | None,
    *differences: DifferenceView,
    extra: tuple[RunView, ...] = (),
) -> PairDetail:
    told = None
    if stages is not None:
        told = JudgedAnew(verdict="mismatch", reason=None, as_stored=True, differences=[], stages=stages)
    return PairDetail.model_validate(
        {
            **dict.fromkeys(PairDetail.model_fields),
            "id": UUID(int=1),
            "event_id": UUID(int=2),
            "task": "t",
            "state": "judged",
            "difference_count": len(differences),
            "accepted_at": NOON,
            "revision": 1,
            "deadline_at": NOON,
            "originals": "kept",
            "legacy": legacy,
            "candidate": candidate,
            "extra": extra,
            "differences": differences,
            "explanation": told,
        }
    )


def named(side: str, position: int, operation: str) -> dict[str, Any]:
    return {
        "side": side,
        "position": position,
        "kind": "http",
        "target": "bank",
        "operation": operation,
        "identity": None,
        "attempt": 1,
    }


def stages(**more: Any) -> dict[str, Any]:
    return {"paired": [], "missing": [], "surplus": [], "collapsed": [], "views": [], **more}


def both(legacy: int, candidate: int, operation: str, place: str, *, equal: bool) -> dict[str, Any]:
    return {
        "legacy": named("legacy", legacy, operation),
        "candidate": named("candidate", candidate, operation),
        "found_by": "content",
        "equal": equal,
        "place": place,
    }


def test_effects_that_answer_each_other_stand_in_one_step_with_what_differs() -> None:
    told = stages(
        paired=[both(0, 1, "POST /a", "$['a'][0]", equal=False), both(1, 0, "POST /b", "$['b'][0]", equal=True)],
        views=[{"place": "$['a'][0]", "text": "- 1\n+ 2"}],
    )
    found = pair(
        run(Side.LEGACY, effect(1, "POST /a", 1), effect(2, "POST /b", 2)),
        run(Side.CANDIDATE, effect(3, "POST /b", 1), effect(4, "POST /a", 2)),
        told,
        difference("$['a'][0]['amount']", "an amount differs"),
        difference("$['a'][01]", "this is of another place"),
        difference("$['output']", "the output differs"),
    )
    first, second = timeline(found)
    assert (first.mark, first.says, first.severity, first.view) == (
        "differs",
        ("an amount differs",),
        "critical",
        "- 1\n+ 2",
    )
    assert first.legacy is not None and first.candidate is not None
    assert (first.legacy.effect.id, first.candidate.effect.id) == (UUID(int=1), UUID(int=4))
    assert first.candidate.after == timedelta(seconds=2)
    assert (second.mark, second.says) == ("same", ())
    assert [one.sentence for one in beside(found, [first, second])] == [
        "this is of another place",
        "the output differs",
    ]


def test_what_only_one_side_did_stands_alone_where_it_was_done() -> None:
    told = stages(
        missing=[{**named("legacy", 0, "POST /a"), "place": "$['a'][0]"}],
        surplus=[{**named("candidate", 0, "POST /b"), "place": "$['b'][0]"}],
        collapsed=[
            {
                "effect": named("candidate", 1, "POST /b"),
                "instead": named("candidate", 0, "POST /b"),
                "reason": "done again",
            }
        ],
    )
    found = pair(
        run(Side.LEGACY, effect(1, "POST /a", 2)),
        run(Side.CANDIDATE, effect(2, "POST /b", 1), effect(3, "POST /b", 3)),
        told,
        difference("$['a'][0]", "it was never done", "effect.missing"),
    )
    steps = timeline(found)
    assert [step.mark for step in steps] == ["only_candidate", "only_legacy", "repeated"]
    assert [step.says for step in steps] == [(), ("it was never done",), ("done again",)]


def test_what_was_done_twice_is_told_of_the_second_only() -> None:
    place = "$['transfers']['request-2']"
    told = stages(
        paired=[both(0, 0, "POST /a", place, equal=True)],
        surplus=[{**named("candidate", position, "POST /a"), "place": place} for position in (1, 2)],
    )
    found = pair(
        run(Side.LEGACY, effect(1, "POST /a", 1)),
        run(Side.CANDIDATE, effect(2, "POST /a", 1), effect(3, "POST /a", 2), effect(4, "POST /a", 3)),
        told,
        difference(place, "three times; legacy once", "effect.duplicate"),
        difference(place, "three times; legacy once", "effect.duplicate"),
        difference(f"{place}['idempotency_key']", "without a key", "effect.key_dropped"),
    )
    said = [(step.mark, step.says) for step in timeline(found)]
    assert said == [
        ("differs", ("without a key",)),
        ("only_candidate", ("three times; legacy once",)),
        ("only_candidate", ("three times; legacy once",)),
    ]


def test_without_an_explanation_nothing_is_claimed() -> None:
    found = pair(run(Side.LEGACY, effect(1, "POST /a", 2)), run(Side.CANDIDATE, effect(2, "POST /a", 1)), None)
    assert [step.mark for step in timeline(found)] == ["unknown", "unknown"]
    assert timeline(pair(None, None, None)) == []


def test_an_explanation_of_other_evidence_is_not_believed() -> None:
    told = stages(paired=[both(0, 0, "POST /b", "$['b'][0]", equal=True)])
    found = pair(run(Side.LEGACY, effect(1, "POST /a", 2)), run(Side.CANDIDATE, effect(2, "POST /b", 1)), told)
    assert {step.mark for step in timeline(found)} == {"unknown"}
    told = stages(paired=[both(7, 0, "POST /a", "$['a'][0]", equal=True)])
    found = pair(run(Side.LEGACY, effect(1, "POST /a", 2)), run(Side.CANDIDATE, effect(2, "POST /a", 1)), told)
    assert {step.mark for step in timeline(found)} == {"unknown"}


def test_further_runs_of_a_side_are_part_of_its_ledger() -> None:
    again = run(Side.CANDIDATE, effect(3, "POST /a", 4), started=False)
    told = stages(
        paired=[both(0, 0, "POST /a", "$['a'][0]", equal=True)],
        surplus=[{**named("candidate", 1, "POST /a"), "place": "$['a'][1]"}],
    )
    found = pair(
        run(Side.LEGACY, effect(1, "POST /a", 1)), run(Side.CANDIDATE, effect(2, "POST /a", 1)), told, extra=(again,)
    )
    steps = timeline(found)
    assert [step.mark for step in steps] == ["same", "only_candidate"]
    assert steps[1].candidate is not None and steps[1].candidate.after is None
