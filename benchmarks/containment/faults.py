"""Faults in the gateway's own stages: exceptions before and after what a stage does, and pauses. Seeded."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import psycopg

from shadow.egress import gateway as gateway_module
from shadow.egress.gateway import Gateway

CURRENT: ContextVar[int] = ContextVar("call")
"""The call under way: what is started for it inherits this."""

_AWAY: tuple[Callable[[], Exception], ...] = (
    lambda: psycopg.OperationalError("injected"),
    lambda: TimeoutError("injected"),
    lambda: OSError("injected"),
)
"""For which the gateway takes the database to be away, for a second: few, or it would be so all the time."""
_ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("injected"),
    lambda: psycopg.DataError("injected"),
    lambda: ValueError("injected"),
    lambda: KeyError("injected"),
    lambda: AssertionError("injected"),
)
LONGEST_PAUSE = 0.05


class Faults:
    """Wraps stages of one gateway."""

    def __init__(self, seed: int, rate: float) -> None:
        """
        Args:
            rate: the share of passages through a stage that something happens to.
        """
        self._random = random.Random(f"faults:{seed}")
        self._rate = rate
        self.injected: Counter[str] = Counter()
        self.touched: set[int] = set()
        """Calls that something was done to."""
        self.active = True
        self._replaced: list[tuple[Any, str, Any]] = []

    def install(self, gateway: Gateway) -> None:
        """Wrap what a call passes through, from whose key it is to its answer written down."""
        self._sync(gateway.keys, "holder")
        for owner, name in (
            (gateway, "_understood"),
            (gateway, "_run"),
            (gateway, "_decided"),
            (gateway, "_forward"),
            (gateway.runs, "find"),
            (gateway.journal, "write"),
            (gateway._twins, "look"),
            (gateway.containing, "decide"),
            (gateway.containing, "answer"),
            (gateway._forwarding, "forward"),
        ):
            self._async(owner, name)
        for target in gateway._targets.values():
            self._async(target.upstream, "check")
            self._async(target.upstream, "send")
        self._sync(gateway_module, "permit")
        self._sync(gateway_module, "address")

    def remove(self) -> None:
        """Put back what belongs to no gateway: its module's functions."""
        for owner, name, real in self._replaced:
            setattr(owner, name, real)
        self._replaced.clear()

    def _strikes(self, stage: str) -> bool:
        if not self.active or self._random.random() >= self._rate:
            return False
        call = CURRENT.get(None)
        if call is None:
            return False
        self.touched.add(call)
        self.injected[stage] += 1
        return True

    def _error(self) -> Exception:
        return self._random.choice(_AWAY if self._random.random() < 0.05 else _ERRORS)()

    def _sync(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def faulty(*arguments: Any, **named: Any) -> Any:
            if self._strikes(name):
                raise self._error()
            return real(*arguments, **named)

        self._replaced.append((owner, name, real))
        setattr(owner, name, faulty)

    def _async(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        async def faulty(*arguments: Any, **named: Any) -> Any:
            if not self._strikes(name):
                return await real(*arguments, **named)
            way = self._random.random()
            if way < 0.25:
                await asyncio.sleep(self._random.uniform(0, LONGEST_PAUSE))
                return await real(*arguments, **named)
            if way < 0.6:
                raise self._error()
            done = await real(*arguments, **named)
            close = getattr(done, "aclose", None)
            if close is not None:
                await close()  # what was opened does not stay so for want of somebody to close it
            raise self._error()

        self._replaced.append((owner, name, real))
        setattr(owner, name, faulty)
