"""The judge: when a pair is ready, what its two ledgers say, and how verdicts and tallies are written."""

from __future__ import annotations
