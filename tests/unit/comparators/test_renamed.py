"""Pairs that differ by ids and moments alone are judged without a case, and exactly as the case would have it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators import (
    JSON,
    Effect,
    EffectPattern,
    IdentityRule,
    IgnoreRule,
    Judgement,
    Ledger,
    OrderRule,
    Rules,
    judge,
)
from comparators.renamed import uses_in_renamed
from tests.unit.comparators.ledgers import CANDIDATE_START, LEGACY_START, completed, effect, iso, payout_ledger

MINE = ["0190d5f2-7c1a-7d3e-9b5f-000000000001", "tr_4f9a81c2d3e4b5a6", "01JMZZ5K3Q4V5W6X7Y8Z9A0B1C"]
THEIRS = ["0190d5f6-aaaa-7bbb-8ccc-000000000002", "tr_aa11bb22cc33dd44", "01JMZZ9A8B7C6D5E4F3G2H1J0K"]
SHARED = "0190d5f2-7c1a-7d3e-9b5f-00000000000f"
NAMES = ["id", "reference", "note", "customerId", "amount", "to", "created_at", "html", "url", "lines", "status"]
OPERATIONS = ["POST /v1/transfers", "insert payouts", "update payouts", "send", f"PUT /v1/jobs/{SHARED}", "upsert x"]
RULES = [
    Rules(),
    Rules(output=False),
    Rules(identities=(IdentityRule(kind="*", target="*", paths=("$.id",)),)),
    Rules(identities=(IdentityRule(kind="sql", target="*", paths=("$.note", "$.status")),)),
    Rules(ignore=(IgnoreRule(scope="effect", path="$.note", reason="noise"),)),
    Rules(ignore=(IgnoreRule(scope="output", path="$.id", reason="noise"),)),
    Rules(before=(OrderRule(EffectPattern("http", "*", "*"), EffectPattern("sql", "*", "*")),)),
]


def judged(legacy: Ledger, candidate: Ledger, rules: Rules, known: JSON) -> tuple[Judgement | str, Judgement | str]:
    """What is said of a pair with the case alone, and as it is said."""

    def said() -> Judgement | str:
        try:
            return judge(legacy, candidate, rules, task="t", known=known)
        except (TypeError, ValueError) as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(import_module("comparators.judge"), "uses_in_renamed", lambda *_, **__: None)
        by_case = said()
    return by_case, said()


def texts(random: Random) -> str:
    token = random.choice([*MINE, *MINE, SHARED, iso(LEGACY_START + random.choice([1, 1, 86_400]))])
    spelled = [quote(token, safe=""), token.replace("-", "%2D"), token.upper()]
    within = [
        f"job {token}",
        f"{token} and {random.choice(MINE)}",
        f"<p>Job <b>{token}</b></p>",
        f"https://x.test/{token}",
    ]
    return random.choice([token, token, token, *spelled, *within, "paid", "7"])


def value(random: Random, depth: int = 0) -> JSON:
    roll = random.random()
    if depth < 3 and roll < 0.25:
        return {name: value(random, depth + 1) for name in random.sample(NAMES, random.randint(0, 3))}
    if depth < 3 and roll < 0.35:
        return [value(random, depth + 1) for _ in range(random.randint(0, 4))]
    scalars: list[JSON] = [None, True, 1, 0, 1.0, 0.5, 12, 503, int(LEGACY_START) + 1, (LEGACY_START + 2) * 1000]
    return texts(random) if roll < 0.85 else random.choice(scalars)


def one_effect(random: Random, place: int) -> Effect:
    kind = random.choice(["http", "sql", "sql", "email", "state", "event", "custom"])
    data: JSON = {name: value(random, 1) for name in random.sample(NAMES, random.randint(0, 4))}
    if kind == "http" and random.random() < 0.7:
        data = {"method": "post", "path": "/v1", "content_type": "application/json", "body": data, "status": 200}
    answers: list[JSON] = [*[None] * 8, {}, {"id": SHARED}, {"id": random.choice(MINE)}]
    return Effect(
        kind,
        random.choice(["x", "y"]),
        random.choice(OPERATIONS),
        random.choice([None, f"p/{place}", f"p/{place}", str(place), "same", random.choice(MINE)]),
        data,
        attempt=random.choice([1, 1, 1, 1, 1, 1, 1, 2]),
        idempotency_key=random.choice([None, None, None, "k1"]),
        reads=random.random() < 0.1,
        at=random.choice([None, 0.1 * place, 0.5]),
        answer=random.choice(answers),
    )


def other_side(random: Random, told: JSON) -> JSON:
    """What the candidate says in legacy's place: with ids and moments of its own, and now and then something else."""
    if isinstance(told, dict):
        return {name: other_side(random, member) for name, member in told.items()}
    if isinstance(told, list):
        return [other_side(random, item) for item in told]
    if random.random() < 0.02:
        return random.choice([value(random, 3), random.choice(MINE), random.choice(THEIRS)])
    if isinstance(told, str):
        for mine, theirs in zip(MINE, THEIRS, strict=True):
            for spelled in (str, str.upper):
                told = told.replace(spelled(mine), spelled(theirs))
                told = told.replace(spelled(mine).replace("-", "%2D"), spelled(theirs).replace("-", "%2D"))
        for seconds in (1, 86_400):
            told = told.replace(iso(LEGACY_START + seconds), iso(CANDIDATE_START + seconds))
        return told
    if type(told) in (int, float) and isinstance(told, int | float) and told > 1e9:
        return told + (CANDIDATE_START - LEGACY_START) * (1 if told < 1e11 else 1000)
    return told


def pair(random: Random) -> tuple[Ledger, Ledger, JSON]:
    """A run, and one that did nearly the same with ids of its own."""
    born = effect("sql", "db", "insert rows", {"id": MINE[0], "rows": [{"id": one} for one in MINE]}, "births")
    effects = [one_effect(random, place) for place in range(random.randint(0, 4))]
    effects = [born, *effects] if random.random() < 0.7 else effects
    legacy = Ledger(completed(value(random), LEGACY_START), tuple(effects))
    others = [
        # Much of what both did is the very same.
        one if random.random() < 0.4 else replace(one, data=other_side(random, one.data))
        for one in effects
    ]
    if random.random() < 0.2:
        random.shuffle(others)
    if others and random.random() < 0.1:
        others[0] = replace(others[0], idempotency_key="k2", reads=not others[0].reads)
    output = legacy.outcome.output
    candidate = Ledger(
        completed(output if random.random() < 0.4 else other_side(random, output), CANDIDATE_START), tuple(others)
    )
    events: list[JSON] = [None, {"order": "12"}, {"order": "12"}, {"id": random.choice([*MINE, SHARED])}]
    return legacy, candidate, random.choice(events)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from(RULES))
def test_it_is_judged_as_the_case_would_have_it(seed: int, rules: Rules) -> None:
    legacy, candidate, known = pair(Random(seed))
    by_case, said = judged(legacy, candidate, rules, known)
    assert said == by_case


def plainly(legacy: Ledger, candidate: Ledger, known: JSON = None, rules: Rules | None = None) -> bool:
    """Whether it is told without a case that the two are the same."""
    return uses_in_renamed(legacy, candidate, rules or Rules(), known=known, inherited={}) is not None


def payouts() -> tuple[Ledger, Ledger]:
    """One payout, made by each side with ids and a clock of its own."""
    mine = payout_ledger()
    theirs = payout_ledger(
        start=CANDIDATE_START,
        transfer="tr_aa11bb22cc33dd44",
        row="0190d5f6-aaaa-7bbb-8ccc-1a2b3c4d5e6f",
        run="run_cm2x9k4p10002xyz7qrs",
    )
    return mine, theirs


def of_one(data: JSON, output: JSON = None, more: tuple[Effect, ...] = (), operation: str = "insert rows") -> Ledger:
    return Ledger(completed(output), (effect("sql", "db", operation, data, "row/1"), *more))


def test_ids_that_were_born_as_keys_of_what_was_created_need_no_case() -> None:
    mine, theirs = of_one({"id": MINE[0]}, {"row": MINE[0]}), of_one({"id": THEIRS[0]}, {"row": THEIRS[0]})
    assert plainly(mine, theirs)
    assert plainly(mine, theirs, known={"order": "12"})


def test_an_id_that_the_event_knew_is_left_to_the_case() -> None:
    mine, theirs = of_one({"id": MINE[0]}), of_one({"id": THEIRS[0]})
    assert not plainly(mine, theirs, known={"of": MINE[0]})
    assert not plainly(mine, theirs, known={"of": f"from {THEIRS[0]}"})


def test_an_id_that_an_answer_told_is_left_to_the_case() -> None:
    answered = (Effect("http", "x", "GET /rows", None, {}, reads=True, answer={"id": MINE[0]}),)
    assert not plainly(of_one({"id": MINE[0]}, more=answered), of_one({"id": THEIRS[0]}, more=answered))


def test_an_id_that_the_other_side_says_too_is_left_to_the_case() -> None:
    same = (effect("email", "mail", "send", {"text": f"See {MINE[0]}"}),)
    assert not plainly(of_one({"id": MINE[0]}, more=same), of_one({"id": THEIRS[0]}, more=same))
    escaped = (
        effect("http", "x", "GET /", {"method": "GET", "url": f"https://x.test/{quote(MINE[0]).replace('-', '%2D')}"}),
    )
    assert not plainly(of_one({"id": MINE[0]}, more=escaped), of_one({"id": THEIRS[0]}, more=escaped))


def test_ids_that_do_not_map_one_to_one_are_left_to_the_case() -> None:
    assert not plainly(of_one({"id": MINE[0], "of": MINE[0]}), of_one({"id": THEIRS[0], "of": MINE[0][:-1] + "7"}))
    twice = of_one({"id": THEIRS[0], "uuid": THEIRS[0]})
    assert not plainly(of_one({"id": MINE[0], "uuid": MINE[0][:-1] + "8"}), twice)


def test_more_ids_than_are_looked_for_fast_are_left_to_the_case() -> None:
    """Each is looked for in all that both sides said: of a long run that takes the square of its length."""

    def run(digit: str, rows: int) -> Ledger:
        return of_one({"rows": [{"id": f"{digit}190d5f2-7c1a-7d3e-9b5f-{row:012}"} for row in range(rows)]})

    assert plainly(run("0", 500), run("1", 500))
    assert not plainly(run("0", 5_000), run("1", 5_000))


def test_an_id_that_names_an_entity_alone_is_left_to_the_case() -> None:
    assert not plainly(of_one({"customerId": MINE[0]}), of_one({"customerId": THEIRS[0]}))


def test_what_is_protected_is_left_to_the_case() -> None:
    mine, theirs = of_one({"id": MINE[0], "to": MINE[0]}), of_one({"id": THEIRS[0], "to": THEIRS[0]})
    assert not plainly(mine, theirs)


def test_moments_of_the_runs_clocks_need_no_case_and_others_do() -> None:
    mine = of_one({"id": MINE[0], "at": iso(LEGACY_START + 1), "seen_at": int(LEGACY_START) + 1})
    theirs = of_one({"id": THEIRS[0], "at": iso(CANDIDATE_START + 1), "seen_at": int(CANDIDATE_START) + 1})
    theirs = replace(theirs, outcome=completed(None, CANDIDATE_START))
    assert plainly(mine, theirs)
    assert not plainly(mine, theirs, known={"at": iso(LEGACY_START + 1)})


def test_rules_have_done_as_much_as_in_the_case() -> None:
    rules = Rules(
        identities=(IdentityRule(kind="sql", target="*", paths=("$.status",)),),
        ignore=(IgnoreRule(scope="effect", path="$.note", kind="email", reason="noise"),),
        before=(OrderRule(EffectPattern("sql", "*", "*"), EffectPattern("email", "*", "*")),),
    )

    def run(identifier: str) -> Ledger:
        row = Effect("sql", "db", "insert rows", None, {"id": identifier, "status": "paid"})
        return Ledger(completed(), (row, effect("email", "mail", "send", {"note": "n", "subject": "s"})))

    mine, theirs = run(MINE[0]), run(THEIRS[0])
    theirs = replace(theirs, effects=(theirs.effects[0], replace(theirs.effects[1], data=mine.effects[1].data)))
    by_case, said = judged(mine, theirs, rules, None)
    assert said == by_case
    assert plainly(mine, theirs, rules=rules)
    assert isinstance(said, Judgement)
    assert len(said.uses) == 3


def test_most_of_what_a_task_does_with_ids_of_its_own_is_told_at_once() -> None:
    mine, theirs = payouts()
    by_case, said = judged(mine, theirs, Rules(), {"requestId": "req-77"})
    assert said == by_case


def test_half_of_the_pairs_that_match_are_told_at_once() -> None:
    """The property above says nothing where everything is left to the case."""
    told = 0
    for seed in range(300):
        legacy, candidate, known = pair(Random(seed))
        told += legacy != candidate and plainly(legacy, candidate, known)
    assert told >= 15
