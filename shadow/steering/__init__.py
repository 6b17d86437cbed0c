"""Moving routes: forward through their gates, back by a person or by themselves, and what follows a move."""

from __future__ import annotations
