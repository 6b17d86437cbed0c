"""The pretend Inngest, part by part."""

from __future__ import annotations
