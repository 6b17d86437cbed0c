"""Sealing: originals are kept encrypted, with a key for each tenant, and can be forgotten by destroying it."""

from __future__ import annotations
