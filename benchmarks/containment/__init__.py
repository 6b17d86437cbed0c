"""Does anything leave that must not? Random calls through the gateway, and the targets' own logs as the witness."""

from __future__ import annotations
