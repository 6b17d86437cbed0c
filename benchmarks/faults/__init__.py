"""Does the judge find every fault, and cry wolf at none? Pairs of runs of the seven tasks, through the real loop."""

from __future__ import annotations
