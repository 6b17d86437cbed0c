"""Every way in which an event comes about, the authority of its runs, and the sides that get it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from shadow.catalogue.model import Origin, Side
from shadow.causes.authority import Cause, ParentAuthority, Purpose, has_twin, lineage_of, resent, waits_for_its_twin
from shadow.cutover.decision import Authority, Decision, Phase, Ramp, decide
from shadow.egress.outsiders import Replay, authority_of_outsider
from shadow.model.run_names import may_be, needs_proof

LEGACY, SHADOW, LIVE, RETIRED = Phase.LEGACY, Phase.SHADOW, Phase.LIVE, Phase.RETIRED
REAL, NONE, UNKNOWN = ParentAuthority.REAL, ParentAuthority.NONE, ParentAuthority.UNKNOWN
REPLAY, CANARY, TWICE = Purpose.REPLAY, Purpose.CANARY, Purpose.LEGACY_TWICE
PRODUCER, L, C = Origin.PRODUCER, Origin.LEGACY, Origin.CANDIDATE
BOTH, ONLY_L, ONLY_C = (Side.LEGACY, Side.CANDIDATE), (Side.LEGACY,), (Side.CANDIDATE,)


def ramp(authority: Side) -> Decision:
    """A route of which a share has moved."""
    return Decision("route", Phase.RAMP, authority, BOTH)


def live(origin: Origin, parent: ParentAuthority | None) -> Cause:
    return Cause(origin, parent)


# The child's cause, its own route's phase when it is accepted -> who has authority, which sides get it, whether it is
# bridged, whether the parent's twin emits its twin (it is paired).
CASES = [
    # What producers bring: the phase decides, as ever.
    (live(PRODUCER, None), LEGACY, "legacy", ONLY_L, False, False),  # nothing has begun
    (live(PRODUCER, None), SHADOW, "legacy", BOTH, False, False),  # paired through the event itself
    (live(PRODUCER, None), LIVE, "candidate", ONLY_C, False, False),  # switched
    (live(PRODUCER, None), RETIRED, "candidate", ONLY_C, False, False),  # done
    # Children of legacy runs with authority (parent in legacy or shadow).
    (live(L, REAL), LEGACY, "legacy", ONLY_L, False, False),  # as before Shadow; the candidate's twin is withheld
    (live(L, REAL), SHADOW, "legacy", ONLY_L, False, True),  # the candidate's twin emits its own: never mirrored
    (live(L, REAL), LIVE, "candidate", ONLY_C, True, False),  # across routes: the child's task has moved already
    (live(L, REAL), RETIRED, "candidate", ONLY_C, True, False),  # the same, and legacy's task is gone
    # Children of candidate runs without authority (parent in shadow).
    (live(C, NONE), LEGACY, None, (), False, False),  # the child's candidate is not contained: it must not run
    (live(C, NONE), SHADOW, None, ONLY_C, False, True),  # the twin of legacy's child
    (live(C, NONE), LIVE, None, ONLY_C, False, False),  # legacy's child, with authority, was bridged: this one is alone
    (live(C, NONE), RETIRED, None, ONLY_C, False, False),  # the same
    # Children of candidate runs with authority (parent live).
    (live(C, REAL), LEGACY, "legacy", ONLY_L, True, False),  # across routes: the child's task has not moved yet
    (live(C, REAL), SHADOW, "legacy", ONLY_L, True, False),  # bridged to legacy, not mirrored to the candidate
    (live(C, REAL), LIVE, "candidate", ONLY_C, False, True),  # both moved
    (live(C, REAL), RETIRED, "candidate", ONLY_C, False, False),  # legacy runs nothing of it any more
    # Reverse shadow: legacy runs without authority beside a live candidate.
    (live(L, NONE), LIVE, None, ONLY_L, False, True),  # the twin of the candidate's child
    (
        live(L, NONE),
        SHADOW,
        None,
        ONLY_L,
        False,
        False,
    ),  # the candidate's child was bridged here
    (live(L, NONE), LEGACY, None, ONLY_L, False, False),  # the same
    (live(L, NONE), RETIRED, None, (), False, False),  # legacy has ended
    # Nobody knows the run: real only where its side has the whole route to itself.
    (live(L, UNKNOWN), LEGACY, "legacy", ONLY_L, False, False),  # a cron's child, from before Shadow
    (live(L, UNKNOWN), SHADOW, "legacy", ONLY_L, False, False),  # all that legacy does there is real
    (live(L, UNKNOWN), LIVE, None, ONLY_L, False, False),  # it may be of a reverse shadow: not bridged, no authority
    (live(L, UNKNOWN), RETIRED, None, (), False, False),  # nor run at all
    (live(C, UNKNOWN), LEGACY, None, (), False, False),  # the candidate gets nothing
    (live(C, UNKNOWN), SHADOW, None, ONLY_C, False, False),  # all that the candidate does there is without authority
    (live(C, UNKNOWN), LIVE, "candidate", ONLY_C, False, False),  # all that it does there is real
    (live(C, UNKNOWN), RETIRED, "candidate", ONLY_C, False, False),  # the same
    # Repeated events: nobody has authority, whatever the phase, and the sides are those that were asked for.
    (Cause(PRODUCER, None, REPLAY, ONLY_C), LIVE, None, ONLY_C, False, False),  # not even a live candidate
    (Cause(PRODUCER, None, TWICE, ONLY_L), LEGACY, None, ONLY_L, False, False),  # legacy against legacy
    (Cause(PRODUCER, None, TWICE, ONLY_L), SHADOW, None, ONLY_L, False, False),  # the same, with legacy authoritative
    (Cause(PRODUCER, None, CANARY, ONLY_C), LEGACY, None, ONLY_C, False, False),  # before the first phase: a proof
    (Cause(PRODUCER, None, REPLAY, BOTH), SHADOW, None, BOTH, False, False),  # a dead letter re-sent after delivery
    # Children of repeated events: what their parents lack they lack as well, also where a parent claims otherwise.
    (Cause(L, NONE, TWICE), LEGACY, None, ONLY_L, False, False),  # no payout of the second legacy run is paid
    (Cause(L, REAL, TWICE), SHADOW, None, ONLY_L, False, True),  # a parent of such an event cannot be real
    (Cause(C, NONE, REPLAY), SHADOW, None, ONLY_C, False, True),  # a replay on both sides pairs its children
    (Cause(C, NONE, REPLAY), LIVE, None, ONLY_C, False, True),  # nothing is bridged: neither twin is real
    (Cause(C, NONE, CANARY), LEGACY, None, (), False, False),  # a canary runs its own task only
    (Cause(C, UNKNOWN, REPLAY), LIVE, None, ONLY_C, False, False),  # never real by being unknown
]


@pytest.mark.parametrize(("cause", "phase", "authority", "sides", "bridged", "paired"), CASES)
def test_a_cause_decides(
    cause: Cause, phase: Phase, authority: str | None, sides: tuple[Side, ...], bridged: bool, paired: bool
) -> None:
    decision = decide("route", phase)
    lineage = lineage_of(cause, decision)
    assert (lineage.authority, lineage.sides, lineage.bridged) == (authority, sides, bridged)
    assert has_twin(cause, decision) is paired


def test_only_a_child_without_authority_whose_twin_has_it_follows_its_twin() -> None:
    following = [
        (cause.origin, phase) for cause, phase, *_rest in CASES if waits_for_its_twin(cause, decide("route", phase))
    ]
    assert following == [(C, SHADOW), (L, LIVE)]


RAMPS = [
    # In a ramp the share that the root's key fell into decides; whose parent is unknown belongs to no share.
    (live(L, REAL), Side.LEGACY, "legacy", ONLY_L, True),  # not in the share yet
    (live(L, REAL), Side.CANDIDATE, "candidate", ONLY_C, False),  # in it: bridged
    (live(C, REAL), Side.CANDIDATE, "candidate", ONLY_C, True),  # in it
    (live(C, REAL), Side.LEGACY, "legacy", ONLY_L, False),  # not in it: bridged back
    (live(C, NONE), Side.CANDIDATE, None, ONLY_C, False),  # never gets any
    (live(L, UNKNOWN), Side.LEGACY, None, ONLY_L, False),  # legacy has not the whole route
    (live(C, UNKNOWN), Side.CANDIDATE, None, ONLY_C, False),  # nor has the candidate
]


@pytest.mark.parametrize(("cause", "share", "authority", "sides", "paired"), RAMPS)
def test_in_a_ramp_the_share_decides(
    cause: Cause, share: Side, authority: str | None, sides: tuple[Side, ...], paired: bool
) -> None:
    lineage = lineage_of(cause, ramp(share))
    assert (lineage.authority, lineage.sides) == (authority, sides)
    assert has_twin(cause, ramp(share)) is paired


MOVES = [
    # (the child's route when legacy's parent emits it, when the candidate's does) -> the sides with authority. Whatever
    # happens between the two, one run of the child has authority.
    (SHADOW, SHADOW, ONLY_L),  # no move
    (SHADOW, LIVE, ONLY_L),  # a move forward between them: legacy's child keeps what it has
    (LIVE, SHADOW, ONLY_C),  # and back: legacy's child was bridged while it held
    (LEGACY, SHADOW, ONLY_L),  # into the shadow
    (SHADOW, LEGACY, ONLY_L),  # and out of it: the candidate's child is withheld
]


@pytest.mark.parametrize(("of_legacy", "of_candidate", "real"), MOVES)
def test_a_move_in_the_middle_of_a_run_leaves_one_child_with_authority(
    of_legacy: Phase, of_candidate: Phase, real: tuple[Side, ...]
) -> None:
    told = [
        lineage_of(live(L, REAL), decide("route", of_legacy)),
        lineage_of(live(C, NONE), decide("route", of_candidate)),
    ]
    assert tuple(lineage.authority for lineage in told if lineage.authority) == real


def test_a_delayed_child_is_decided_when_it_is_emitted() -> None:
    """Days later, in whatever phase: the decision is stored with its event, and nothing asks again."""
    emitted = lineage_of(live(L, REAL), decide("route", SHADOW))
    assert emitted.authority is Side.LEGACY
    assert lineage_of(live(L, REAL), decide("route", LIVE)) != emitted  # which is why it must be stored


@pytest.mark.parametrize(
    ("by_person", "delivered", "keeps"),
    [
        (True, False, True),  # a person sends what never arrived
        (True, True, False),  # it had arrived: whatever it did is done
        (False, False, False),  # nobody looked at it
        (False, True, False),
    ],
)
def test_a_dead_letter_that_is_sent_again_seldom_has_authority(by_person: bool, delivered: bool, keeps: bool) -> None:
    assert resent(by_person=by_person, delivered=delivered) is keeps


def ulid(seconds: float) -> str:
    made_at = datetime(2026, 11, 26, tzinfo=UTC) + timedelta(seconds=seconds)
    return str(ULID(ULID.from_datetime(made_at).bytes[:6] + bytes(10)))  # the same in every test process


EVENT, FIRST, AGAIN = ulid(0), ulid(0.6), ulid(9)

RERUNS = [
    # (what the first run of the event is known as, the run that calls) -> whether it passes as the first, with its
    # authority, without its platform being asked.
    (None, FIRST, True),  # the first run, before anybody has named it
    (None, AGAIN, False),  # made well after its event: a rerun, or the event was kept back
    (FIRST, AGAIN, False),  # the first has its name: another run of the event, unknown
    (AGAIN, AGAIN, True),  # the platform has said that it is the first
    (None, None, True),  # a worker that says only which event it was
    (None, "run_1", True),  # legacy's names tell no time: the door that starts a run names it
]


@pytest.mark.parametrize(("known", "said", "passes"), RERUNS)
def test_a_rerun_does_not_pass_as_the_first_run(known: str | None, said: str | None, passes: bool) -> None:
    assert (may_be(known, said) and not needs_proof(known, said, EVENT)) is passes


OUTSIDERS = [
    # Legacy runs that nothing of ours started: (the runs above it, whether legacy has all of the route, whether a run
    # without authority is being replayed) -> its authority; None: not said yet, and so refused.
    ((), True, Replay.NO, "real"),  # a cron's, a dashboard's: as before Shadow
    ((), False, Replay.NO, "none"),  # the route has moved, or is divided
    (("real",), True, Replay.NO, "real"),  # started by a run with authority
    (("none",), True, Replay.NO, "none"),  # or without
    (("real", "none"), True, Replay.NO, "none"),  # any above it without
    ((), True, Replay.UNDER_WAY, None),  # the gateway meets it before the door that replays has its name
    ((), True, Replay.UNTOLD, "none"),  # and nobody ever learned whether it was that
    (("real",), False, Replay.UNDER_WAY, "none"),  # it has none in any case
]


@pytest.mark.parametrize("replay", Replay)
def test_a_run_made_from_one_that_was_contained_is_contained(replay: Replay) -> None:
    above: tuple[Authority, ...] = ("real",)
    assert authority_of_outsider(above=above, whole=True, replay=replay, contained=True) == "none"


@pytest.mark.parametrize(("above", "whole", "replay", "authority"), OUTSIDERS)
def test_a_run_from_outside_is_real_only_while_that_is_certain(
    above: tuple[Authority, ...], whole: bool, replay: Replay, authority: Authority | None
) -> None:
    assert authority_of_outsider(above=above, whole=whole, replay=replay) == authority


KEYS = st.one_of(st.none(), st.text(max_size=12))
ANY_RAMP = st.builds(Ramp, st.integers(0, 100), st.frozensets(KEYS.filter(bool), max_size=3))
ANY_ROUTE = st.tuples(st.sampled_from(Phase), ANY_RAMP, st.booleans())


def decided(route: tuple[Phase, Ramp, bool], key: str | None) -> Decision:
    phase, ramp, reverse = route
    return decide("route", phase, candidate=ramp.takes(key), reverse=reverse)


@given(KEYS, ANY_ROUTE, ANY_ROUTE)
def test_of_a_root_and_its_twins_exactly_one_child_has_authority(
    key: str | None, roots: tuple[Phase, Ramp, bool], childs: tuple[Phase, Ramp, bool]
) -> None:
    """Whatever phases the two routes are in: the child is done once, on the side that its own route's phase says."""
    root, child = decided(roots, key), decided(childs, key)
    parents = [(side, ParentAuthority(root.of(side))) for side in root.sides]
    children = [lineage_of(live(Origin(side.value), authority), child) for side, authority in parents]
    assert [one.authority for one in children if one.authority is not None] == [child.authority]
    assert all(one.authority in one.sides for one in children if one.authority is not None)


@given(KEYS, ANY_RAMP, st.booleans())
def test_children_of_a_root_stay_on_its_side_where_their_ramps_are_the_same(
    key: str | None, ramp: Ramp, reverse: bool
) -> None:
    decision = decided((Phase.RAMP, ramp, reverse), key)
    children = [lineage_of(live(Origin(side.value), ParentAuthority(decision.of(side))), decision) for side in Side]
    assert not any(one.bridged for one in children)


def test_what_feeds_no_task_stays_where_it_is() -> None:
    assert lineage_of(live(C, REAL), None).sides == ONLY_C
    assert lineage_of(live(C, REAL), None).authority is None
    assert lineage_of(live(PRODUCER, None), None).sides == ()


EVERYTHING = [
    (Cause(origin, parent, purpose, ONLY_C), phase)
    for origin, parent, purpose, phase in product(
        Origin, (*ParentAuthority, None), Purpose, (LEGACY, SHADOW, LIVE, RETIRED)
    )
]


def test_a_child_of_a_run_without_authority_never_has_any() -> None:
    for cause, phase in EVERYTHING:
        if cause.origin is not PRODUCER and cause.parent is NONE:
            assert lineage_of(cause, decide("route", phase)).authority is None


def test_only_live_events_have_authority() -> None:
    for cause, phase in EVERYTHING:
        if cause.purpose is not Purpose.LIVE:
            assert lineage_of(cause, decide("route", phase)).authority is None


def test_nothing_that_a_run_emitted_goes_to_both_sides() -> None:
    for cause, phase in EVERYTHING:
        if cause.origin is not PRODUCER:
            assert len(lineage_of(cause, decide("route", phase)).sides) <= 1


def test_authority_is_only_ever_that_of_the_childs_own_route() -> None:
    for cause, phase in EVERYTHING:
        decision = decide("route", phase)
        lineage = lineage_of(cause, decision)
        assert lineage.authority in (None, decision.authority)
        assert lineage.authority is None or lineage.authority in lineage.sides
