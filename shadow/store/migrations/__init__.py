"""Alembic's script folder; each revision's SQL is frozen beside it."""

from __future__ import annotations
