"""Exceptions as logs tell them: where they were raised and of which class, without what they quote.

A message is written by whoever raises it, and most quote what was wrong: a row ("DETAIL: Failing row contains (...)"),
a header, a body, a key. So a message is told only where it is a literal of the code that raised it, which holds no data
of anybody's. Of database errors the SQLSTATE is told, of the system's errors what the system calls them.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import CodeType, FrameType

WITHHELD = "(message withheld)"
_MOST_FRAMES = 60
_DEEPEST = 10
"""Of causes and groups: whatever is below is not told."""


def formatted(error: BaseException) -> str:
    """The traceback, causes first, as Python writes it: lines of code and no values."""
    return "\n".join(_told(error, set(), 0))


def _told(error: BaseException, seen: set[int], depth: int) -> Iterator[str]:
    if id(error) in seen or depth > _DEEPEST:
        return
    seen.add(id(error))
    if error.__cause__ is not None:
        yield from _told(error.__cause__, seen, depth + 1)
        yield "\nThe above exception was the direct cause of the following exception:\n"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _told(error.__context__, seen, depth + 1)
        yield "\nDuring handling of the above exception, another exception occurred:\n"
    yield "Traceback (most recent call last):"
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > _MOST_FRAMES:
        yield f"  ({len(frames) - _MOST_FRAMES} frames left out)"
    for frame in frames[-_MOST_FRAMES:]:
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"    {frame.line}"
    yield summary(error)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _told(inner, seen, depth + 1)


def summary(error: BaseException) -> str:
    """One line: the class, and as much of the message as holds no data."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    state = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(state, str):
        return f"{name}: SQLSTATE {state}"
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{name}: [Errno {error.errno}] {os.strerror(error.errno)}"
    message = error.args[0] if len(error.args) == 1 else None
    if not error.args:
        return name
    if isinstance(message, str) and any(is_literal(message, code) for code in _raised_in(error)):
        return f"{name}: {message}"
    return f"{name}: {WITHHELD}"


def is_literal(text: str, code: CodeType) -> bool:
    """Whether a text stands in that code as it is."""
    return any(type(constant) is str and constant == text for constant in code.co_consts)


def _raised_in(error: BaseException) -> Iterator[CodeType]:
    """The code that raised it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is not None:
        yield last.tb_frame.f_code


def calling(path: str, line: int) -> CodeType | None:
    """The code at that place, if it is being executed now: whoever wrote the log record that is handled."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_lineno == line and frame.f_code.co_filename == path:
            return frame.f_code
        frame = frame.f_back
    return None
