"""`shadow demo`: the whole loop on one machine, against pretended platforms, with faults to find."""

from __future__ import annotations
