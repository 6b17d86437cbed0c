"""The world of a run without authority: it starts when its twin has settled, and finds the rows that its twin found."""

from __future__ import annotations
