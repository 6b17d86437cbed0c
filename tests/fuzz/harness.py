"""What a fuzzer does: a name, what it is fed to begin with, and what it does with whatever bytes it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Attempt = Callable[[bytes], None]
"""Does something with bytes. Raises whatever it should not have: a refusal is a module's own exception, and caught."""


@dataclass(frozen=True, slots=True)
class Harness:
    """One thing that reads what comes from outside."""

    name: str
    attempt: Attempt
    seeds: Sequence[bytes]
    """What it is usually given: the fuzzer changes these."""
    words: Sequence[bytes] = ()
    """What it puts together, beside what it learns."""
