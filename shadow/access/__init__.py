"""Who may use the control API."""

from __future__ import annotations
