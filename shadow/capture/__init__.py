"""Capture: what a Python worker adds so that Shadow sees, attributes and contains what its runs do.

Knows nothing else of Shadow. httpx, psycopg and inngest are imported by what needs them, when it is used.
"""

from __future__ import annotations

from shadow.capture.capture import Capture
from shadow.capture.errors import HostDenied, Misconfigured, RetryLater
from shadow.capture.guard import fingerprints
from shadow.capture.rows import Rows
from shadow.capture.run import Run, current_run

__all__ = ["Capture", "HostDenied", "Misconfigured", "RetryLater", "Rows", "Run", "current_run", "fingerprints"]
