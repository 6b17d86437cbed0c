"""Tasks that a clock starts: their nominal ticks, whose each is, and that each is run exactly once."""

from __future__ import annotations
