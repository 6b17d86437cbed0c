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
        real = Runs.find

        async def find(self: Runs, *arguments: Any) -> KnownRun:
            run = await real(self, *arguments)
            return replace(run, authority="real") if run.id is not None else run

        stack.enter_context(patch.object(Runs, "find", find))
    elif kind is not None:
        raise ValueError(f"no sabotage {kind!r}; expected one of {', '.join(KINDS)}")
    return stack
