"""Fail points: named moments between two things that a process does, at which a test can have it die.

`SHADOW_FAIL_POINT=intake.committed` kills the process, as `kill -9` would, when it first gets there;
`intake.committed:3` when it gets there for the third time. Unset, as it is for everybody but tests, reaching a point is
a look at one global.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

VARIABLE = "SHADOW_FAIL_POINT"

POINTS: Mapping[str, str] = {
    "intake.committed": "events are on disk; nobody who brought them has been told",
    "webhook.forwarded": "the app has answered a webhook that the door passed on; the answer is not written down",
    "trigger.intended": "the intent of a call to Trigger.dev is on disk; the call is not forwarded",
    "trigger.forwarded": "Trigger.dev has answered a call; its answer is not written down",
    "trigger.answered": "a producer has got Trigger.dev's answer; it is not written down",
    "trigger.settled": "Trigger.dev's answer is written down; a worker that made the call has not got it",
    "fanout.claimed": "dispatches are leased; nothing has been sent",
    "fanout.delivered": "a platform has taken dispatches; the result is not written down",
    "fanout.written_back": "results of deliveries are written down",
    "world.released": "a sequenced dispatch has been let go; its workers have not been woken",
    "outcomes.recorded": "outcomes are written down; what follows from them is not",
    "effects.stored": "reported effects are on disk; the worker has not been told",
    "egress.intended": "a write through the gateway is on disk; it has not left",
    "egress.forwarded": "a target has answered; its answer is not written down",
    "egress.answered": "a target's answer is written down; the worker has not got it",
    "judge.claimed": "pairs are leased; none is judged",
    "judge.written": "verdicts are written down; what follows from them is not",
    "gate.counted": "pairs are counted; the gates have not been looked at",
    "notices.fanned": "deliveries of notices are on disk; none is sent",
    "notices.sent": "a channel has taken a notice; that is not written down",
    "moves.writing": "a move is written in a transaction that has not ended",
    "moves.written": "a route has been moved; what follows from it is not done",
    "replays.repeated": "one event of a replay is on disk; its other events are not",
    "replays.started": "a replay's events are on disk; whoever asked has not been told",
    "ticks.recording": "ticks are written in a transaction that has not ended",
    "ticks.recorded": "ticks are on disk as events; the loop has not gone on",
    "spool.appended": "an item is on the local disk; nobody has been told",
    "spool.replayed": "a spooled item is in the database; it is still in the spool as well",
}
"""By name, the moment. Each is reached somewhere, and described in docs/reference/fail-points.md."""


class _Armed:
    """The one point at which this process dies."""

    def __init__(self, given: str) -> None:
        """
        Args:
            given: the value of the variable.

        Raises:
            ValueError: there is no such point, or the number is none.
        """
        self.name, _, times = given.partition(":")
        if self.name not in POINTS:
            raise ValueError(f"{VARIABLE}: there is no fail point {self.name!r}")
        if times and not (times.isascii() and times.isdigit() and int(times)):
            raise ValueError(f"{VARIABLE}: {times!r} is not how often a point is reached")
        self._left = int(times or 1)

    def reached(self) -> bool:
        """Whether this was the time to die at."""
        self._left -= 1
        return self._left == 0


_armed: _Armed | None = _Armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def reach(name: str) -> None:
    """Say that this moment has come; the process may end here, without any clean-up."""
    if _armed is not None and _armed.name == name and _armed.reached():
        os.kill(os.getpid(), signal.SIGKILL)
