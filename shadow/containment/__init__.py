"""Proofs and declarations that a task's candidate can't reach the world while it has no authority."""

from __future__ import annotations
