"""The W3C `traceparent` of a call: which trace it belongs to, and which span sent it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION_00 = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Traceparent:
    """Where a call stands in a trace. A trace may be shared by several runs; a span is of one."""

    trace: str
    span: str

    @classmethod
    def read(cls, header: str) -> Traceparent | None:
        """What the header says; None when it is none of version 00, or names no trace."""
        match = _VERSION_00.fullmatch(header.strip())
        if match is None or not match.group(1).strip("0") or not match.group(2).strip("0"):
            return None
        return cls(match.group(1), match.group(2))

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-01"
