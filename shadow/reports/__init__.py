"""The read side: what the control API, the metrics and `shadow report` say. Counts come from tallies alone."""

from __future__ import annotations
