"""Paths made of names that others gave: whether one leads elsewhere than below what it is a name of. Pure.

A worker's run, a payload's place, a task: each is one segment, quoted. But `..` needs no quotes, and clients and
servers resolve it alike; some resolve it behind `%2F` too. The call would go to another resource, with our key.
"""

from __future__ import annotations

from urllib.parse import unquote

from shadow.platforms.client import Answer

NOBODY = Answer(404, (), b'{"error":"no such name"}')
"""What is said of a name that can be nobody's, without asking."""


def climbs(path: str) -> bool:
    """Whether some segment of a path means where it is, or what is above it."""
    named = unquote(path.partition("?")[0]).replace("\\", "/")
    return any(part in (".", "..") for part in named.split("/"))
