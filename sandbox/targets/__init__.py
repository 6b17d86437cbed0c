"""Pretend targets: the outside systems that the commerce tasks call, each keeping books of what it was asked.

The books are the witness: what a task says it did can be checked against what the targets saw.
"""

from __future__ import annotations

from sandbox.targets.application import Targets
from sandbox.targets.books import Books, Call
from sandbox.targets.conduct import Conduct

__all__ = ["Books", "Call", "Conduct", "Targets"]
