"""Cutover: a route goes the whole way and back under constant load, while both kinds of process are restarted."""

from __future__ import annotations
