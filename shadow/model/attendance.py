"""How a gateway says that it is there, and from when on its silence says that it is not."""

from __future__ import annotations

TOUCH_SECONDS = 1.0
"""How often it says so."""
SILENT_SECONDS = 10.0
"""Without a word for so long it was cut off. One that says each second that it is there, and goes on, is late by a few
seconds at most, however busy the machine and the database are: waiting for a connection takes 5 at the longest."""
