"""The client package for Python workers."""

from __future__ import annotations
