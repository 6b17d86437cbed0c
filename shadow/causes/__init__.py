"""Causes: which run emitted an event, what authority that gives it, and which twin it is paired with."""

from __future__ import annotations
