"""Every combination of what a disposition rests on, against what must hold of each."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from shadow.cutover.decision import Authority
from shadow.egress.disposition import CallEffect, Disposition, Knowledge, ReadsPolicy, decide
from shadow.egress.upstream import NotPermitted, permit

AUTHORITIES: tuple[Authority | None, ...] = (*get_args(Authority), None)
COMBINATIONS = list(product(AUTHORITIES, CallEffect, Knowledge, get_args(ReadsPolicy), (True, False)))

READ, WRITE = CallEffect.READ, CallEffect.WRITE


def test_all_combinations_are_looked_at() -> None:
    assert len(COMBINATIONS) == 3 * 2 * 5 * 2 * 2


@pytest.mark.parametrize(("authority", "effect", "knowledge", "reads", "has_stub"), COMBINATIONS)
def test_what_holds_of_every_combination(
    authority: Authority | None, effect: CallEffect, knowledge: Knowledge, reads: ReadsPolicy, has_stub: bool
) -> None:
    found = decide(authority, effect, knowledge, reads, has_stub)

    # What may leave: everything of a run with authority, and reads where the task says so. Nothing else.
    may_leave = authority == "real" or (authority == "none" and effect is READ and reads == "forward")
    if found is Disposition.FORWARD:
        assert may_leave
        assert permit(found, authority, effect, reads).effect is effect
    else:
        with pytest.raises(NotPermitted):
            permit(found, authority, effect, reads)

    # A run with authority is never held, answered or refused by the gateway.
    assert (authority == "real") <= (found is Disposition.FORWARD)
    # Nobody's call gets nothing.
    assert (authority is None) <= (found is Disposition.REFUSE)
    # An answer is replayed only where there is one, and wherever there is one for this very call.
    replayable = {Knowledge.ANSWERED, Knowledge.FIRST_ONLY}
    assert (found is Disposition.REPLAY) <= (knowledge in replayable)
    assert (authority == "none" and knowledge is Knowledge.ANSWERED) <= (found is Disposition.REPLAY)
    # A stub is given only where one is declared, and rather than a refusal.
    assert (found is Disposition.STUB) <= has_stub
    assert (found is Disposition.REFUSE and authority == "none") <= (not has_stub)
    # The twin is waited for only while it may still say something, and never for what may leave.
    assert (found is Disposition.WAIT) == (authority == "none" and knowledge is Knowledge.PENDING and not may_leave)


TABLE = [
    # authority, effect, knowledge, reads, stub -> disposition
    ("real", WRITE, Knowledge.NONE, "replay", False, Disposition.FORWARD),
    ("real", READ, Knowledge.ANSWERED, "replay", True, Disposition.FORWARD),
    ("none", WRITE, Knowledge.ANSWERED, "forward", True, Disposition.REPLAY),
    ("none", WRITE, Knowledge.PENDING, "forward", True, Disposition.WAIT),
    ("none", WRITE, Knowledge.FIRST_ONLY, "replay", True, Disposition.REPLAY),
    ("none", WRITE, Knowledge.SETTLED_WITHOUT, "forward", True, Disposition.STUB),
    ("none", WRITE, Knowledge.SETTLED_WITHOUT, "forward", False, Disposition.REFUSE),
    ("none", WRITE, Knowledge.NONE, "forward", False, Disposition.REFUSE),
    ("none", READ, Knowledge.ANSWERED, "forward", False, Disposition.REPLAY),
    ("none", READ, Knowledge.SETTLED_WITHOUT, "forward", False, Disposition.FORWARD),
    ("none", READ, Knowledge.PENDING, "forward", False, Disposition.FORWARD),
    ("none", READ, Knowledge.PENDING, "replay", False, Disposition.WAIT),
    ("none", READ, Knowledge.SETTLED_WITHOUT, "replay", True, Disposition.STUB),
    ("none", READ, Knowledge.SETTLED_WITHOUT, "replay", False, Disposition.REFUSE),
    (None, READ, Knowledge.ANSWERED, "forward", True, Disposition.REFUSE),
]


@pytest.mark.parametrize(("authority", "effect", "knowledge", "reads", "has_stub", "expected"), TABLE)
def test_the_table(
    authority: Authority | None,
    effect: CallEffect,
    knowledge: Knowledge,
    reads: ReadsPolicy,
    has_stub: bool,
    expected: Disposition,
) -> None:
    assert decide(authority, effect, knowledge, reads, has_stub) is expected
