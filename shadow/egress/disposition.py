"""What becomes of a call: a pure function of whose it is, what it does and what is known of the twin.

Everything that isn't plainly allowed is refused. Only a run whose authority is `real` ever writes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from shadow.cutover.decision import Authority

ReadsPolicy = Literal["replay", "forward"]


class CallEffect(StrEnum):
    """What an operation does at its target."""

    READ = "read"
    WRITE = "write"


class Knowledge(StrEnum):
    """What is known of the twin's counterpart of a call."""

    NONE = "none"
    """There is no twin, or nothing can be learned of it any more: it was waited for long enough."""
    PENDING = "pending"
    """The twin may still make that call, or has made it and waits for the answer."""
    ANSWERED = "answered"
    """The twin made it and its answer is recorded."""
    SETTLED_WITHOUT = "settled_without"
    """The twin has ended and never made it, or no answer of it was kept."""
    FIRST_ONLY = "first_only"
    """The twin has ended and made it less often; there is the answer to another occurrence."""


class Disposition(StrEnum):
    """What becomes of a call."""

    FORWARD = "forward"
    """It goes to the target."""
    REPLAY = "replay"
    """It gets the answer that the twin got."""
    STUB = "stub"
    """It gets the declared answer."""
    REFUSE = "refuse"
    """It gets a refusal."""
    WAIT = "wait"
    """Not decided yet: the twin is waited for."""


def decide(
    authority: Authority | None,
    effect: CallEffect,
    knowledge: Knowledge,
    reads: ReadsPolicy,
    has_stub: bool,
) -> Disposition:
    """The disposition of one call.

    Args:
        authority: of the run that makes it; None when it is nobody's.
        effect: of the operation.
        knowledge: of the twin's counterpart.
        reads: what the run's task says of reads without authority.
        has_stub: whether an answer is declared.
    """
    if authority == "real":
        return Disposition.FORWARD
    if authority != "none":
        return Disposition.REFUSE
    if knowledge is Knowledge.ANSWERED:
        return Disposition.REPLAY
    if effect is CallEffect.READ and reads == "forward":
        return Disposition.FORWARD
    if knowledge is Knowledge.PENDING:
        return Disposition.WAIT
    if knowledge is Knowledge.FIRST_ONLY:
        return Disposition.REPLAY
    return Disposition.STUB if has_stub else Disposition.REFUSE
