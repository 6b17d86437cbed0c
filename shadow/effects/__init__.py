"""What runs did to the outside world: how it is seen, whose it is, how it is kept."""

from __future__ import annotations
