"""Handing events to platforms: the queue of dispatches, the loops that deliver them, and what holds them back."""

from __future__ import annotations
