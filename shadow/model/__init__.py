"""The small values that cross stages; every stage speaks in these."""

from __future__ import annotations
