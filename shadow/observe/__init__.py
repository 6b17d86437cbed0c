"""What a process tells about itself: metrics and logs."""

from __future__ import annotations
