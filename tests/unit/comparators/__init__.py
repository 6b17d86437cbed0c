"""Tests of the comparators."""

from __future__ import annotations
