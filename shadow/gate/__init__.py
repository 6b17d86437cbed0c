"""The gate: what was shown of a task's candidate within an epoch, and whether that is enough to move on."""

from __future__ import annotations
