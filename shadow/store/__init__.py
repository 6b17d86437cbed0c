"""Storage: the schema, its migrations, the pools, and the embedded server."""

from __future__ import annotations
