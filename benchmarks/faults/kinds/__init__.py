"""The kinds of faults. Importing this registers them all."""

from __future__ import annotations
