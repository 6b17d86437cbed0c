"""A run without authority starts when its twins have settled, or when patience is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadow.world.release import Step, TwinsKnown, next_step

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SETTLE = timedelta(seconds=5)
LATE = NOON + timedelta(minutes=15)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def known(*ended: float | None, effect: float | None = None) -> TwinsKnown:
    return TwinsKnown(
        finished_at=[None if one is None else at(one) for one in ended],
        last_effect_at=None if effect is None else at(effect),
        settle=SETTLE,
        late_at=LATE,
    )


@pytest.mark.parametrize(
    ("twins", "now", "step"),
    [
        # nobody has ended, or not all
        (known(None), 1, Step(LATE)),
        (known(1, None), 600, Step(LATE)),
        # all have ended, and settle
        (known(10), 12, Step(at(15))),
        (known(10, 20), 22, Step(at(25))),
        (known(10, effect=14), 16, Step(at(19))),
        # an effect before the end changes nothing
        (known(10, effect=3), 12, Step(at(15))),
        # settled
        (known(10), 15, Step()),
        (known(10, effect=14), 19, Step()),
        # patience is over
        (known(None), 900, Step(late=True)),
        (known(10, None), 2000, Step(late=True)),
        # it is over before they have settled
        (known(899), 899.5, Step(LATE)),
        (known(899), 900, Step(late=True)),
        # settled long ago is not late
        (known(10), 2000, Step()),
        # no twin
        (known(), 0, Step()),
    ],
)
def test_what_follows(twins: TwinsKnown, now: float, step: Step) -> None:
    assert next_step(twins, at(now)) == step


def test_only_a_step_without_a_next_look_releases() -> None:
    assert Step().release
    assert Step(late=True).release
    assert not Step(LATE).release
