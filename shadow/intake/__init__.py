"""Taking events in: what a door hands over, and the group commit that makes it durable."""

from __future__ import annotations
