"""Phases of routes, the moves between them, and the decision that governs an event."""

from __future__ import annotations
