"""What is only notation, kind by kind."""

from __future__ import annotations
