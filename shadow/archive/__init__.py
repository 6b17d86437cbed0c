"""The evidence pack: all that a task's migration rests on, in one file for programs and one for people."""

from __future__ import annotations
