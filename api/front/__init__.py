"""The front listener: the doors of producers, and what platforms and workers report."""

from __future__ import annotations
