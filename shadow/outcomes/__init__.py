"""What became of the runs: outcomes pushed, polled and reported, and the effects that workers report."""

from __future__ import annotations
