"""Tests of the pretend Trigger.dev."""

from __future__ import annotations
