"""The pretend Inngest driving apps of the official Python SDK over real sockets."""

from __future__ import annotations
