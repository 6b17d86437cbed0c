"""Who has authority, and who gets the event, in each phase."""

from __future__ import annotations

import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase, decide


@pytest.mark.parametrize(
    ("phase", "legacy", "candidate", "sides"),
    [
        (Phase.LEGACY, "real", "none", ["legacy"]),  # nothing has begun
        (Phase.SHADOW, "real", "none", ["legacy", "candidate"]),  # both run, only legacy is believed
        (Phase.LIVE, "none", "real", ["candidate"]),  # switched
        (Phase.RETIRED, "none", "real", ["candidate"]),  # done
    ],
)
def test_a_phase_decides(phase: Phase, legacy: str, candidate: str, sides: list[str]) -> None:
    decision = decide("route", phase)
    assert (decision.of(Side.LEGACY), decision.of(Side.CANDIDATE)) == (legacy, candidate)
    assert [side.value for side in decision.sides] == sides


def test_exactly_one_side_has_authority_in_every_phase_that_decides() -> None:
    for phase in set(Phase) - {Phase.RAMP}:
        decision = decide("route", phase)
        assert sorted([decision.of(Side.LEGACY), decision.of(Side.CANDIDATE)]) == ["none", "real"]
        assert decision.authority in decision.sides


def test_a_ramp_decides_nothing_by_itself() -> None:
    with pytest.raises(ValueError, match="ramp"):
        decide("route", Phase.RAMP)
