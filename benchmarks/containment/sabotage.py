"""Breaking the gateway on purpose: a benchmark that can't find a leak shows nothing by finding none."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from shadow.egress import containing, gateway
from shadow.egress.disposition import Disposition
from shadow.egress.runs import KnownRun, Runs
from shadow.egress.upstream import Permit

KINDS = ("disposition", "authority")
"""`disposition`: everything is forwarded. `authority`: every known run is taken for one with authority."""


def sabotaged(kind: str | None) -> AbstractContextManager[Any]:
    """While the block lasts, the gateway is broken in that way."""
    stack = ExitStack()
    if kind == "disposition":
        stack.enter_context(patch.object(containing, "decide", lambda *_: Disposition.FORWARD))
        stack.enter_context(patch.object(gateway, "permit", lambda _d, _a, effect, _r: Permit("real", effect)))
    elif kind == "authority":
        find, last_known = Runs.find, Runs.last_known

        async def found(self: Runs, *arguments: Any) -> KnownRun:
            return _real(await find(self, *arguments))

        async def known(self: Runs, *arguments: Any, **named: Any) -> KnownRun | None:
            run = await last_known(self, *arguments, **named)
            return None if run is None else _real(run)

        stack.enter_context(patch.object(Runs, "find", found))
        # What is known of a run while the database is thought to be away, as faults of the bench have it.
        stack.enter_context(patch.object(Runs, "last_known", known))
    elif kind is not None:
        raise ValueError(f"no sabotage {kind!r}; expected one of {', '.join(KINDS)}")
    return stack


def _real(run: KnownRun) -> KnownRun:
    return replace(run, authority="real") if run.id is not None else run
