"""Properties of the judge that hold for all ledgers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from comparators import (
    JSON,
    VALUE_RULES,
    Case,
    Difference,
    Effect,
    EffectPattern,
    IdentityRule,
    IgnoreRule,
    Judgement,
    Ledger,
    OrderRule,
    Outcome,
    RatioRule,
    Rules,
    Severity,
    Verdict,
    canonical,
    comparators,
    judge,
)
from comparators.patch import patched
from comparators.path import parse
from comparators.signature import generalised
from tests.unit.comparators.ledgers import CANDIDATE_START, LEGACY_START, iso

FEW = settings(max_examples=60, deadline=None)

IDS = [f"0190d5f2-7c1a-7d3e-9b5f-00000000000{n}" for n in range(4)]
OTHER_IDS = [f"0190d5f6-aaaa-7bbb-8ccc-00000000000{n}" for n in (3, 1, 2, 0)]
TRANSLATED = dict(zip(IDS, OTHER_IDS, strict=True))
NAMES = ["amount", "to", "note", "jobId", "created_at", "items", "__x", "tenantId"]

scalars: st.SearchStrategy[JSON] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, 1e21])
    | st.sampled_from(["", "1", "a", "a@x.test", "Grüße", *IDS, f"job {IDS[0]}", iso(LEGACY_START + 1)])
)
values: st.SearchStrategy[JSON] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
effects = st.builds(
    Effect,
    kind=st.sampled_from(["http", "email"]),
    target=st.just("x"),
    operation=st.sampled_from(["send", f"PUT /jobs/{IDS[1]}"]),
    identity=st.sampled_from([None, None, "1", "2"]),
    data=values,
    attempt=st.integers(1, 2),
    idempotency_key=st.sampled_from([None, None, "k1"]),
)
outcomes = st.builds(
    Outcome,
    status=st.sampled_from(["completed", "completed", "failed"]),
    output=values,
    error_message=st.sampled_from([None, "boom", f"boom {IDS[2]}"]),
    started_at=st.just(LEGACY_START),
    finished_at=st.just(LEGACY_START + 3),
)
ledgers = st.builds(Ledger, outcomes, st.lists(effects, max_size=5).map(tuple))


def judged(legacy: Ledger, candidate: Ledger, rules: Rules | None = None) -> Judgement:
    return judge(legacy, candidate, rules or Rules(), task="t")


def translated(value: JSON) -> JSON:
    """The value with the ids and the clock of another run."""
    if isinstance(value, str):
        for mine, theirs in TRANSLATED.items():
            value = value.replace(mine, theirs)
        return value.replace(iso(LEGACY_START + 1), iso(CANDIDATE_START + 2))
    if isinstance(value, list):
        return [translated(item) for item in value]
    if isinstance(value, dict):
        # A recipient or tenant is the same for both.
        return {k: v if k in ("to", "tenantId", "amount") else translated(v) for k, v in value.items()}
    return value


def rerun(ledger: Ledger) -> Ledger:
    """The same ledger as another run of the same task would have written it."""
    return Ledger(
        replace(
            ledger.outcome,
            output=translated(ledger.outcome.output),
            error_message=ledger.outcome.error_message and str(translated(ledger.outcome.error_message)),
            started_at=CANDIDATE_START,
            finished_at=CANDIDATE_START + 3,
        ),
        tuple(replace(e, data=translated(e.data), operation=str(translated(e.operation))) for e in ledger.effects),
    )


def with_births(ledger: Ledger) -> Ledger:
    """The ledger of a run that began by creating all that it speaks of."""
    rows = Effect("sql", "x", "insert jobs", "births", {"rows": [{"id": identifier} for identifier in IDS]})
    return replace(ledger, effects=(rows, *ledger.effects))


def without_keys(ledger: Ledger) -> Ledger:
    """The ledger with nothing by which a provider could tell a repetition: then no attempt collapses."""
    return replace(ledger, effects=tuple(replace(effect, idempotency_key=None) for effect in ledger.effects))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Ledger, Ledger]:
    """A ledger, and one that has nothing to do with it or is a rerun of it in which little went wrong."""
    one = draw(ledgers)
    if draw(st.booleans()):
        return one, draw(ledgers)
    one = with_births(one)
    other = rerun(one)
    changed = list(other.effects)
    for _ in range(draw(st.integers(0, 2))):
        index = draw(st.integers(0, len(changed)))
        what = draw(st.sampled_from(["drop", "double", "change", "insert"]))
        if what == "insert" or index == len(changed):
            changed.insert(index, draw(effects))
        elif what == "drop":
            del changed[index]
        elif what == "double":
            changed.insert(index, changed[index])
        else:
            changed[index] = replace(changed[index], data=draw(values))
    return one, replace(other, effects=tuple(changed))


def has_no_protected_ids(value: JSON, within: bool = False) -> bool:
    """Whether no generated id stands both where ids are unified and where they never are."""
    if isinstance(value, dict):
        return all(has_no_protected_ids(v, within or k in ("to", "tenantId", "amount")) for k, v in value.items())
    if isinstance(value, list):
        return all(has_no_protected_ids(item, within) for item in value)
    return not within or not isinstance(value, str) or len(value) < 12


@FEW
@given(ledgers)
def test_a_ledger_matches_itself(ledger: Ledger) -> None:
    assert judged(ledger, ledger) == Judgement(Verdict.match)


@FEW
@given(ledgers, st.randoms(use_true_random=False))
def test_a_rerun_with_other_ids_another_clock_and_another_order_matches(ledger: Ledger, random: Random) -> None:
    values = [ledger.outcome.output, *(e.data for e in ledger.effects)]
    assume(all(has_no_protected_ids(value) for value in values))
    ledger = with_births(ledger)
    other = rerun(ledger)
    shuffled = list(other.effects)
    random.shuffle(shuffled)
    judgement = judged(ledger, replace(other, effects=tuple(shuffled)))
    assert [d.sentence for d in judgement.differences] == []
    assert judgement.verdict is Verdict.match


def mirrored(difference: Difference) -> tuple[str, str, bytes, bytes]:
    kind = difference.kind
    for old, new in (
        ("effect.missing", "effect.extra"),
        ("field_dropped", "field_added"),
        ("key_dropped", "key_added"),
    ):
        kind = kind.replace(old, new) if old in kind else kind.replace(new, old)
    return (
        kind,
        generalised(parse(difference.path)),
        canonical(difference.candidate),
        canonical(difference.legacy),
    )


def as_seen(difference: Difference) -> tuple[str, str, bytes, bytes]:
    # Doing an effect again is, seen from the other side, not doing it as often.
    kind = difference.kind.replace("effect.duplicate", "effect.extra")
    return (
        kind,
        generalised(parse(difference.path)),
        canonical(difference.legacy),
        canonical(difference.candidate),
    )


@FEW
@given(pairs())
def test_swapping_the_sides_mirrors_the_differences(pair: tuple[Ledger, Ledger]) -> None:
    one, other = pair
    forth, back = judged(one, other), judged(other, one)
    assert forth.verdict is back.verdict
    forth_seen = [replace(d, kind=d.kind.replace("effect.duplicate", "effect.extra")) for d in forth.differences]
    assert sorted(mirrored(d) for d in forth_seen) == sorted(as_seen(d) for d in back.differences)


@FEW
@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_independent_effects_changes_nothing(pair: tuple[Ledger, Ledger], random: Random) -> None:
    # Which of two attempts came first is no question of independent effects.
    one, other = (without_keys(ledger) for ledger in pair)

    def shuffled(ledger: Ledger) -> Ledger:
        mixed = list(ledger.effects)
        random.shuffle(mixed)
        return replace(ledger, effects=tuple(mixed))

    expected = judged(one, other)
    assert judged(one, shuffled(other)) == expected
    assert judged(shuffled(one), other) == expected


some_effects = ledgers.map(
    lambda ledger: ledger if ledger.effects else replace(ledger, effects=(Effect("sql", "x", "write", None, 1),))
)


@FEW
@given(some_effects, st.data())
def test_a_duplicated_effect_is_always_found(ledger: Ledger, data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(ledger.effects))
    if again.attempt > 1:
        # An earlier attempt's key would make the provider pass over it.
        again = replace(again, idempotency_key=None)
        ledger = replace(ledger, effects=(*ledger.effects, again))
    position = data.draw(st.integers(0, len(ledger.effects)))
    doubled = replace(ledger, effects=(*ledger.effects[:position], again, *ledger.effects[position:]))
    judgement = judged(ledger, doubled)
    assert [d.kind for d in judgement.differences] == ["effect.duplicate"]
    assert [d.kind for d in judged(rerun(doubled), ledger).differences if "effect.missing" in d.kind]


@FEW
@given(some_effects, st.data(), st.randoms(use_true_random=False))
def test_so_it_is_among_other_ids_in_another_order(ledger: Ledger, data: st.DataObject, random: Random) -> None:
    ledger = with_births(without_keys(ledger))
    assume(all(has_no_protected_ids(e.data) for e in ledger.effects) and has_no_protected_ids(ledger.outcome.output))
    again = data.draw(st.sampled_from(ledger.effects))
    doubled = list(rerun(replace(ledger, effects=(*ledger.effects, again))).effects)
    random.shuffle(doubled)
    candidate = replace(rerun(ledger), effects=tuple(doubled))
    assert [d.kind for d in judged(ledger, candidate).differences] == ["effect.duplicate"]


@FEW
@given(some_effects.map(without_keys), st.data())
def test_a_removed_effect_is_always_found(ledger: Ledger, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(ledger.effects) - 1))
    judgement = judged(ledger, replace(ledger, effects=ledger.effects[:index] + ledger.effects[index + 1 :]))
    assert [d.kind for d in judgement.differences] == ["effect.missing"]


ignore_rules = st.lists(
    st.builds(
        IgnoreRule,
        scope=st.sampled_from(["output", "effect"]),
        path=st.sampled_from(
            ["$.note", "$..jobId", "$..created_at", "$.items", "$.items[*]", "$.items[0]", "$[0].note"]
        ),
        reason=st.just("noise"),
    ),
    min_size=1,
    max_size=3,
)


@FEW
@given(pairs(), ignore_rules)
def test_an_ignore_rule_never_turns_a_match_into_a_mismatch(
    pair: tuple[Ledger, Ledger], rules: list[IgnoreRule]
) -> None:
    without = judged(*pair)
    fewer = judged(*pair, Rules(ignore=tuple(rules[1:])))
    more = judged(*pair, Rules(ignore=tuple(rules)))
    if without.verdict is Verdict.match:
        assert fewer.verdict is Verdict.match
    if fewer.verdict is Verdict.match:
        assert more.verdict is Verdict.match


@FEW
@given(pairs(), ignore_rules)
def test_no_ignore_rule_hides_a_difference_at_a_protected_path(
    pair: tuple[Ledger, Ledger], rules: list[IgnoreRule]
) -> None:
    ignoring = judged(*pair, Rules(ignore=tuple(rules))).differences
    for difference in judged(*pair).differences:
        if difference.kind.endswith(("changed", "dropped", "added")) and difference.severity is Severity.critical:
            assert any(
                (found.path.startswith(difference.path) or difference.path.startswith(found.path))
                and found.severity is Severity.critical
                for found in ignoring
            )


@FEW
@given(ledgers, st.sampled_from(["amount", "to", "tenantId"]))
def test_no_ignore_rule_hides_a_protected_value(ledger: Ledger, name: str) -> None:
    def with_effect(value: int) -> Ledger:
        data: JSON = {"note": {"items": [{name: value}]}}
        return replace(ledger, effects=(*ledger.effects, Effect("sql", "x", "write", "9", data)))

    rules = Rules(ignore=(IgnoreRule("effect", "$.note", "r"), IgnoreRule("effect", "$..items", "r")))
    judgement = judged(with_effect(1), with_effect(2), rules)
    assert [(d.kind, d.legacy, d.candidate) for d in judgement.differences] == [("effect.changed", 1, 2)]


@FEW
@given(values, values)
def test_two_outputs_match_exactly_when_they_are_canonically_equal(one: JSON, other: JSON) -> None:
    # Without clocks, and with all ids known, nothing corresponds but what is equal.
    legacy, candidate = Ledger(Outcome("completed", one)), Ledger(Outcome("completed", other))
    judgement = judge(legacy, candidate, Rules(), known=[*IDS, iso(LEGACY_START + 1)])
    assert (judgement.verdict is Verdict.match) == (canonical(one) == canonical(other))
    assert (judgement.verdict is Verdict.mismatch) == bool(judgement.differences)


@FEW
@given(ledgers, ledgers)
def test_differences_are_in_one_order_worst_first(one: Ledger, other: Ledger) -> None:
    differences = judged(one, other).differences
    assert list(differences) == sorted(differences, key=Difference.sort_key)
    severities = [d.severity for d in differences]
    assert severities == sorted(severities, reverse=True)


@FEW
@given(pairs())
def test_a_patch_turns_legacys_value_into_the_candidates(pair: tuple[Ledger, Ledger]) -> None:
    explanation = judge(*pair, Rules(), task="t", explain=True).explanation
    assert explanation is not None
    for view in explanation.views:
        assert canonical(patched(view.legacy, view.patch)) == canonical(view.candidate)
        assert view.patch != []


@FEW
@given(pairs())
def test_every_effect_is_paired_or_left_over_or_collapsed_exactly_once(pair: tuple[Ledger, Ledger]) -> None:
    explanation = judge(*pair, Rules(), task="t", explain=True).explanation
    assert explanation is not None
    named = [p.legacy for p in explanation.paired] + [p.candidate for p in explanation.paired]
    named += [*explanation.missing, *explanation.surplus, *(c.effect for c in explanation.collapsed)]
    for side, ledger in zip(("legacy", "candidate"), pair, strict=True):
        assert sorted(e.position for e in named if e.side == side) == list(range(len(ledger.effects)))


@FEW
@given(pairs())
def test_ids_are_unified_one_to_one(pair: tuple[Ledger, Ledger]) -> None:
    explanation = judge(*pair, Rules(), task="t", explain=True).explanation
    assert explanation is not None
    assert len({one.candidate for one in explanation.unified}) == len(explanation.unified)
    assert len({one.legacy for one in explanation.unified}) == len(explanation.unified)


RULES = [
    Rules(),
    Rules(identities=(IdentityRule(paths=("$.jobId", "$.tenantId")),)),
    Rules(ignore=(IgnoreRule("effect", "$.note", reason="noise"), IgnoreRule("output", "$.jobId", reason="noise"))),
    Rules(
        values=(
            VALUE_RULES["presence"]("effect", "$.note", reason="it is there"),
            VALUE_RULES["pattern"]("output", "$.note", reason="a word", regex="[a-z]+"),  # type: ignore[call-arg]
            VALUE_RULES["number"]("effect", "$.items[*]", absolute=1.0),  # type: ignore[call-arg]
        )
    ),
    Rules(values=(VALUE_RULES["set"]("effect", "$.items"), VALUE_RULES["exact"]("output", "$.created_at"))),
    Rules(before=(OrderRule(EffectPattern(operation="send"), EffectPattern(operation="PUT*")),)),
    Rules(latency=RatioRule(1.0), cost=RatioRule(1.0), attempts=True),
    Rules(output=False),
]
rules = st.sampled_from(RULES)


@given(ledgers, rules, values, st.sampled_from([None, "changed"]))
@FEW
def test_equal_ledgers_are_judged_as_if_they_had_been_looked_through(
    ledger: Ledger, rules: Rules, known: JSON, reason: str | None
) -> None:
    """Duplicates, order, ids and every rule included: what is the same on both sides can make no difference."""
    case = Case.of(ledger, deepcopy(ledger), rules, task="t", known=known, inherited={})
    assert [difference for comparator in comparators() for difference in comparator(case)] == []
    judgement = judge(ledger, deepcopy(ledger), rules, task="t", known=known, reason=reason)
    assert judgement == judge(ledger, ledger, rules, task="t", known=known, reason=reason)
    if all(effect.attempt == 1 for effect in ledger.effects):
        assert judgement.uses == tuple(replace(use, hid=0) for use in case.uses)


@given(pairs(), rules, values)
@FEW
def test_that_both_ledgers_hold_the_very_same_values_changes_no_judgement(
    pair: tuple[Ledger, Ledger], rules: Rules, known: JSON
) -> None:
    """As the judge hands them over what was stored in the same bytes."""
    shared: dict[bytes, JSON] = {}

    def sharing(ledger: Ledger) -> Ledger:
        def one(value: JSON) -> JSON:
            return shared.setdefault(canonical(value), value)

        effects = (replace(effect, data=one(effect.data)) for effect in ledger.effects)
        return Ledger(replace(ledger.outcome, output=one(ledger.outcome.output)), tuple(effects))

    before = canonical([[effect.data for effect in ledger.effects] for ledger in pair])
    legacy, candidate = deepcopy(pair)
    apart = judge(legacy, candidate, rules, task="t", known=known)
    assert judge(sharing(pair[0]), sharing(pair[1]), rules, task="t", known=known) == apart
    assert canonical([[effect.data for effect in ledger.effects] for ledger in pair]) == before
