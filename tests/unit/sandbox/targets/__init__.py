"""Tests of the same-named part of the sandbox."""

from __future__ import annotations
