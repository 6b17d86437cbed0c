"""The authority of a legacy run that nothing of ours started: a pure function of what is known of it."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

from shadow.cutover.decision import Authority


class Replay(Enum):
    """Whether it may be another run of one without authority."""

    NO = auto()
    UNDER_WAY = auto()
    """A door has asked the platform for one at this moment: its name comes with the answer."""
    UNTOLD = auto()
    """One was asked for when it was made, and nobody has learned its name."""


def authority_of_outsider(
    *, above: Collection[Authority], whole: bool, replay: Replay, contained: bool = False
) -> Authority | None:
    """What it may: real only while legacy has all of the route to itself, and nothing speaks against it. None while it
    can't be said yet.

    Args:
        above: of the runs that caused it, those that are known.
        whole: whether legacy has authority for all of its task's route.
        contained: whether it bears the tag of runs without authority, as one does that was made from such a run.
    """
    if contained or "none" in above or not whole or replay is Replay.UNTOLD:
        return "none"
    return None if replay is Replay.UNDER_WAY else "real"
